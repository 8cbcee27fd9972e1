"""Fidelity of a model that draws the references themselves, and files that are no statistics."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import harmon_eval
from harmon_eval.core import Draw, Responder, UserError
from harmon_eval.suites.mini.scenes import render, sample_scene
from harmon_eval.tasks.fidelity import files, mini


class Copies(Responder):
    """Draws the reference of each prompt."""

    name, fingerprint = "copies", "1"

    def draw(self, requests: Sequence[Draw]) -> list[Image.Image]:
        from harmon_eval.suites.mini.language import description

        known = {}
        for index in range(mini.COUNT):
            scene = sample_scene(np.random.default_rng((mini.SEED, index)))
            known[f"a photo of {description(scene)}"] = Image.fromarray(render(scene))
        return [known[request.prompt] for request in requests]


def test_drawing_the_references_themselves_is_at_no_distance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARMON_EVAL_CACHE", str(tmp_path / "cache"))
    found = harmon_eval.evaluate(Copies(), tasks="fidelity", output=tmp_path / "run")["fidelity"]
    metrics = found.metrics
    assert found.headline == "fid[clean,mini]" and found.n == mini.COUNT
    assert metrics["fid[clean,mini]"] < 0.3
    assert metrics["precision[k=5,clean,mini]"] > 0.95
    assert metrics["vendi[clean,mini]"] == pytest.approx(
        metrics["vendi_reference[clean,mini]"], rel=0.05
    )


def test_a_model_cannot_draw_from_a_folder_without_prompts(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "one.png")
    with pytest.raises(UserError, match="no prompts to draw from"):
        harmon_eval.evaluate(Copies(), tasks=f"fidelity:{tmp_path}", output=tmp_path / "none")


class Evil:
    def __reduce__(self) -> Any:
        return print, ("opened",)


def test_a_file_that_is_no_statistics_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "objects.npz", mu=np.array([{}], object), sigma=np.eye(1))
    np.savez(tmp_path / "lacks.npz", mu=np.zeros(3))
    np.savez(tmp_path / "shapes.npz", mu=np.zeros(3), sigma=np.eye(4))
    np.savez(tmp_path / "nan.npz", mu=np.full(2, np.nan), sigma=np.eye(2))
    np.savez(tmp_path / "negative.npz", mu=np.zeros(2), sigma=-np.eye(2))
    np.savez(tmp_path / "indefinite.npz", mu=np.zeros(2), sigma=np.array([[1.0, 2], [2, 1]]))
    np.savez(tmp_path / "askew.npz", mu=np.zeros(2), sigma=np.array([[1.0, 0.5], [0, 1]]))
    (tmp_path / "text.npz").write_text("nothing")
    torch.save({"mu": Evil(), "sigma": 1}, tmp_path / "evil.pt")
    for file in sorted(tmp_path.iterdir()):
        with pytest.raises(UserError, match=file.name):
            files.read_statistics(file)
    assert "opened" not in capsys.readouterr().out
