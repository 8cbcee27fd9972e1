"""A small part of ``python -m benchmarks.coverage``: the intervals hold the true value."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks import record
from benchmarks.coverage import DOCS, ELSEWHERE, markdown, measure, summary
from benchmarks.coverage_models import BENCHMARKS
from harmon_eval import registry


@pytest.mark.parametrize(("size", "strong"), [("mini", False), ("--limit 24", True)])
def test_headlines_of_all_tasks_cover_at_small_sizes(size: str, strong: bool) -> None:
    """Three runs of each task, 110 or more together: fewer than 0.86 of them happen in 1 of 200
    tries if each covers with 0.93."""
    covered = {}
    for bench in BENCHMARKS:
        sizes = dict(bench.settings()).get(size)
        if sizes is not None:
            found = {row["metric"]: row for row in measure(bench, size, sizes, strong, 3)}
            head = next(filter(registry.task(bench.task).main.names, found), "")
            assert head or bench.task == "mme", f"the headline of {bench.task} has no interval"
            covered[bench.task] = next(iter(found.values()))["coverage"]
    assert len(covered) >= 38
    assert np.mean(list(covered.values())) >= 0.86


def test_every_task_with_intervals_is_simulated() -> None:
    """Here, or where it is said with a reason."""
    with_intervals = {
        name
        for name in registry.bundled_task_names()
        if (task := registry.task(name)).intervals or any(m.interval for m in task.metrics)
    }
    simulated = {bench.task.partition(":")[0] for bench in BENCHMARKS}
    assert simulated.isdisjoint(ELSEWHERE), "one model a task"
    assert with_intervals - simulated == set(ELSEWHERE)
    for name, reason in ELSEWHERE.items():
        assert registry.task(name).intervals, f"{name} has intervals of its own: {reason}"


def test_the_table_in_the_docs_is_what_was_measured() -> None:
    rows = json.loads((record.RESULTS / "coverage.json").read_text())["measured"]["settings"]
    text = DOCS.read_text()
    assert summary(rows) in text and markdown(rows) in text
    assert {bench.task for bench in BENCHMARKS} == {row["task"] for row in rows}
    for row in rows:
        noise = (0.93 * 0.07 / row["trials"]) ** 0.5
        assert row["coverage"] >= 0.93 - 3 * noise, f"clearly below: {row}"
