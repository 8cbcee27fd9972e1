"""The whole official path of geneval and mjhq: real file formats, instruments of the real classes.

Weights are random, but for two biases that make the detector see one person as large as the image:
so every verdict is known. The files lie where a user's would.
"""

import io
import json
import lzma
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from open_clip.model import CLIP
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from harmon_eval import cli
from harmon_eval.instruments.color import clip as clip_colors
from harmon_eval.instruments.color.clip import ClipColors
from harmon_eval.instruments.mask2former import checkpoint as mask2former_checkpoint
from harmon_eval.instruments.mask2former import pixels as mask2former_pixels
from harmon_eval.store.digests import sha256_of
from harmon_eval.tasks.geneval import prompts

FIXTURE = Path(__file__).parents[1] / "fixtures" / "mask2former_mmdet_trimmed.pt.xz"
TEXT = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
VISION = {"image_size": 32, "patch_size": 8, "width": 32, "layers": 1, "head_width": 16}
PROMPTS = [
    prompts.single("person"),
    prompts.single("dog"),
    prompts.counting("person", 2),
    prompts.two("person", "cat"),
]


class StandIn(nn.Module):
    """As clean-fid's TorchScript file: ``layers`` gives features of (B, 3, 299, 299)."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 8, 23, 23), nn.ReLU(), nn.AdaptiveAvgPool2d(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


def write_detector(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = torch.load(io.BytesIO(lzma.decompress(FIXTURE.read_bytes())), weights_only=True)
    state = dict(state["state_dict"])
    head = "panoptic_head."
    for name in ("cls_embed", "mask_embed.4", "pixel_decoder.mask_feature"):
        state[f"{head}{name}.weight"] = torch.zeros_like(state[f"{head}{name}.weight"])
        state[f"{head}{name}.bias"] = torch.full_like(state[f"{head}{name}.bias"], 0.5)
    state[head + "cls_embed.bias"][prompts.OBJECT_NAMES.index("person")] = 20.0
    torch.save({"meta": {}, "state_dict": state}, path)
    monkeypatch.setitem(mask2former_checkpoint.RELEASES, sha256_of(path)[:8], path.name)
    monkeypatch.setattr(mask2former_pixels, "PUBLISHED", mask2former_pixels.Pipeline(128, 96))


def write_clip(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(1)
    model = CLIP(16, dict(VISION), dict(TEXT), quick_gelu=True)
    save_file(model.state_dict(), path)
    small = {"embed_dim": 16, "vision_cfg": VISION, "text_cfg": TEXT, "quick_gelu": True}
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, clip_colors.ARCHITECTURE, small)
    # What these random weights say of a red ball is what the self-test has to find again.
    named: dict[str, tuple[int, int, int]] = {}
    monkeypatch.setattr(clip_colors, "KNOWN_COLORS", named)
    colors = ClipColors(model, open_clip.get_tokenizer(clip_colors.ARCHITECTURE), "", "cpu")
    rows, columns = np.mgrid[:256, :256] - 127.5
    disc = rows**2 + columns**2 < 120**2
    red = np.broadcast_to(np.array((230, 0, 0), np.uint8), (256, 256, 3))
    box = np.array([[8, 8, 248, 248]], np.float32)
    named[colors(red, box, disc[None], clip_colors.KNOWN_CLASS)[0]] = (230, 0, 0)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder in the documented layout."""
    monkeypatch.setenv("HARMON_EVAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    folder = tmp_path / "data"
    weights = folder / "weights"
    weights.mkdir(parents=True)
    write_detector(weights / "mask2former_swin-s-p4-w7-224_lsj_8x2_50e_coco.pth", monkeypatch)
    write_clip(weights / "open_clip_model.safetensors", monkeypatch)
    torch.manual_seed(0)
    torch.jit.save(torch.jit.script(StandIn().eval()), str(weights / "inception-2015-12-05.pt"))
    (folder / "geneval").mkdir()
    items = [*PROMPTS, prompts.colors("person", "red")]
    (folder / "geneval" / "evaluation_metadata.jsonl").write_text(prompts.to_jsonl(items))
    rng = np.random.default_rng(0)
    entries = {}
    for i in range(24):
        category = ("food", "plants")[i % 2]
        key = f"{i:040x}"
        entries[key] = {"category": category, "prompt": f"picture {i}, soft light"}
        image = folder / "mjhq" / "mjhq30k_imgs" / category / f"{key}.jpg"
        image.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(image)
    (folder / "mjhq" / "meta_data.json").write_text(json.dumps(entries))
    return folder


def test_geneval_and_mjhq_run_from_prompts_to_scores(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    command = [
        "--model",
        "scripted",
        "--suite",
        "official",
        "--tasks",
        "geneval,mjhq",
        "--data",
        str(data),
        "--output",
        str(run),
        "--instrument",
        f"features=inception?sha256={sha256_of(data / 'weights/inception-2015-12-05.pt')}",
    ]
    assert cli.main(command) == 0
    geneval = json.loads((run / "geneval" / "metrics.json").read_text())
    metrics = geneval["metrics"]
    # 16 queries see the person: enough for one, too many for two; nobody sees dog or cat.
    assert metrics["single_object"] == 0.5
    assert metrics["counting"] == metrics["two_object"] == 0.0
    assert metrics["overall"] == pytest.approx((0.5 + metrics["colors"]) / 4)
    results = [
        json.loads(line) for line in (run / "geneval/results.jsonl").read_text().split("\n") if line
    ]
    assert len(results) == 20
    counting = next(row for row in results if row["tag"] == "counting")
    assert counting["reason"] == "expected person<3, found 16"
    box = json.loads(counting["details"])["person"][0]
    assert box[:4] == [0, 0, 64, 64] and box[4] > 0.95
    instruments = geneval["provenance"]["instruments"]
    assert instruments["detector"].startswith("mask2former-mmdet-2.x")
    assert "QuickGELU".lower() in instruments["color"].lower()
    mjhq = json.loads((run / "mjhq" / "metrics.json").read_text())
    assert mjhq["headline"] == "fid[playground,inception]"
    assert mjhq["metrics"][mjhq["headline"]] > 0


def test_missing_weights_are_named_and_marking_goes_on_when_they_are_there(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = data / "weights" / "mask2former_swin-s-p4-w7-224_lsj_8x2_50e_coco.pth"
    weights.rename(tmp_path / "elsewhere.pth")
    run = tmp_path / "run"
    command = [
        "--model",
        "scripted",
        "--suite",
        "official",
        "--tasks",
        "geneval",
        "--limit",
        "1",
        "--data",
        str(data),
        "--output",
        str(run),
    ]
    assert cli.main(command) == 2 and not run.exists(), "said before anything is drawn"
    said = " ".join(capsys.readouterr().err.split())
    assert cli.main([*command, "--dry-run"]) == 2
    assert " ".join(capsys.readouterr().err.split()) == said
    assert cli.main([*command, "--predict-only"]) == 0
    name = "mask2former_swin-s-p4-w7-224_lsj_8x2_50e_coco_20220504_001756-743b7d99.pth"
    assert f"at {data}/weights/{name}" in said
    # Users keep weights in the cache as well.
    (tmp_path / "cache" / "weights").mkdir(parents=True)
    (tmp_path / "elsewhere.pth").rename(tmp_path / "cache" / "weights" / weights.name)
    assert cli.main(["mark", str(run)]) == 0


def test_a_detector_that_fails_its_self_test_marks_nothing(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("harmon_eval.instruments.mask2former.detector.KNOWN_OBJECT", "zebra")
    run = tmp_path / "run"
    command = [
        "--model",
        "scripted",
        "--suite",
        "official",
        "--tasks",
        "geneval",
        "--limit",
        "1",
        "--data",
        str(data),
        "--output",
        str(run),
    ]
    assert cli.main(command) == 2
    assert "fails its self-test: zebra in a portrait scored" in capsys.readouterr().err
    assert cli.main([*command, "--predict-only"]) == 0
    assert cli.main(["mark", str(run)]) == 1
    assert "fails its self-test: zebra in a portrait scored" in capsys.readouterr().err
    assert not (run / "geneval" / "metrics.json").exists()


def test_detectors_are_told_apart_and_refused_where_they_do_not_belong(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = ["--model", "scripted", "--tasks", "geneval", "--instrument", "detector=hff"]
    assert cli.main([*wrong, "--output", str(tmp_path / "wrong")]) == 2
    assert "did you mean 'hf'" in capsys.readouterr().err
    run = tmp_path / "run"
    command = [
        "--model",
        "scripted",
        "--suite",
        "official",
        "--tasks",
        "geneval",
        "--limit",
        "1",
        "--data",
        str(data),
        "--output",
        str(run),
        "--instrument",
        "detector=hf",
    ]
    assert cli.main(command) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "mask2former-swin-small-coco-instance/model.safetensors" in said
    assert cli.main([*command, "--predict-only"]) == 0
    hub = data / "weights" / "mask2former-swin-small-coco-instance"
    weights = data / "weights" / "mask2former_swin-s-p4-w7-224_lsj_8x2_50e_coco.pth"
    state = mask2former_checkpoint.read_state(weights)
    mask2former_checkpoint.network(state, "recorded").save_pretrained(hub)
    assert cli.main(["mark", str(run)]) == 0
    result = json.loads((run / "geneval" / "metrics.json").read_text())
    assert result["provenance"]["instruments"]["detector"].startswith("geneval-hf ")
