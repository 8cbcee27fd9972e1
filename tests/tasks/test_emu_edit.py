"""Emu Edit: exact edits follow the captions; copies are perfect to the source alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import harmon_eval
from harmon_eval.core import Answer, Data, UserError
from harmon_eval.registry import task
from harmon_eval.suites.mini.edit_images import png
from harmon_eval.tasks.emu_edit import marks, mini
from tests.tasks.exact_edits import Exact

EDITS = [(i.edit.instruction, i.edit.source, i.edit.target) for i in mini.items()]


def test_exact_targets_follow_the_captions_and_a_copy_is_perfect_only_to_its_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARMON_EVAL_CACHE", str(tmp_path / "cache"))
    found = harmon_eval.evaluate(Exact(EDITS), tasks="emu_edit", output=tmp_path / "run")[
        "emu_edit"
    ]
    assert found.n == 48 and found.headline == "clip_dir[shape-counts]"
    assert found.score is not None and found.score > 0.97
    assert found.metrics["clip_out_to_output_caption[shape-counts]"] > 0.97
    copied = {name: floor["copy_source"] for name, floor in found.floors.items()}
    assert copied["clip_dir[shape-counts]"] == 0
    assert copied["clip_im_to_source[shape-counts]"] == pytest.approx(1.0)
    assert copied["dino_to_source[mini]"] == pytest.approx(1.0)
    assert copied["l1_to_source"] == 0
    assert found.metrics["dino_to_source[mini]"] < 0.98 and found.metrics["l1_to_source"] > 0
    ignored = {name: floor["ignore_source"] for name, floor in found.floors.items()}
    assert ignored["clip_out_to_output_caption[shape-counts]"] > 0.95


def test_the_direction_by_hand() -> None:
    """The image moves by (1, 1), the caption by (2, 0): 45 degrees."""
    given, made = np.array([3.0, 0.0]), np.array([4.0, 1.0])
    assert marks.direction(made, given, np.array([2.0, 0.0])) == pytest.approx(0.5**0.5)
    assert marks.direction(given, made, np.array([2.0, 0.0])) == pytest.approx(-(0.5**0.5))
    assert marks.direction(given, given, np.array([2.0, 0.0])) == 0


def table(folder: Path, **changed: Any) -> Data:
    import pyarrow as pa
    import pyarrow.parquet as pq

    image = {"bytes": png(next(iter(mini.items())).edit.source), "path": "1.png"}
    row = {"instruction": "Add a hat.", "image": image, "task": "add", "split": "test", "idx": 7}
    row |= {"hash": "h", "input_caption": "a man", "output_caption": "a man with a hat"}
    pq.write_table(pa.Table.from_pylist([row | changed] * 2), folder / "test-0.parquet")
    return Data.at(folder)


def test_rows_of_one_name_are_two_samples_and_flaws_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARMON_EVAL_CACHE", str(tmp_path / "cache"))
    found = list(task("emu_edit").samples(table(tmp_path)))
    assert [sample.id for sample in found] == ["add/7", "add/7_1"]
    assert len({sample.group for sample in found}) == 1
    with pytest.raises(UserError, match="lacks an image, instruction or caption"):
        list(task("emu_edit").samples(table(tmp_path, output_caption="")))
    with pytest.raises(UserError, match="plain characters"):
        list(task("emu_edit").samples(table(tmp_path, task="../up")))


def test_captions_that_are_the_same_have_no_direction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harmon_eval.instruments.clip.mini import MiniClip
    from harmon_eval.instruments.dino.mini import MiniDino

    monkeypatch.setenv("HARMON_EVAL_CACHE", str(tmp_path / "cache"))
    (sample, _) = task("emu_edit").samples(table(tmp_path, output_caption="a man"))
    answer = Answer(sample, sample.request.files[0])
    (row,) = marks.mark([answer], {"clip": MiniClip(), "dino": MiniDino()})
    assert row["clip_dir"] is None and row["dino"] == pytest.approx(1.0)
