"""Marks are made in batches, in any order, and come together as one table in the samples' order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from harmon_eval.core import Ask, Sample, UserError
from harmon_eval.running.collecting import collect_rows, frame, marked
from harmon_eval.store.index import Numbers
from harmon_eval.store.row_files import common_schema
from harmon_eval.store.task_folder import TaskFolder

KEY = {"version": "1", "instruments": {}}
SAMPLES = [Sample(f"q{i}", Ask(f"question {i}"), {}, f"q{i}") for i in range(23)]
STAMPS = Numbers((sample.id, number + 7) for number, sample in enumerate(SAMPLES))


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("store.row_files", "running.collecting"):
        monkeypatch.setattr(f"harmon_eval.{module}.ROW_GROUP", 4)


def row(number: int) -> dict[str, Any]:
    """A verdict, a text, a list and a structure; every third has a count of its own."""
    own = {"correct": number % 2 == 0, "said": f"é {number}", "boxes": [1.0] * (number % 3)}
    count = {"count": number} if number % 3 == 0 else {}
    return {**own, "parts": {f"part{number % 2}": number}, **count}


def collected(path: Path, *parts: range | list[int]) -> bytes:
    folder = TaskFolder(path / "run" / "task")
    for name, numbers in enumerate(parts):
        found = [(SAMPLES[n], row(n)) for n in numbers]
        folder.add_marks(KEY, f"{name:06d}", frame(found, STAMPS))
    collect_rows(KEY, folder, SAMPLES, STAMPS)
    return (folder.path / "rows.parquet").read_bytes()


def test_the_same_bytes_in_whatever_pieces_and_order_rows_were_marked(tmp_path: Path) -> None:
    whole = collected(tmp_path / "whole", range(23))
    assert whole == collected(tmp_path / "turned", range(12, 23), range(12))
    assert whole == collected(tmp_path / "mixed", [*range(0, 23, 2)], [*range(21, 0, -2)])
    assert whole == collected(tmp_path / "single", *([n] for n in range(23)))


def test_they_are_the_rows_that_were_marked(tmp_path: Path) -> None:
    collected(tmp_path, range(12, 23), range(12))
    found = TaskFolder(tmp_path / "run" / "task").rows()
    assert found is not None
    expected = frame([(sample, row(n)) for n, sample in enumerate(SAMPLES)], STAMPS)
    assert found["count"].dtype == expected["count"].dtype == "float64"
    plain = ["id", "group", "stratum", "response", "correct", "said", "count"]
    pd.testing.assert_frame_equal(found[plain], expected[plain])
    assert [len(boxes) for boxes in found["boxes"]] == [n % 3 for n in range(23)]


def test_what_has_no_mark_says_why_in_its_place(tmp_path: Path) -> None:
    folder = TaskFolder(tmp_path / "run" / "task")
    folder.record({"q3": "yes", "q9": RuntimeError("no memory")})
    collected(tmp_path, [n for n in range(23) if n not in (3, 9, 22)])
    found = folder.rows()
    assert found is not None and list(found["id"]) == [sample.id for sample in SAMPLES]
    reasons = found["unscored"].dropna()
    assert dict(zip(found["id"][reasons.index], reasons, strict=True)) == {
        "q3": "the stored response is damaged or lost",
        "q9": "RuntimeError: no memory",
        "q22": "no response",
    }


def test_a_mark_of_another_response_gives_way_and_a_score_goes_before_a_reason(
    tmp_path: Path,
) -> None:
    folder = TaskFolder(tmp_path / "run" / "task")
    other = Numbers([("q0", 99)])
    folder.add_marks(KEY, "0", frame([(SAMPLES[0], {"correct": False})], other))
    folder.add_marks(KEY, "1", frame([(SAMPLES[1], {"correct": False})], STAMPS))
    folder.add_marks(KEY, "2", frame([(SAMPLES[1], {"unscored": "busy"})], STAMPS))
    folder.add_marks(KEY, "3", frame([(SAMPLES[2], {"unscored": "busy"})], STAMPS))
    assert {n for n in ("q0", "q1", "q2") if n in marked(folder, KEY, STAMPS)} == {"q1"}
    collect_rows(KEY, folder, SAMPLES[:3], STAMPS)
    found = folder.rows()
    assert found is not None
    assert list(found["unscored"].fillna("")) == ["no response", "", "busy"]


def test_a_column_of_different_things_is_one_line(tmp_path: Path) -> None:
    folder = TaskFolder(tmp_path / "run" / "task")
    folder.add_marks(KEY, "0", frame([(SAMPLES[0], {"correct": "yes"})], STAMPS))
    folder.add_marks(KEY, "1", frame([(SAMPLES[1], {"correct": 1.0})], STAMPS))
    with pytest.raises(UserError, match=r"different things in one column.*correct"):
        collect_rows(KEY, folder, SAMPLES[:2], STAMPS)


def test_nothing_at_all_is_no_column_of_different_things() -> None:
    with pytest.raises(UserError, match="no rows to put together: the task has no samples"):
        common_schema([])
