"""What is missing is said before the first request: servers, weights, revisions, local judges."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

Call = Callable[..., Any]


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_a_server_that_is_not_there_is_said_before_anything_is_asked(
    call: Call, tmp_path: Path, dry: tuple[str, ...]
) -> None:
    (tmp_path / "a.jsonl").write_text('{"question": "What is 1 in digits?", "answer": "1"}\n')
    model = ("--model", "openai:m@http://127.0.0.1:9/v1", "--tasks", "vqa:a.jsonl")
    refused = call(*model, *dry, "--output", "run")
    assert refused.code == 2 and "cannot reach http://127.0.0.1:9/v1" in refused.err
    assert not (tmp_path / "run").exists()
    judge = ("--judge-model", "j", "--judge-url", "http://127.0.0.1:9/v1")
    drawn = ("--model", "scripted", "--tasks", "wise", "--limit", "1", "--output", "drawn")
    refused = call(*drawn, *judge, *dry)
    assert refused.code == 2 and "cannot reach http://127.0.0.1:9/v1" in refused.err
    assert not (tmp_path / "drawn").exists()


NOWHERE = {
    "nowhere/weights.pth": "no file or folder 'nowhere/weights.pth'",
    "/no/where": "no file or folder '/no/where'",
    "janus:/no/where": "no file or folder '/no/where'",
    "vlm:a/b/c": "no file or folder 'a/b/c'",
    "nobody/nothing": "hf download nobody/nothing --local-dir DIR",
    "vlm:nobody/nothing?revision=v1": "hf download nobody/nothing --revision v1 --local-dir DIR",
    "vision:": "vision: needs a folder or hub id",
    "vae:/no/where": "no file or folder '/no/where'",
    "vae:harmon-mini?kl16=no.ckpt": "kl16=no.ckpt: no such file",
    "timm:resnte50": "no weights called 'resnte50': did you mean resnet50",
    "timm:resnet50.a1": "did you mean resnet50.",
    "timm:nobody/nothing": "of a model on the hub give timm:hf-hub:ID",
    "timm:hf-hub:nobody/nothing@v1": "hf download nobody/nothing --revision v1 --local-dir DIR",
    "timm:vit_base_patch14_dinov2.lvd142m": "hf download timm/vit_base_patch14_dinov2.lvd142m",
    "harmon-mini?device=cuda:99": "device 'cuda:99' cannot be used",
    "efficientnet_lite0:x": "takes no argument",
    "nobody/nothing?revision=v1": "hf download nobody/nothing --revision v1 --local-dir DIR",
    "vae:nobody/nothing?revision=v1": "hf download nobody/nothing --revision v1 --local-dir DIR",
    "harmon-mini?revision=v1": "harmon-mini lies here and has only one",
    "vae:harmon-mini?revision=v1": "harmon-mini lies here and has only one",
    "vlm:.?revision=v1": "give vlm: a folder of a model",
}


@pytest.mark.parametrize("model", NOWHERE)
def test_weights_that_are_not_there_are_said_before_anything_is_loaded(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    import huggingface_hub.constants

    from harmon_eval import registry

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(registry, "model", lambda *_: pytest.fail("a model was opened"))
    for dry in ((), ("--dry-run",)):
        refused = call("--model", model, "--tasks", "pope", "--limit", "1", *dry)
        assert refused.code == 2 and refused.err.count("error: ") == 1
        assert NOWHERE[model] in refused.err and not (tmp_path / "runs").exists()


CANNOT = {
    "timm:resnet": {"geneval": "draw images", "pope": "answer questions", "gedit": "edit images"},
    "vision:encoder": {"geneval": "draw images", "pope": "answer questions"},
    "efficientnet_lite0": {"geneval": "draw images", "seed:likelihood": "probabilities"},
    "pixels": {"geneval": "draw images", "reconstruction": "edit images"},
    "vae:harmon-mini": {"geneval": "draw images", "shape_edits": "but 'Repeat this image.'"},
    "vlm:talks": {"geneval": "draw images", "gedit": "edit images", "linear_probe": "embed images"},
    "diffusers:draws": {"pope": "answer questions", "gedit": "edit images"},
    "diffusers:edits": {"geneval": "draw images", "linear_probe": "embed images"},
    "janus:janus": {"gedit": "edit images"},
    "openai:m@http://127.0.0.1:9/v1": {"linear_probe": "embed images"},
}


@pytest.mark.parametrize(("model", "task"), [(m, t) for m, found in CANNOT.items() for t in found])
def test_a_model_is_not_loaded_for_a_task_that_it_cannot_do(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, task: str
) -> None:
    from harmon_eval import registry

    described = {
        "resnet/config.json": {"architecture": "resnet18"},
        "encoder/config.json": {"model_type": "dinov2"},
        "talks/config.json": {"model_type": "qwen2_vl"},
        "janus/config.json": {"model_type": "janus"},
        "draws/model_index.json": {"_class_name": "StableDiffusionPipeline"},
        "edits/model_index.json": {"_class_name": "StableDiffusionInstructPix2PixPipeline"},
    }
    for name, content in described.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(json.dumps(content))
    save_file({"weight": np.zeros(1)}, tmp_path / "resnet/model.safetensors")
    if registry.prepared(model).network:
        monkeypatch.setattr(registry, "model", lambda *_: pytest.fail("a model was opened"))
    for dry in ((), ("--dry-run",)):
        refused = call("--model", model, "--tasks", task, "--limit", "1", *dry)
        said = refused.err.splitlines()[-1]
        assert refused.code == 2 and said.startswith(f"error: task '{task}' asks for what"), said
        assert CANNOT[model][task] in said and not list(tmp_path.glob("runs/*/manifest.json"))


@pytest.mark.parametrize(
    ("judge", "words"),
    [
        ("vlm:/no/where", "no file or folder '/no/where'"),
        ("vlm:nobody/nothing", "hf download nobody/nothing"),
        ("janus:a/b/c", "no file or folder 'a/b/c'"),
        ("nobody/nothing", "hf download nobody/nothing"),
        ("vml:x", "unknown model 'vml:x'"),
        ("vlm:x?max_tokens=3", "judge=vlm has no setting 'max_tokens'"),
    ],
)
def test_a_local_judge_that_is_not_there_is_said_before_the_model_is_loaded(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, judge: str, words: str
) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    (tmp_path / "counting.py").write_text("def open_model():\n    open('opened', 'w')\n")
    own = ("--include", "counting.py", "--model", "counting", "--tasks", "wise", "--limit", "1")
    for dry in ((), ("--dry-run",)):
        refused = call(*own, "--judge-model", judge, *dry)
        assert refused.code == 2 and words in refused.err and refused.err.count("error: ") == 1
    assert not (tmp_path / "runs").exists() and not (tmp_path / "opened").exists()


def test_the_hub_is_asked_for_the_revision_that_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    import httpx2
    import huggingface_hub
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    from harmon_eval.adapters._places import find_weights
    from harmon_eval.core import UserError

    asked = []

    def model_info(self: object, place: str, revision: str | None = None, timeout: int = 0) -> None:
        asked.append((place, revision))
        response = httpx2.Response(404, request=httpx2.Request("GET", "https://huggingface.co"))
        if place == "nobody/nothing":
            raise RepositoryNotFoundError("no", response=response)
        if revision == "v9":
            raise RevisionNotFoundError("no", response=response)

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", model_info)
    find_weights("somebody/something", "v1")
    with pytest.raises(UserError, match="has no revision 'v9' on the hub: give a branch"):
        find_weights("somebody/something", "v9")
    with pytest.raises(UserError, match="the hub has no such model, or a private one"):
        find_weights("nobody/nothing")
    assert asked == [
        ("somebody/something", "v1"),
        ("somebody/something", "v9"),
        ("nobody/nothing", None),
    ]
