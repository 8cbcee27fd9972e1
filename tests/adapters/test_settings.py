"""Settings belong to models: what an adapter does not have, or cannot take, is refused by name."""

from __future__ import annotations

import dataclasses
import importlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from harmon_eval import plugins, registry, settings
from harmon_eval.core import Draw, UserError

ADAPTERS = (
    *("diffusers", "efficientnet_lite0", "folder", "harmon", "janus", "openai", "pixels"),
    *("scripted", "timm", "vae", "vision", "vlm"),
)
DOCS = (Path(__file__).parents[2] / "docs" / "adapters.md").read_text()


def declared(adapter: str) -> Any:
    return importlib.import_module(f"harmon_eval.adapters.{adapter}").Settings


def test_every_adapter_declares_its_settings() -> None:
    assert {*ADAPTERS, registry.BUNDLED_MODEL} == {*registry.model_names()} - of_other_packages()
    for adapter in ADAPTERS:
        kind = declared(adapter)
        assert dataclasses.is_dataclass(kind) and kind.__dataclass_params__.frozen
        assert kind() == kind(), "without a setting it opens too"
        assert registry.model_settings(f"{adapter}:x?cfg=3") == settings.names(kind)


def of_other_packages() -> set[str]:
    """Models of other packages that happen to be installed here."""
    return {*plugins.entry_points_of(plugins.MODEL_GROUP)}


# What is refused before anything is loaded, so that it needs no weights.
UNKNOWN = {
    "diffusers:X": ("solver", "known: cfg, device"),
    "efficientnet_lite0": ("pool", "known: device"),
    "folder:X": ("cfg", r"\(the images are drawn already\): known: grid"),
    "harmon-mini": ("stepps", "did you mean 'steps'"),
    "janus:X": ("steps", "known: cfg, device"),
    "openai:X": ("guidance", r"\(the server sets it\): known: any_host, body, .*temperature"),
    "pixels": ("side", "leave it out"),
    "scripted": ("delay", "leave it out"),
    "timm:X": ("image_size", "known: device, dtype, pool"),
    "vae:harmon-mini": ("grids", "did you mean 'grid'"),
    "vision:X": ("layer", "known: device, dtype, pool, revision"),
    "vlm:X": ("temperature", r"\(decoding is greedy\): known: device, dtype"),
}


@pytest.mark.parametrize("model", UNKNOWN)
def test_an_unknown_setting_is_refused_by_name_in_the_name_or_beside_it(model: str) -> None:
    name, help_ = UNKNOWN[model]
    for spec, given in ((f"{model}?{name}=1", {}), (model, {name: "1"}), (model, {name: 1})):
        with pytest.raises(UserError, match=rf"^\w+ has no setting '{name}'.*{help_}"):
            registry.model(spec, given)


@pytest.mark.parametrize("model", ["folder:X", "openai:X", "pixels", "scripted"])
def test_where_a_model_runs_is_no_matter_where_no_network_runs_but_a_number_format_is(
    model: str,
) -> None:
    with pytest.raises(UserError, match="no setting 'dtype'"):
        registry.model(model, {"device": "cpu", "dtype": "float32"})


