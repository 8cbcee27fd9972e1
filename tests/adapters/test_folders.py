"""A folder of another family is named with its adapter; weights are whole and the index's."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

from harmon_eval import registry
from harmon_eval.adapters._folders import check_folder, weights_hash
from harmon_eval.adapters.vision import VisionResponder
from harmon_eval.core import UserError
from harmon_eval.model.checkpoint import BUNDLED

CPU = {"device": "cpu"}


def configured(folder: Path, name: str = "config.json", **values: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(values))
    return folder


FOLDERS: list[tuple[dict[str, Any], str]] = [
    (
        {"model_type": "llava", "architectures": ["LlavaForConditionalGeneration"]},
        r"\(LlavaForConditionalGeneration, llava\): --model vlm:FOLDER",
    ),
    ({"model_type": "qwen2_vl"}, "qwen2_vl.*--model vlm:FOLDER"),
    ({"model_type": "llava_llama"}, "LLaVA folder in its authors' own format.*llava-hf"),
    ({"model_type": "janus"}, "a Janus folder.*--model janus:FOLDER"),
    ({"model_type": "multi_modality"}, "Janus in deepseek-ai's own format.*deepseek-community"),
    ({"model_type": "siglip"}, "vision encoder.*--model vision:FOLDER"),
    ({"architecture": "vit_tiny", "num_classes": 0}, "timm folder.*--model timm:FOLDER"),
    ({"_class_name": "Showo"}, "Show-o folder.*no adapter"),
    ({"_class_name": "UNet2DConditionModel"}, r"one part \(UNet2DConditionModel\) of a diffusers"),
    ({"model_type": "bagel"}, "bagel.*no adapter"),
]


@pytest.mark.parametrize(("config", "words"), FOLDERS)
def test_harmon_names_folders_of_other_families(
    tmp_path: Path, config: dict[str, Any], words: str
) -> None:
    folder = configured(tmp_path / "model", **config)
    save_file({"x": torch.zeros(1)}, folder / "model.safetensors")
    for place in (f"harmon:{folder}", str(folder)):
        with pytest.raises(UserError, match=words.replace("FOLDER", str(folder))):
            registry.model(place, CPU)


def test_harmon_names_pipelines_bagel_and_a_language_model(tmp_path: Path) -> None:
    folder = configured(tmp_path / "sd", "model_index.json", _class_name="FluxPipeline")
    with pytest.raises(UserError, match=f"FluxPipeline.*--model diffusers:{folder}"):
        registry.model(str(folder), CPU)
    bagel = tmp_path / "bagel"
    bagel.mkdir()
    for name in ("ema.safetensors", "ae.safetensors"):
        save_file({"x": torch.zeros(1)}, bagel / name)
    with pytest.raises(UserError, match="a BAGEL folder"):
        registry.model(str(bagel), CPU)
    qwen = configured(tmp_path / "qwen", model_type="qwen2", architectures=["Qwen2ForCausalLM"])
    save_file({"model.embed_tokens.weight": torch.zeros(1)}, qwen / "model.safetensors")
    with pytest.raises(UserError, match=r"a language model alone \(Qwen2ForCausalLM, qwen2\)"):
        registry.model(str(qwen), CPU)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["meta_queries", "lmm.a", "connector.a"], "OpenUni"),
        (["showo.model.a"], "Show-o"),
        (["language_model.a", "vae2llm.weight"], "BAGEL"),
        (["gen_vision_model.a", "language_model.a"], "Janus"),
        (["vision_tower.a", "language_model.a"], "vision-language model"),
        (["encoder_blocks.0.a", "diffloss.net.a"], "MAR alone.*start.mar"),
        (["encoder.a", "decoder.a", "quant_conv.weight"], "a VAE alone"),
        (["model.layers.0.a", "lm_head.weight"], "a language model alone"),
        (["whatever.weight"], r"no Harmon checkpoint.*whatever\.weight"),
    ],
)
def test_a_file_of_another_family_is_known_by_its_tensors(
    tmp_path: Path, names: list[str], words: str
) -> None:
    torch.save({name: torch.zeros(2, 2) for name in names}, tmp_path / "weights.pth")
    with pytest.raises(UserError, match=words):
        registry.model(str(tmp_path / "weights.pth"), CPU)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("OpenUni", "it is OpenUni, another architecture.*docs/adapters.md"),
        ("OpenUni-L-1024", "it is OpenUni"),
        ("UniPic2-Metaquery-9B", "it is a later UniPic"),
        ("BAGEL-7B-MoT", "it is BAGEL: there is no adapter"),
        ("show-o2", "it is Show-o: there is no adapter"),
        ("Harmon-1_5B", "--model wusize/Harmon-1_5B$"),
        ("harmon-0.5b", "--model wusize/Harmon-0_5B$"),
        ("Skywork-UniPic", "--model Skywork/Skywork-UniPic-1.5B$"),
        ("Harmon-1.5B-RecA", "--model sanaka87/Harmon-1.5B-RecA$"),
        ("Janus-Pro-1B", "--model janus:deepseek-community/Janus-Pro-1B$"),
        ("opnai", "did you mean 'openai'"),
        ("emu3", "known: .*hub id with its owner"),
    ],
)
def test_a_published_name_without_its_owner_is_told_what_it_is(name: str, words: str) -> None:
    with pytest.raises(UserError, match=f"unknown model {name!r}: .*{words}"):
        registry.check_model(name)


@pytest.mark.parametrize("name", ["harmon:OpenUni", "wusize/OpenUni-B-512", "harmon:Harmon-1_5B"])
def test_a_name_that_will_not_open_is_refused_before_the_hub_is_asked(name: str) -> None:
    with pytest.raises(UserError, match=r"OpenUni, another|--model wusize/Harmon-1_5B$"):
        registry.check_model(name)


@pytest.mark.parametrize("adapter", ["vlm", "janus", "vision", "timm", "diffusers"])
def test_other_adapters_name_a_harmon(adapter: str) -> None:
    folder = BUNDLED / "harmon-mini"
    settings = "?roles=pro" if adapter == "janus" else ""
    with pytest.raises(UserError, match=f"is a Harmon folder: --model {folder}"):
        registry.model(f"{adapter}:{folder}{settings}", CPU)


def test_adapters_name_each_others_folders(janus_folder: Path, pipeline_folder: Path) -> None:
    with pytest.raises(UserError, match=f"a Janus folder.*--model janus:{janus_folder}"):
        registry.model(f"diffusers:{janus_folder}", CPU)
    with pytest.raises(UserError, match=f"a diffusers folder.*diffusers:{pipeline_folder}"):
        registry.model(f"vlm:{pipeline_folder}", CPU)


# -- whole, and the index's ------------------------------------------------------------------


def copied(folder: Path, place: Path) -> Path:
    return Path(shutil.copytree(folder, place))


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-10])


def point(file: Path) -> None:
    file.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n")


@pytest.mark.parametrize(("flaw", "words"), [(cut, "is truncated"), (point, "LFS pointer")])
def test_files_that_are_not_whole_are_named(
    janus_folder: Path,
    pipeline_folder: Path,
    tmp_path: Path,
    flaw: Callable[[Path], None],
    words: str,
) -> None:
    janus = copied(janus_folder, tmp_path / "Janus-Pro")
    flaw(janus / "model.safetensors")
    pipeline = copied(pipeline_folder, tmp_path / "pipeline")
    flaw(pipeline / "unet" / "diffusion_pytorch_model.safetensors")
    for place in (f"janus:{janus}", f"diffusers:{pipeline}", f"vlm:{janus}", f"vision:{janus}"):
        with pytest.raises(UserError, match=words):
            registry.model(place, CPU)


def test_weights_that_are_not_there_are_not_filled_at_random(
    janus_folder: Path, tmp_path: Path
) -> None:
    folder = copied(janus_folder, tmp_path / "Janus-Pro")
    weights = load_file(folder / "model.safetensors")
    name = next(name for name in weights if "language_model" in name)
    del weights[name]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    for adapter in ("janus", "vlm"):
        with pytest.raises(UserError, match=r"lacks weights: .*language_model|chat template"):
            registry.model(f"{adapter}:{folder}", CPU)


def test_two_saves_adapters_and_missing_shards_of_a_library_are_refused(
    janus_folder: Path, tmp_path: Path
) -> None:
    folder = copied(janus_folder, tmp_path / "Janus-Pro")
    weights = load_file(folder / "model.safetensors")
    shard = folder / "model-00001-of-00001.safetensors"
    save_file(weights, shard, metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": dict.fromkeys(weights, shard.name)}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(UserError, match=r"several saves.*model\.safetensors"):
        check_folder("janus", folder)
    (folder / "model.safetensors").unlink()
    check_folder("janus", folder)
    (folder / "adapter_model.safetensors").write_bytes(b"x")
    with pytest.raises(UserError, match="adapter"):
        check_folder("vlm", folder)
    (folder / "adapter_model.safetensors").unlink()
    shard.unlink()
    with pytest.raises(UserError, match=f"lacks {shard.name}"):
        check_folder("vision", folder)


def test_the_hash_of_weights_is_of_those_that_are_loaded(
    janus_folder: Path, tmp_path: Path
) -> None:
    folder = copied(janus_folder, tmp_path / "model")
    before = weights_hash(folder)
    for name in ("._model", "consolidated", "model-00001-of-00003"):
        (folder / f"{name}.safetensors").write_bytes(b"not loaded")
    assert weights_hash(folder) == before
    weights = load_file(folder / "model.safetensors")
    next(iter(weights.values())).view(-1)[0] += 1
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert weights_hash(folder) != before


def test_a_classifier_without_a_pooler_is_the_same_encoder_every_time(tmp_path: Path) -> None:
    """Its pooler would be random: not in the fingerprint, and not to be asked."""
    config = ViTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=32,
        patch_size=16,
    )
    ViTForImageClassification(config).save_pretrained(tmp_path)
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(tmp_path)
    one, other = (registry.model(f"vision:{tmp_path}", CPU) for _ in range(2))
    assert isinstance(one, VisionResponder) and one.fingerprint == other.fingerprint
    with pytest.raises(UserError, match=r"lacks weights: pooler\.dense"):
        registry.model(f"vision:{tmp_path}?pool=pooler", CPU)


def test_timm_does_not_choose_by_the_order_of_names(tmp_path: Path) -> None:
    folder = configured(tmp_path / "net", architecture="vit_tiny_patch16_224")
    for name in ("a.safetensors", "b.safetensors"):
        save_file({"x": torch.zeros(1)}, folder / name)
    with pytest.raises(UserError, match=r"several saves.*a\.safetensors, b\.safetensors"):
        registry.model(f"timm:{folder}", CPU)
