"""Weights in every format that exists open as the same model; what does not fit is named."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from harmon_eval.model import families, keys
from harmon_eval.model.checkpoint import load, read_drawing, save, write_drawing
from harmon_eval.model.config import HarmonConfig, HeadConfig, LLMConfig, MARConfig, VAEConfig
from harmon_eval.model.fingerprint import hash_weights
from harmon_eval.model.harmon import Harmon
from harmon_eval.model.pipeline import HarmonPipeline
from harmon_eval.model.processor import Processor, build_word_tokenizer
from harmon_eval.model.sampling import DrawSettings
from harmon_eval.model.weights import CheckpointError, own_config, to_authors

WORDS = [
    *("generate", "an", "image", ":", ".", "a", "photo", "of", "red", "blue", "circle", "star"),
    *("user", "assistant", "what", "is", "it", "?"),
]
PROMPTS = ["a photo of a red circle", "a blue star"]
QUICK = DrawSettings(cfg_scale=2.0, iterations=3, diffusion_steps=4, image_size=64)
# Numbers of heads are those that follow from the widths: they leave no trace in weights.
SMALL = HarmonConfig(
    vae=VAEConfig(width=32, blocks=1),
    mar=MARConfig(width=32, depth=2, heads=2, buffers=4, grid=4, classes=10),
    head=HeadConfig(width=32, depth=2),
    llm=LLMConfig(
        vocab_size=len(set(WORDS)) + 4,
        hidden_size=48,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
    ),
    image_size=128,
)


@pytest.fixture(scope="module")
def processor() -> Processor:
    return Processor(build_word_tokenizer(WORDS))


@pytest.fixture(scope="module")
def model() -> Harmon:
    torch.manual_seed(0)
    harmon = Harmon(SMALL).eval()
    torch.nn.init.normal_(harmon.head.final_layer.linear.weight, std=0.05)
    return harmon


def in_bfloat16(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.to(torch.bfloat16) for name, tensor in tensors.items()}


def assert_draws_the_same(name: str, reference: Harmon, processor: Processor) -> None:
    loaded, seeds = load(name), [4, 5]
    expected = HarmonPipeline(reference, processor).draw(PROMPTS, seeds, QUICK)
    drawn = loaded.pipeline.draw(PROMPTS, seeds, QUICK)
    assert [a.tobytes() for a in drawn] == [a.tobytes() for a in expected]
    replies = HarmonPipeline(reference, processor).answer(expected, ["what is it ?"] * 2, 6)
    assert loaded.pipeline.answer(drawn, ["what is it ?"] * 2, 6) == replies


@pytest.fixture
def rounded(model: Harmon) -> Harmon:
    """The model with weights that bfloat16 holds exactly."""
    other = copy.deepcopy(model)
    other.load_state_dict({n: t.to(torch.bfloat16).float() for n, t in model.state_dict().items()})
    return other


def test_our_own_folder_gives_the_same_outputs(
    tmp_path: Path, model: Harmon, processor: Processor
) -> None:
    save(model, processor, tmp_path / "mine", QUICK)
    assert_draws_the_same(str(tmp_path / "mine"), model, processor)
    assert load(str(tmp_path / "mine")).draw_settings == QUICK
    assert {p.name for p in tmp_path.iterdir()} == {"mine"}


def test_the_authors_pth_with_kl16_beside_it(
    tmp_path: Path, rounded: Harmon, processor: Processor
) -> None:
    """As released: bfloat16 weights, no VAE; a VAE checkpoint with optimiser state and its loss."""
    network, vae = to_authors(rounded)
    network["mar.diffloss.train_diffusion.betas"] = torch.zeros(3)
    torch.save(in_bfloat16(network), tmp_path / "harmon_small.pth")
    extras = {"loss.discriminator.main.0.weight": torch.zeros(2)}
    torch.save({"model": {**vae, **extras}, "epoch": 3}, tmp_path / "kl16.ckpt")
    processor.save(tmp_path)
    assert_draws_the_same(str(tmp_path / "harmon_small.pth"), rounded, processor)


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
def test_a_sharded_hub_folder(
    tmp_path: Path, rounded: Harmon, processor: Processor, kind: str
) -> None:
    network, vae = to_authors(rounded)
    every = {**network, **{f"vae.{name}": tensor for name, tensor in vae.items()}}
    every.pop("llm.lm_head.weight")  # tied: hub folders leave it out
    names = sorted(every)
    for i, part in enumerate((names[::2], names[1::2])):
        shard = {name: every[name].contiguous() for name in part}
        if kind == "bin":
            torch.save(shard, tmp_path / f"pytorch_model-0000{i + 1}-of-00002.bin")
        else:
            save_file(shard, tmp_path / f"model-0000{i + 1}-of-00002.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"architectures": ["HarmonModel"]}))
    processor.save(tmp_path)
    assert_draws_the_same(str(tmp_path), rounded, processor)


def test_the_key_map_is_the_same_in_both_directions(model: Harmon) -> None:
    names = list(model.state_dict())
    assert [keys.from_authors(keys.to_authors(name)) for name in names] == names
    changed = [name for name in names if keys.to_authors(name) != name]
    assert changed
    assert all(keys.to_authors(name).startswith("mar.diffloss.net.") for name in changed)


def test_every_tensor_that_does_not_fit_is_named(
    tmp_path: Path, model: Harmon, processor: Processor
) -> None:
    save(model, processor, tmp_path / "m")
    file = tmp_path / "m" / "model.safetensors"
    weights = load_file(file)
    del weights["proj_in.0.bias"]
    weights["mar.surplus"] = torch.zeros(1)
    weights["proj_out.2.bias"] = torch.zeros(7)
    save_file(weights, file)
    with pytest.raises(CheckpointError) as caught:
        load(str(tmp_path / "m"))
    message = str(caught.value)
    assert "missing: 1 (proj_in.0.bias)" in message
    assert "unexpected: 1 (mar.surplus)" in message
    assert "proj_out.2.bias is (7,), not (32,)" in message


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_truncated_file_is_named(
    tmp_path: Path, model: Harmon, processor: Processor, name: str
) -> None:
    save(model, processor, tmp_path / "m")
    file = tmp_path / "m" / name
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(CheckpointError, match=name):
        load(str(tmp_path / "m"))


def test_a_truncated_pth_is_named(tmp_path: Path, model: Harmon) -> None:
    file = tmp_path / "harmon.pth"
    torch.save(to_authors(model)[0], file)
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(CheckpointError, match=r"harmon\.pth is truncated"):
        load(str(file))


def test_missing_parts_say_what_to_fetch(tmp_path: Path, model: Harmon) -> None:
    torch.save(to_authors(model)[0], tmp_path / "harmon.pth")
    with pytest.raises(CheckpointError, match=r"kl16\.ckpt"):
        load(str(tmp_path / "harmon.pth"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="holds no weights"):
        load(str(tmp_path / "empty"))
    with pytest.raises(CheckpointError, match="bundled name"):
        load("no-such-model")


class Malicious:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('a checkpoint ran code')",)


def test_a_checkpoint_runs_no_code(tmp_path: Path) -> None:
    torch.save({"model": Malicious()}, tmp_path / "harmon.pth")
    with pytest.raises(CheckpointError):
        load(str(tmp_path / "harmon.pth"))


def test_the_fingerprint_follows_the_weights_only(
    tmp_path: Path, model: Harmon, processor: Processor
) -> None:
    for name in ("a", "b"):
        save(model, processor, tmp_path / name)
    assert load(str(tmp_path / "a")).fingerprint == load(str(tmp_path / "b")).fingerprint
    weights = load_file(tmp_path / "b" / "model.safetensors")
    before = hash_weights(weights)
    weights["proj_in.0.bias"][0] += 1e-6
    assert hash_weights(weights) != before


def test_the_configuration_needs_no_torch() -> None:
    code = (
        "import sys; from harmon_eval.model import PRESETS; "
        "assert PRESETS['harmon-1.5b'].mar.width == 1280; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_foreign_generation_config_is_no_drawing_setting(tmp_path: Path) -> None:
    qwen = {"do_sample": True, "temperature": 0.7, "top_p": 0.8, "repetition_penalty": 1.1}
    (tmp_path / "generation_config.json").write_text(json.dumps(qwen))
    assert read_drawing(tmp_path) == DrawSettings()
    (tmp_path / "generation_config.json").write_text(json.dumps({"temperature": 0.7}))
    assert read_drawing(tmp_path) == DrawSettings()


def test_our_own_is_one_and_unknown_settings_in_it_are_refused(tmp_path: Path) -> None:
    mine = DrawSettings(cfg_scale=2.0, temperature=0.9, guidance=(0.0, 0.5))
    write_drawing(mine, tmp_path)
    file = tmp_path / "generation_config.json"
    assert read_drawing(tmp_path) == mine
    values = json.loads(file.read_text())
    assert values.pop("format") == families.FORMAT
    file.write_text(json.dumps(values))
    assert read_drawing(tmp_path) == mine, "as written before it said whose it is"
    for wrong in ({"cfg": 3}, {"iterations": 0}, {"temperature": "warm"}):
        file.write_text(json.dumps({"format": families.FORMAT, **wrong}))
        with pytest.raises(CheckpointError, match=r"generation_config\.json does not fit"):
            read_drawing(tmp_path)


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("mar", "depth", 10**9),
        ("llm", "num_hidden_layers", 10**9),
        ("llm", "vocab_size", 10**12),
        ("mar", "width", -1),
        ("vae", "multipliers", [1] * 10_000),
    ],
)
def test_sizes_that_no_model_has_are_refused_before_anything_is_built(
    tmp_path: Path, model: Harmon, section: str, key: str, value: object
) -> None:
    values = {"format": families.FORMAT, **model.config.to_dict()}
    values[section] = {**values[section], key: value}
    (tmp_path / "config.json").write_text(json.dumps(values))
    with pytest.raises(CheckpointError, match=rf"{section}\.{key} (is|has) .*no model of ours"):
        own_config(tmp_path)
