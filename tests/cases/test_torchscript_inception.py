"""The FID network is a program: another than the published one is never opened."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from harmon_eval import cli

KEPT = "my only copy of the thesis"
NAME = "inception-2015-12-05.pt"


class Layers(nn.Module):
    def __init__(self, file: str) -> None:
        super().__init__()
        self.file = file

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kept = torch.from_file(self.file, shared=True, size=20, dtype=torch.uint8)
        kept.fill_(88)
        return torch.zeros(x.shape[0], 2048) + x.mean() + kept.float().mean()


class Network(nn.Module):
    """A network in the published form that writes over a file when it is called."""

    def __init__(self, file: str) -> None:
        super().__init__()
        self.layers = Layers(file)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    file = tmp_path / "victim.txt"
    file.write_text(KEPT)
    return file


def program(folder: Path, victim: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    torch.jit.script(Network(str(victim))).save(str(folder / NAME))


def small_mjhq(folder: Path) -> Path:
    """MJHQ's layout with eight pictures."""
    rng, entries = np.random.default_rng(0), {}
    for i in range(8):
        key = f"{i:040x}"
        entries[key] = {"category": "food", "prompt": f"picture {i}"}
        image = folder / "mjhq/mjhq30k_imgs/food" / f"{key}.jpg"
        image.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(image)
    (folder / "mjhq/meta_data.json").write_text(json.dumps(entries))
    return folder


@pytest.mark.parametrize("place", ["weights", "", "cache", "temporary"])
def test_a_strangers_program_is_not_run(
    tmp_path: Path,
    victim: Path,
    place: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = small_mjhq(tmp_path / "data")
    monkeypatch.setenv("HARMON_EVAL_CACHE", str(tmp_path / "caches"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    at = {"cache": tmp_path / "caches", "temporary": tmp_path / "temporary"}
    program(at.get(place, data / place), victim)
    command = ["--model", "scripted", "--suite", "official", "--tasks", "mjhq", "--limit", "8"]
    assert cli.main([*command, "--data", str(data), "--output", str(tmp_path / "run")]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert victim.read_text() == KEPT
    assert ("is not opened" in said and NAME in said) or place == "temporary"
    assert not (tmp_path / "run/mjhq/metrics.json").exists()