@pytest.mark.parametrize(
    ("model", "given", "message"),
    [
        ("diffusers:X", {"steps": "many"}, "steps=many: give a whole number"),
        ("diffusers:X", {"steps": 2.5}, "steps=2.5: give a whole number"),
        ("diffusers:X", {"steps": True}, "steps=True: give a whole number"),
        ("diffusers:X", {"steps": 0}, "steps=0: give at least 1"),
        ("diffusers:X", {"cfg": -1}, "cfg=-1.0: give at least 0"),
        ("diffusers:X", {"image_size": 0}, "image_size=0: give at least 1"),
        ("diffusers:X", {"dtype": "float8"}, "give float32 or bfloat16 or float16"),
        ("harmon-mini", {"cfg": "nan"}, "cfg=nan: give at least 0"),
        ("harmon-mini", {"cfg": True}, "cfg=True: give a number"),
        ("harmon-mini", {"diffusion_steps": 1001}, "give 1 to 1000"),
        ("harmon-mini", {"temperature": "inf"}, "temperature=inf: give at least 0"),
        ("harmon-mini", {"solver": "euler"}, "give ancestral or ddim or dpm-solver"),
        ("harmon-mini", {"solver": "ddim", "temperature": 0.5}, "ddim adds no noise"),
        ("harmon-mini", {"guidance": "0.5"}, "give 2 values with a colon"),
        ("harmon-mini", {"guidance": "a:b"}, "give a number"),
        ("harmon-mini", {"guidance": (0.5, 0.1)}, "guidance=0.5:0.1: give a part of 0:1"),
        ("harmon-mini", {"fast": "maybe"}, "give true or false"),
        ("harmon-mini", {"layer": "last"}, "give final, all or the number of a block"),
        ("harmon-mini", {"layer": 3}, "layer=3: give text"),
        ("harmon-mini", {"pool": "mean"}, "give image or buffers or both"),
        ("harmon-mini", {"kl16": 3}, "kl16=3: give Path"),
        ("harmon-mini", {"image_size": 70}, "must be a multiple of 16 pixels: give 64 or 80"),
        ("harmon-mini", {"image_size": 5}, "must be a multiple of 16 pixels: give 16$"),
        ("harmon-mini", {"image_size": 512}, "1,024 tokens, more than the model's 1,016.* 496"),
        ("janus:X", {"temperature": -0.1}, "temperature=-0.1: give at least 0"),
        ("janus:X", {"roles": "User"}, "give pro or plain"),
        ("openai:X", {"temperature": "hot"}, "temperature=hot: give a number"),
        ("openai:X", {"temperature": -1}, "temperature=-1.0: give at least 0"),
        ("timm:X", {"pool": "mean"}, "pool=mean: give avg or max"),
        ("vae:harmon-mini", {"grid": "0"}, "grid=0: give at least 1"),
        ("vae:harmon-mini", {"grid": "a"}, "grid=a: give a whole number"),
        ("vision:X", {"pool": "max"}, "give mean or first or pooler"),
        ("vlm:X", {"dtype": "half"}, "dtype=half: give float32"),
    ],
)
def test_a_value_that_a_setting_cannot_have_is_refused(
    model: str, given: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message) as raised:
        registry.model(model, given)
    assert str(raised.value).startswith(("harmon: ", model.partition(":")[0]))


@pytest.mark.parametrize("model", ["harmon-mini", "wusize/Harmon-1_5B"])
def test_a_size_that_no_image_can_have_is_refused_before_weights_are_looked_for(model: str) -> None:
    with pytest.raises(UserError, match="must be a multiple of 16 pixels: give 496 or 512"):
        registry.check_model(model, {"image_size": 500})


@pytest.mark.parametrize("adapter", ["diffusers", "janus", "timm", "vae", "vision", "vlm"])
def test_without_weights_an_adapter_says_what_to_name(adapter: str) -> None:
    if adapter == "diffusers":
        pytest.importorskip("diffusers", reason="the extra diffusers is not installed")
    with pytest.raises(UserError, match=f"needs a folder or hub id, such as --model {adapter}:"):
        registry.model(adapter)


def test_a_setting_in_the_name_and_beside_it_has_one_value() -> None:
    model = registry.model("openai:X?temperature=0.5", {"temperature": "5e-1"})
    assert model.settings == {"temperature": 0.5}
    assert registry.model("openai:X?temperature=0.5", {"temperature": None}).settings == {
        "temperature": 0.5
    }
    with pytest.raises(UserError, match=r"given twice, as 0\.5 in the name and as 0\.7 separately"):
        registry.model("openai:X?temperature=0.5", {"temperature": 0.7})
    with pytest.raises(UserError, match="temperature is given twice"):
        registry.model("openai:X?temperature=0.5&temperature=0.5")


@pytest.mark.parametrize("spec", ["openai:X?temperature", "openai:X?temperature="])
def test_a_setting_without_a_value_is_refused(spec: str) -> None:
    with pytest.raises(UserError):
        registry.model(spec)


