"""Checkpoints of Harmon's family as their releases write them: UniPic-1, RecA."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import torch
from huggingface_hub.utils import filter_repo_objects
from PIL import Image
from torch import Tensor

from harmon_eval.adapters._harmon_settings import Settings
from harmon_eval.adapters.harmon import open_model
from harmon_eval.model.checkpoint import load, locate
from harmon_eval.model.config import HARMON_1_5B, PRESETS, UNIPIC_1
from harmon_eval.model.harmon import Harmon
from harmon_eval.model.keys import to_authors
from harmon_eval.model.sampling import DrawSettings
from harmon_eval.model.tensors import CheckpointError
from harmon_eval.model.weights import from_authors, read

RECORDING = "unipic_edit_reference"


def harmon_alone(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in state.items() if not name.startswith("siglip2")}


def put(folder: Path, reference: Any, name: str, values: Any) -> Path:
    """Weights in a folder with a VAE and the LLM's own folder beside them, as in the release."""
    language = folder / "Qwen2.5-1.5B-Instruct"
    folder.mkdir(parents=True, exist_ok=True)
    vae = {
        n.removeprefix("vae."): t for n, t in reference.model.state_dict().items() if "vae." in n
    }
    torch.save({"model": vae}, folder / "kl16.ckpt")
    reference.processor.save(language)
    (language / "config.json").write_text(json.dumps(asdict(reference.config.llm)))
    torch.save(values, folder / name)
    return folder


@pytest.fixture
def unipic(reference: Any, tmp_path: Path) -> Path:
    return put(tmp_path / "unipic", reference, "pytorch_model.bin", reference.state)


def test_a_unipic_folder_opens_and_draws_edits_and_answers(unipic: Path, reference: Any) -> None:
    """Its tower is read past, its noise schedule known by it, its scripts' 32 iterations taken."""
    loaded = load(str(unipic))
    config = loaded.pipeline.model.config
    assert config.head.max_beta == 0.2
    assert loaded.draw_settings == DrawSettings(iterations=32)
    size = reference.config.image_size
    settings = DrawSettings(iterations=2, diffusion_steps=3, image_size=size)
    prompt, question = "add a small boat", "what colour is the roof?"
    picture, pipeline = Image.linear_gradient("L").convert("RGB"), loaded.pipeline
    (drawn,) = pipeline.draw([prompt], [1], settings)
    (edited,) = pipeline.edit([picture], [prompt], [1], settings)
    assert drawn.size == edited.size == (size, size)
    assert not np.array_equal(np.asarray(drawn), np.asarray(edited))
    assert isinstance(pipeline.answer([picture], [question], 3)[0], str)


def test_the_cap_follows_the_projector_and_never_the_grid(reference: Any, tmp_path: Path) -> None:
    state = harmon_alone(reference.state)
    folder = put(tmp_path / "harmon", reference, "pytorch_model.bin", state)
    assert load(str(folder)).pipeline.model.config.head.max_beta == 0.999
    assert load(str(folder)).draw_settings == DrawSettings()
    capped = load(str(folder), max_beta=0.2)
    assert capped.pipeline.model.config.head.max_beta == 0.2
    model = open_model(str(folder), Settings(device="cpu", max_beta=0.2))
    assert model.settings["max_beta"] == 0.2


def test_a_saved_unipic_keeps_its_schedule(unipic: Path, tmp_path: Path) -> None:
    load(str(unipic)).pipeline.save_pretrained(tmp_path / "ours", DrawSettings(iterations=32))
    again = load(str(tmp_path / "ours"))
    assert again.pipeline.model.config.head.max_beta == 0.2
    assert again.draw_settings.iterations == 32


def test_the_published_sizes_are_those_of_the_preset(caplog: pytest.LogCaptureFixture) -> None:
    with torch.device("meta"):
        names = {to_authors(n): t for n, t in Harmon(UNIPIC_1).state_dict().items()}
        tower = {"siglip2_proj.0.weight": torch.empty(1536, 1152)}
    found, _ = from_authors({**names, **tower}, dict)
    assert found == UNIPIC_1 == PRESETS["unipic-1"]
    assert UNIPIC_1.image_size // UNIPIC_1.vae.stride == 64
    places = 2 * (64 * 64 + UNIPIC_1.mar.buffers)
    assert places < UNIPIC_1.llm.max_position_embeddings, "a source and a result fit the positions"
    found, _ = from_authors(names, dict)
    assert re.search(r"none of its siglip2_proj tensors.*max_beta=0\.2", caplog.text)
    caplog.clear()
    assert found.head.max_beta == 0.999
    with torch.device("meta"):
        names = {to_authors(n): t for n, t in Harmon(HARMON_1_5B).state_dict().items()}
        assert from_authors(names, dict)[0] == HARMON_1_5B
    assert not caplog.text


