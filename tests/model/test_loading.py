"""Weights come from their file once: mapped where they are used as they are, else converted."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from harmon_eval.adapters._harmon_settings import Settings
from harmon_eval.adapters.harmon import open_model
from harmon_eval.adapters.vae import Settings as VaeSettings
from harmon_eval.adapters.vae import open_model as open_latents
from harmon_eval.core import Ask, Draw, Embed, UserError
from harmon_eval.model import placing
from harmon_eval.model.checkpoint import BUNDLED, load, save
from harmon_eval.model.fingerprint import hash_weights
from harmon_eval.model.weights import to_authors

MINI = BUNDLED / "harmon-mini"


@pytest.fixture
def half(tmp_path: Path) -> Path:
    """harmon-mini in bfloat16."""
    loaded = load("harmon-mini")
    save(loaded.pipeline.model, loaded.pipeline.processor, tmp_path / "b", dtype=torch.bfloat16)
    return tmp_path / "b"


def test_a_model_used_as_its_file_has_it_takes_no_memory_of_its_own(half: Path) -> None:
    for path, dtype in (
        (MINI, load_file(MINI / "model.safetensors")["mar.fake_latent"].dtype),
        (half, torch.bfloat16),
    ):
        model = load(str(path), dtype=dtype).pipeline.model
        assert all(_in_a_file(p) for p in model.parameters() if p.nbytes > 4096)


def _in_a_file(tensor: torch.Tensor) -> bool:
    return any(start <= tensor.data_ptr() < end for start, end, _ in placing._mapped())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_weights_and_fingerprint_are_those_of_the_file_in_any_format(
    half: Path, dtype: torch.dtype
) -> None:
    for path in (MINI, half):
        weights = load_file(path / "model.safetensors")
        loaded = load(str(path), dtype=dtype)
        assert loaded.fingerprint == hash_weights(weights)
        state = loaded.pipeline.model.state_dict()
        for name, tensor in weights.items():
            assert torch.equal(state[name], tensor.to(dtype)), name
        assert state["llm.lm_head.weight"] is not None


def test_a_pth_is_mapped_and_its_tied_weights_stay_one(tmp_path: Path) -> None:
    loaded = load("harmon-mini")
    weights, vae = to_authors(loaded.pipeline.model)
    torch.save(weights, tmp_path / "harmon.pth")
    torch.save(vae, tmp_path / "kl16.ckpt")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((MINI / name).read_bytes())
    for dtype in (torch.float32, torch.bfloat16):
        llm = load(str(tmp_path / "harmon.pth"), dtype=dtype).pipeline.model.llm
        assert llm.lm_head.weight is llm.model.embed_tokens.weight
        assert _in_a_file(llm.lm_head.weight) == (dtype == torch.float32)


def test_loading_draws_nothing_at_random() -> None:
    before = torch.get_rng_state()
    load("harmon-mini", dtype=torch.bfloat16)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_loaded_model_can_be_trained_without_touching_its_file(tmp_path: Path) -> None:
    loaded = load("harmon-mini")
    save(loaded.pipeline.model, loaded.pipeline.processor, tmp_path / "own")
    model = load(str(tmp_path / "own")).pipeline.model
    file = tmp_path / "own" / "model.safetensors"
    before = file.read_bytes()
    with torch.no_grad():
        model.proj_in[0].get_parameter("weight").add_(1.0)
    assert file.read_bytes() == before
    assert not any(p.requires_grad for p in model.vae.parameters())
    assert model.proj_in[0].weight.requires_grad


def test_opening_a_model_imports_neither_its_reference_nor_a_compiler_nor_scipy() -> None:
    slow = ("transformers.models.qwen2.modeling_qwen2", "torch._dynamo", "scipy", "pandas")
    script = (
        "import sys\n"
        "from harmon_eval.model.checkpoint import load\n"
        "load('harmon-mini')\n"
        f"print('slow:', [name for name in {slow} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.rstrip() == "slow: []", done.stderr


def test_a_file_written_into_while_its_weights_are_in_use_is_found_out(tmp_path: Path) -> None:
    """Mapped weights change with their file: a drawing would carry another model's fingerprint."""
    loaded = load("harmon-mini")
    save(loaded.pipeline.model, loaded.pipeline.processor, tmp_path / "own")
    save(loaded.pipeline.model, loaded.pipeline.processor, tmp_path / "new")
    file, asked = tmp_path / "own" / "model.safetensors", Draw("a photo of a red circle", seed=1)
    model = open_model(str(tmp_path / "own"), Settings(device="cpu", steps=1, diffusion_steps=1))
    (drawn,) = model.draw([asked])
    assert isinstance(drawn, Image.Image)
    drawn.save(tmp_path / "drawn.png")
    os.replace(tmp_path / "new" / "model.safetensors", file)  # as a careful program does
    (same,) = model.draw([asked])
    assert isinstance(same, Image.Image) and same.tobytes() == drawn.tobytes()
    again = open_model(str(tmp_path / "own"), Settings(device="cpu", steps=1, diffusion_steps=1))
    latents = open_latents(str(tmp_path / "own"), VaeSettings(device="cpu"))
    with file.open("r+b") as opened:
        opened.seek(-8, os.SEEK_END)
        opened.write(bytes(8))
    for give in (
        lambda: again.draw([asked]),
        lambda: again.ask([Ask("what is it?", (tmp_path / "drawn.png",))]),
        lambda: latents.embed([Embed(tmp_path / "drawn.png")]),
    ):
        with pytest.raises(UserError, match="was written to while its weights were in use"):
            give()
    model.draw([asked])  # its own file is no longer there under that name, and is as it was


def test_weights_that_were_converted_do_not_need_their_file_any_more(half: Path) -> None:
    loaded = load(str(half), dtype=torch.float32)
    (half / "model.safetensors").write_bytes(b"")
    loaded.check()
    assert not loaded.files
