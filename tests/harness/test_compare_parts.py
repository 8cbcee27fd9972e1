"""Of what a comparison takes a metric to be a mean, where all marks agree."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import harmon_eval
from harmon_eval import cli, registry
from harmon_eval.comparing.paired import differences
from harmon_eval.comparing.planning import plan
from harmon_eval.core import Metric
from harmon_eval.metrics.rows import of as rows_of
from harmon_eval.metrics.shares import mean_of, share
from harmon_eval.suites import load

TASK = replace(registry.task("pope"), replicates=None, intervals=None, columns=("*",))


def rows(mark: float, groups: int, strata: int = 1) -> pd.DataFrame:
    """Two samples a group."""
    number = np.arange(2 * groups) // 2
    return pd.DataFrame(
        {
            "id": [f"{n}" for n in range(2 * groups)],
            "group": [f"g{n:04d}" for n in number],
            "stratum": [f"s{n % strata}" for n in number],
            "unscored": None,
            "correct": mark,
        }
    )


def exactly(groups: int) -> object:
    """Nothing changed in ``groups``: the bounds of Clopper and Pearson."""
    bound = 1 - 0.05 ** (1 / groups)
    return pytest.approx((-bound, bound))


@pytest.mark.parametrize("mark", [0.0, 1.0])
def test_a_part_has_its_own_groups_only_also_where_all_marks_agree(mark: float) -> None:
    """Where every mark is the same, the mean of any samples has the right value."""

    def summarize(rows: pd.DataFrame) -> dict[str, float]:
        parts = rows.groupby("stratum")["correct"].mean().to_dict()
        return {**parts, "overall": float(np.mean(list(parts.values())))}

    sizes = {"s0": 4, "s1": 3, "s2": 4}
    shares = [Metric(name, rows=rows_of("stratum"), of=share("correct")) for name in sizes]
    head = Metric("overall", headline=True, mean_of=mean_of(sizes))
    task = replace(TASK, summarize=summarize, metrics=(head, *shares))
    same = rows(mark, 12, 3).query("group != 'g0010'")
    found = differences(task, same, same, frozenset({*sizes, "overall"}))
    for name, groups in sizes.items():
        assert found[name].groups == groups
        assert found[name].interval == exactly(groups)
    low, high = found["overall"].interval or (0, 0)
    assert high > 1 - 0.05 ** (1 / 11), "parts of other sizes: not the mean of all samples"
    assert low == pytest.approx(-high)


def test_a_part_that_is_no_stratum_has_its_own_groups() -> None:
    """Of ten groups three hold such a question; all are right."""
    some = rows(1.0, 10).assign(kind=lambda r: np.where(r["group"] < "g0003", "a", "b"))
    part = Metric("a", rows=rows_of("kind"), of=share("correct"))

    def summarize(rows: pd.DataFrame) -> dict[str, float]:
        return {"a": float(rows["correct"][rows["kind"] == "a"].mean())}

    task = replace(TASK, summarize=summarize, metrics=(part,))
    found = differences(task, some, some, frozenset({"a"}))["a"]
    assert found.groups == 3
    assert found.interval == exactly(3)


def test_a_plan_is_in_prompts_of_the_task(tmp_path: Path) -> None:
    """POPE's headline counts one of three images: of all images it takes three times as many."""
    for name, seed in (("a", "0"), ("b", "1")):
        run = ["--model", "scripted", "--tasks", "pope", "--limit", "9", "--seed", seed, "--quiet"]
        assert cli.main([*run, "--output", str(tmp_path / name)]) == 0
    runs = tmp_path / "a", tmp_path / "b"
    found = plan("pope", 10.0, 1, load("mini"), runs)
    (line, *_) = harmon_eval.compare(*runs, no_worse_than="10").lines
    assert line.difference is not None and line.difference.groups == 3
    assert line.needed is not None and found.available == 30
    assert found.needed == pytest.approx(3 * line.needed, rel=0.02)


def test_of_a_square_that_few_groups_count_in_nothing_is_known_from_the_others() -> None:
    """No share of marks: leaving out a group that does not count says nothing."""
    some = rows(1.0, 12, 4)
    mean = Metric("s0", rows=rows_of("stratum"), of=share("correct"), higher_is_better=None)
    square = Metric("square", mean_of=mean_of(["s0"]))

    def summarize(rows: pd.DataFrame) -> dict[str, float]:
        own = float(rows["correct"][rows["stratum"] == "s0"].mean())
        return {"s0": own, "square": own**2}

    half = some.assign(correct=np.where(some["id"].astype(int) % 2, 1.0, 0.0))
    task = replace(TASK, summarize=summarize, metrics=(square, mean))
    found = differences(task, half, half, frozenset({"square"}))["square"]
    low, _ = found.interval or (0, 0)
    assert low <= 0.05 ** (1 / 3) - 1


def test_without_a_pilot_a_plan_is_in_prompts_of_the_task_too() -> None:
    """Fair coins for the ten images that POPE's headline counts, of the thirty of the task."""
    found = plan("pope", 10.0, 1, load("mini"))
    assert found.available == 30 and "the headline counts 10 of the 30 prompts" in found.basis
    assert found.needed == pytest.approx(3 * plan("gqa", 10.0, 1, load("mini")).needed, rel=0.02)