# -- RecA ------------------------------------------------------------------------------------


def flat(folder: Path, state: dict[str, Tensor]) -> Path:
    """What RecA's conversion script writes."""
    torch.save(state, folder / "harmon_1.5b_reca.pth")
    return folder / "harmon_1.5b_reca.pth"


def deepspeed(folder: Path, state: dict[str, Tensor]) -> Path:
    """What mmengine with DeepSpeed writes: a folder with the name of a file."""
    place = folder / "iter_5000.pth"
    place.mkdir()
    torch.save({"module": state, "ds_version": "0.15"}, place / "mp_rank_00_model_states.pt")
    masters = {"optimizer_state_dict": {"fp32_flat_groups": [torch.zeros(3)]}}
    torch.save(masters, place / "bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt")
    return place


def mmengine(folder: Path, state: dict[str, Tensor]) -> Path:
    """What mmengine without DeepSpeed writes: one file with much beside the weights."""
    values = {
        "state_dict": state,
        "meta": {"iter": 5000, "time": np.float64(1.0)},
        "message_hub": {"log_scalars": {}},
        "optimizer": {"state": {0: {"exp_avg": torch.zeros(3)}}},
    }
    torch.save(values, folder / "iter_5000.pth")
    return folder / "iter_5000.pth"


@pytest.mark.parametrize("written", [flat, deepspeed, mmengine])
@pytest.mark.parametrize("named", ["itself", "its folder"])
def test_every_format_of_reca_opens(
    reference: Any, tmp_path: Path, written: Callable[..., Path], named: str
) -> None:
    put(tmp_path, reference, "kept", {})
    (tmp_path / "kept").unlink()
    state = harmon_alone(reference.state)
    place = written(tmp_path, state)
    _, weights = read(place if named == "itself" else tmp_path)
    assert torch.equal(weights["mar.z_proj.weight"], state["mar.z_proj.weight"])
    assert any(name.startswith("vae.") for name in weights)


def test_what_of_reca_cannot_be_read_says_the_way_out(reference: Any, tmp_path: Path) -> None:
    state = harmon_alone(reference.state)
    place = deepspeed(tmp_path, state)
    with pytest.raises(CheckpointError, match=r"kl16\.ckpt is missing.*--kl16"):
        read(place)
    shutil.copy(place / "mp_rank_00_model_states.pt", place / "mp_rank_01_model_states.pt")
    with pytest.raises(CheckpointError, match=r"DeepSpeed training.*zero_to_fp32\.py"):
        read(place)
    odd = tmp_path / "odd.pth"
    torch.save({"state_dict": state, "callback": shutil.rmtree}, odd)
    with pytest.raises(CheckpointError, match=r"nothing from weights is run: save its tensors"):
        read(odd)


# -- hub ids ---------------------------------------------------------------------------------


def test_of_a_release_on_the_hub_only_what_is_read_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = [
        *("pytorch_model.bin", "kl16.ckpt", "siglip2-so400m-patch16-512/model.safetensors"),
        *(f"Qwen2.5-1.5B-Instruct/{name}" for name in ("config.json", "vocab.json", "merges.txt")),
        *("Qwen2.5-1.5B-Instruct/model.safetensors", "iter_5000.pth/mp_rank_00_model_states.pt"),
        "iter_5000.pth/bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt",
    ]
    fetched: list[str] = []

    def download(name: str, revision: str | None, **patterns: list[str]) -> str:
        assert revision is None
        fetched[:] = filter_repo_objects(listed, **patterns)
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    for name in ("wusize/Harmon-1_5B", "sanaka87/Harmon-1.5B-RecA", "Skywork/Skywork-UniPic-1.5B"):
        assert locate(name) == tmp_path
    unread = ("siglip", "optim", "Instruct/model")
    assert fetched == [name for name in listed if not any(part in name for part in unread)]


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("wusize/openuni-b-512", "OpenUni, another architecture"),
        ("Skywork/UniPic2-Metaquery-9B", "a later UniPic"),
    ],
)
def test_relatives_of_other_architectures_are_refused_by_name(name: str, what: str) -> None:
    with pytest.raises(CheckpointError, match=rf"{name} is {what}.*--model folder:PATH"):
        locate(name)
