"""Unscored samples beside each metric: how many it would count, as its bounds assume."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from harmon_eval.core import About, Ask, Metric, Sample, Task
from harmon_eval.metrics.rows import of
from harmon_eval.metrics.shares import share
from harmon_eval.running.jobs import Job
from harmon_eval.running.results import as_json, scores, summarize
from harmon_eval.store.tables import figures, frame, markdown, records

KINDS = ("red", "red", "blue", "blue", "blue")


def row(sample: Sample, right: bool) -> dict[str, object]:
    return {"kind": sample.target["kind"], "correct": right}


def means(rows: pd.DataFrame) -> dict[str, float]:
    kinds = rows.groupby("kind")["correct"].mean()
    return {
        "accuracy": float(rows["correct"].mean()),
        **{str(k): float(v) for k, v in kinds.items()},
    }


TASK = Task(
    samples=lambda data: SAMPLES,
    mark=lambda answers, instruments: [row(answer.sample, True) for answer in answers],
    summarize=means,
    metrics=(
        Metric("accuracy", of=share("correct")),
        Metric("*", rows=of("kind"), of=share("correct")),
    ),
    about=About("none", "1"),
    bounds=lambda sample: (row(sample, False), row(sample, True)),
)
SAMPLES = [
    Sample(str(number), Ask("?"), {"kind": kind}, str(number)) for number, kind in enumerate(KINDS)
]


def run(task: Task) -> tuple[Job, pd.DataFrame]:
    """All right; the second sample, which is red, has no mark."""
    rows = pd.DataFrame(
        {"id": s.id, "group": s.group, "stratum": "", "unscored": None, **row(s, True)}
        for s in SAMPLES
    )
    rows["correct"] = rows["correct"].astype(object)
    rows.loc[1, ["unscored", "kind", "correct"]] = "the judge failed", None, None
    return Job("toy", task, SAMPLES, SAMPLES, None), rows


def test_a_metric_says_how_many_unscored_samples_it_would_count() -> None:
    job, rows = run(TASK)
    result = summarize(job, rows, {})
    found = {name: (count.n, count.unscored) for name, count in result.counts.items()}
    assert found == {"accuracy": (4, 1), "red": (1, 1), "blue": (3, 0)}
    assert result.bounds == (0.8, 1.0), "the same one sample, wrong or right"
    stored = as_json(TASK, result)
    table = frame([stored])
    assert dict(zip(table["metric"], table["unscored"], strict=True)) == {
        "accuracy": 1,
        "red": 1,
        "blue": 0,
    }
    assert [figures(line)["unscored"] for line in records(table)] == ["1", "0", "1"]
    assert markdown(table).splitlines()[3].endswith("| 3 | 0 |")
    assert scores(stored).counts == result.counts


def test_without_assumed_marks_each_metric_may_count_all_unscored_samples() -> None:
    """What kind the sample is only its mark would say: an upper bound."""
    job, rows = run(replace(TASK, bounds=None))
    result = summarize(job, rows, {})
    assert {name: count.unscored for name, count in result.counts.items()} == dict.fromkeys(
        ("accuracy", "red", "blue"), 1
    )
    assert result.bounds is None


def test_results_of_before_give_those_of_the_task() -> None:
    job, rows = run(TASK)
    stored = as_json(TASK, summarize(job, rows, {}))
    del stored["unscored_counts"]
    assert set(frame([stored])["unscored"]) == {1}
    assert {count.unscored for count in scores(stored).counts.values()} == {1}


def test_where_all_samples_have_marks_nothing_is_unscored() -> None:
    _, rows = run(TASK)
    rows = rows[rows["unscored"].isna()]
    result = summarize(Job("toy", TASK, [SAMPLES[0], *SAMPLES[2:]], SAMPLES, 4), rows, {})
    assert {count.unscored for count in result.counts.values()} == {0}
    assert result.metrics["accuracy"] == pytest.approx(1.0)
