"""Shape edits: exact targets are all right, trivial models are not, and what halves are told."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import harmon_eval
from harmon_eval.registry import task
from harmon_eval.tasks.shape_edits import mini
from tests.tasks.exact_edits import Exact

EDITS = [(i.edit.instruction, i.edit.source, i.edit.target) for i in mini.items()]


def test_exact_targets_are_all_right_and_trivial_models_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARMON_EVAL_CACHE", str(tmp_path / "cache"))
    run = harmon_eval.evaluate(Exact(EDITS), tasks="shape_edits", output=tmp_path / "run")
    found = run["shape_edits"]
    assert found.n == found.total == 216 and found.headline == "edit_accuracy[edit-rules-1]"
    names = (found.headline, "followed", "preserved", "seen", "unseen", "hybrid", "number")
    assert all(found.metrics[name] == 1 for name in names)
    assert found.metrics["background_mae"] == 0 and "psnr_kept" not in found.metrics
    floors = found.floors
    assert floors[found.headline]["copy_source"] == 0 and floors["preserved"]["copy_source"] == 1
    assert floors[found.headline]["ignore_source"] < 0.05


def test_a_right_edit_is_followed_and_preserved_and_kinds_count_alike() -> None:
    rows = pd.DataFrame(
        {
            "edit_type": ["add", "add", "add", "move"],
            "split": ["seen", "unseen", "unseen", "seen"],
            "right": [True, False, False, False],
            "followed": [True, True, False, False],
            "preserved": [True, False, True, True],
            "retoned": False,
            "background_mae": [1.0, 2.0, 3.0, 6.0],
            "psnr_kept": [30.0, 40.0, float("inf"), 20.0],
        }
    )
    found = task("shape_edits").summarize(rows)
    assert found["edit_accuracy[edit-rules-1]"] == pytest.approx((1 / 3 + 0) / 2)
    assert found["followed"] == pytest.approx((2 / 3 + 0) / 2)
    assert found["seen"] == 0.5 and found["unseen"] == 0
    assert found["background_mae"] == 3 and found["psnr_kept"] == 30