def test_text_in_a_name_is_as_it_was_written() -> None:
    assert settings.split("a:b?c=dpm-solver++&d=x%26y z") == (
        "a:b",
        {"c": "dpm-solver++", "d": "x&y z"},
    )


def test_a_name_and_python_values_say_the_same_to_harmon() -> None:
    given = {"steps": 2, "solver": "dpm-solver++", "guidance": (0, 0.5), "device": "cpu"}
    beside = registry.model("harmon-mini", given)
    named = registry.model(
        "harmon-mini?steps=2&solver=dpm-solver++&guidance=0.0:0.5", {"device": "cpu"}
    )
    assert beside.settings == named.settings
    assert (named.settings["iterations"], named.settings["guidance"]) == (2, [0.0, 0.5])
    # How the weights were trained is told, and is no setting.
    assert "training" not in named.settings
    assert {"steps", "seconds", "commit"} == named.about["training"].keys()


def test_an_encoder_of_another_library_imports_nothing_of_harmon(tmp_path: Path) -> None:
    """Neither the network nor what reads its weights."""
    script = (
        "import sys\n"
        "from harmon_eval import registry\n"
        "from harmon_eval.core import UserError\n"
        "for spec in sys.argv[1:]:\n"
        "    try: registry.model(spec, {'device': 'cpu'})\n"
        "    except UserError as error: print('refused:', error)\n"
        "print('loaded:', sorted(name for name in sys.modules if name.startswith('harmon_eval.')))"
    )
    timm = pytest.importorskip("timm", reason="the extra vision is not installed")
    network = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=1)
    save_file({k: v.numpy() for k, v in network.state_dict().items()}, tmp_path / "m.safetensors")
    (tmp_path / "m.safetensors").rename(tmp_path / "model.safetensors")
    config = {"architecture": "vit_tiny_patch16_224", "model_args": {"img_size": 32, "depth": 1}}
    cfg = {"input_size": [3, 32, 32], "num_classes": 1000, "classifier": "head"}
    (tmp_path / "config.json").write_text(json.dumps({**config, "pretrained_cfg": cfg}))
    nowhere = [f"{name}:{tmp_path / 'nowhere'}" for name in ("vision", "vlm")]
    done = subprocess.run(
        [sys.executable, "-c", script, f"timm:{tmp_path}", *nowhere],
        capture_output=True,
        text=True,
        check=True,
    )
    *refused, loaded = done.stdout.splitlines()
    assert len(refused) == 2 and "harmon_eval.adapters.timm" in loaded
    for name in ("adapters.harmon", "model.harmon", "model.weights", "model.checkpoint"):
        assert f"harmon_eval.{name}'" not in loaded


# -- docs/adapters.md --------------------------------------------------------------------------


def test_the_documentation_lists_the_settings_of_every_adapter() -> None:
    rows = re.findall(r"^\| `([\w-]+)` \| (.*) \|$", DOCS.partition("## Settings")[2], re.MULTILINE)
    listed = {name: re.findall(r"`(\w+)`", text) for name, text in rows if name in ADAPTERS}
    assert listed == {name: settings.names(declared(name)) for name in ADAPTERS}


def test_the_adapter_of_the_documentation_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = re.search(r"```python\n(.*?)```", DOCS, re.DOTALL)
    assert found and len(list(filter(None, found[1].splitlines()))) <= 25
    (tmp_path / "confetti.py").write_text(found[1])
    monkeypatch.setattr(plugins, "_included", {})
    assert plugins.include(tmp_path) == ["confetti"]
    assert "confetti" in registry.model_names()

    model = registry.model("confetti?mode=L", {"device": "cpu", "pieces": "8"})
    assert model.settings == {"pieces": 8, "mode": "L"}
    first, other, again = model.draw([Draw("a", 1), Draw("a", 2), Draw("a", 1)])
    assert isinstance(first, Image.Image) and (first.size, first.mode) == ((64, 64), "L")
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    for given, message in (
        ({"pieces": 0}, "confetti: pieces=0: give 1 to 64"),
        ({"mode": "CMYK"}, "give RGB or L"),
        ({"piece": 3}, "did you mean 'pieces'"),
    ):
        with pytest.raises(UserError, match=message):
            registry.model("confetti", given)
