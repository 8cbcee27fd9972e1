"""A long task is not held in memory: its samples are made again, and a few bytes stand for each."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmon_eval.core import Ask, Sample
from harmon_eval.running import jobs
from harmon_eval.store.index import MadeAgain, Numbers, repeated
from harmon_eval.store.log import log_line
from harmon_eval.store.recorded import Recorded

Call = Callable[..., Any]
NUMBERS = st.integers(1, 2**64 - 1)


@given(st.lists(st.tuples(st.text(max_size=4), NUMBERS)))
def test_numbers_by_name_are_those_of_a_dictionary(pairs: list[tuple[str, int]]) -> None:
    numbers, expected = Numbers(pairs), dict(pairs)
    assert len(numbers) == len(expected) and sorted(numbers.values()) == sorted(expected.values())
    assert {name: numbers.get(name) for name in expected} == expected
    assert "another name" not in numbers and numbers.get("another name") is None


@given(st.integers(0, 12), st.lists(st.tuples(st.integers(-13, 13), st.integers(-13, 13))))
def test_slices_of_what_is_made_again_are_those_of_a_list(
    count: int, slices: list[tuple[int, int]]
) -> None:
    whole = list(range(count))
    made = MadeAgain(whole.__iter__, count)
    for start, stop in slices:
        assert made[start:stop] == whole[start:stop]
    assert list(made) == whole and len(made) == count
    assert [made[i] for i in range(-count, count)] == whole + whole


def test_samples_that_come_in_turn_are_made_once() -> None:
    begun = []

    def make() -> Any:
        begun.append(1)
        return iter(range(100))

    made = MadeAgain(make, 100)
    assert [made[i : i + 7] for i in range(0, 100, 7)] == [
        list(range(i, min(i + 7, 100))) for i in range(0, 100, 7)
    ]
    assert len(begun) == 1


def test_a_repeated_id_is_named() -> None:
    samples = [Sample(name, Ask("?"), {}, "g") for name in ("a", "b", "c", "b")]
    assert repeated(samples.__iter__) == (4, "b")
    assert repeated(samples[:3].__iter__) == (3, None)


def test_of_several_logs_the_latest_attempt_at_each_sample_counts(tmp_path: Path) -> None:
    first = [{"id": "a", "reply": "1"}, {"id": "b", "error": "x"}, {"batch": 2, "seconds": 1}]
    second = [{"id": "b", "reply": "3", "attempt": 2}, {"id": "c", "reply": "4"}]
    third = [
        {"id": "b", "error": "y", "attempt": 1},
        {"id": "c", "reply": "5"},
        {"id": "d", "reply": "?", "attempt": "many"},
    ]
    logs = [tmp_path / f"{i}.jsonl" for i in range(3)]
    for log, entries in zip(logs, (first, second, third), strict=True):
        log.write_bytes(b"torn\n" + b"".join(map(log_line, entries)) + b'{"id": "a", "re')
    found = Recorded(logs)
    assert {name: entry["reply"] for name, entry in found.items()} == {"a": "1", "b": "3", "c": "5"}
    assert len(found) == 3 and "d" not in found and found.get("d") is None


def test_a_run_of_samples_made_again_comes_to_the_same(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = ("--model", "toy_flaky", "--tasks", "toy_draw,toy_ask", "--batch-size", 5)
    assert call(*tasks, "--output", "held").code == 1
    monkeypatch.setattr(jobs, "HELD", 3)
    assert call(*tasks, "--output", "made").code == 1
    assert call(*tasks, "--output", "made").code == 1  # resumed: errors are asked again
    for name in ("toy_draw", "toy_ask"):
        both = [tmp_path / run / name for run in ("held", "made")]
        pd.testing.assert_frame_equal(*(pd.read_parquet(p / "rows.parquet") for p in both))
        first, second = (json.loads((p / "metrics.json").read_text()) for p in both)
        assert first == second
    limited = call(*tasks[:4], "--limit", 4, "--output", "few")
    assert limited.code in (0, 1) and "Traceback" not in limited.err
