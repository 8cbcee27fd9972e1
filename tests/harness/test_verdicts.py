"""From p-values to verdicts: Holm's correction, tolerance, minimum effect, and what is unknown."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from harmon_eval.comparing.paired import Difference
from harmon_eval.comparing.runs import TaskPair
from harmon_eval.comparing.verdict import Comparison, Line, Settings, judge
from harmon_eval.store.durable import read_json, write_json
from harmon_eval.store.run_folder import RunFolder

Call = Callable[..., Any]
Made = Callable[..., Path]
NONE: dict[str, float] = {}


def difference(value: float, p: float, error: float = 0.01, spread: bool = True) -> Difference:
    scatter = value + error * np.linspace(-2, 2, 401) if spread else None
    return Difference(0.5, 0.5 + value, p, "test", 100, error if spread else math.nan, scatter)


def judged(
    found: Sequence[Difference], higher: bool = True, tolerance: float = 0.0, effect: float = 0.0
) -> list[Line]:
    empty = pd.DataFrame()
    family = [
        (TaskPair(f"t{i}", None, "m", higher, empty, empty, frozenset(), (), ()), "m", each)
        for i, each in enumerate(found)
    ]
    settings = Settings({"": tolerance}, {"": effect} if effect else NONE)
    return judge(family, True, settings)


def test_p_values_are_corrected_as_holm_worked_it() -> None:
    # Sorted 0.01, 0.03, 0.04 times 3, 2, 1, and never falling: 0.03, 0.06, 0.06.
    lines = judged([difference(-0.1, 0.01), difference(-0.1, 0.04), difference(0.1, 0.03)])
    assert [line.p for line in lines] == pytest.approx([0.03, 0.06, 0.06])
    assert [line.verdict for line in lines] == ["worse", "no evidence", "no evidence"]
    # (z(1 - 0.05 / 6) + z(0.8)) standard errors, z being 2.3940 and 0.8416.
    assert lines[0].detectable == pytest.approx(3.2356 * 0.01, rel=1e-4)


@pytest.mark.parametrize("higher", [True, False])
def test_worse_is_lower_for_a_score_and_higher_for_a_distance(higher: bool) -> None:
    lines = judged([difference(-0.1, 0.001), difference(0.1, 0.001)], higher)
    expected = ["worse", "better"] if higher else ["better", "worse"]
    assert [line.verdict for line in lines] == expected
    assert [line.fails for line in lines] == [v == "worse" for v in expected]


@pytest.mark.parametrize(("higher", "sign"), [(True, -1), (False, 1)])
def test_a_loss_fails_when_its_whole_bound_lies_beyond_the_tolerance(
    higher: bool, sign: int
) -> None:
    # The scatter ends at 0.08 and 0.12; its 5 % quantile is 0.082.
    for tolerance, fails in ((0.0, True), (0.08, True), (0.084, False), (0.2, False)):
        (line,) = judged([difference(sign * 0.1, 0.001)], higher, tolerance)
        assert (line.verdict, line.fails) == ("worse", fails)


def test_a_loss_of_unknown_spread_does_not_pass_a_tolerance() -> None:
    (line,) = judged([difference(-0.5, 0.001, spread=False)], tolerance=0.1)
    assert line.verdict == "underpowered" and "it is unknown" in line.reason
    assert Comparison((line,), ()).code == 2
    (line,) = judged([difference(-0.5, 0.001, spread=False)])
    assert line.fails, "without a tolerance the test alone says it"


def test_a_minimum_effect_needs_a_known_spread() -> None:
    (line,) = judged([difference(0.0, 1.0, spread=False)], effect=0.02)
    assert line.verdict == "underpowered" and "unknown" in line.reason
    (line,) = judged([difference(0.0, 1.0)], effect=0.02)
    # Seen with 80 % power: 2.8016 * 0.01. For 0.02 it takes 100 * 1.4008 ** 2 groups.
    assert (line.verdict, line.needed) == ("underpowered", 197)
    (line,) = judged([difference(0.0, 1.0)], effect=0.03)
    assert line.verdict == "no evidence"


def test_one_task_better_and_one_worse_is_a_loss(call: Call, made_run: Made) -> None:
    half, good = [[1], [0]] * 20, [[1]] * 40
    a, b = made_run("a", half), made_run("b", good)
    for run, marks in ((a, good), (b, half)):
        more = made_run("more", marks, task="toy_draw")
        (more / "toy_draw").rename(run / "toy_draw")
        folder = RunFolder(run)
        known = folder.manifest["tasks"]
        folder.update(tasks={**known, "toy_draw": known["toy_ask"]})
    done = call("compare", a, b, "--json", "j.json")
    written = json.loads(Path("j.json").read_text())
    verdicts = {line["task"]: line["verdict"] for line in written["metrics"] if line["decides"]}
    assert verdicts == {"toy_ask": "better", "toy_draw": "worse"}
    assert done.code == 1 and "20 lost, 20 gained" in done.out
    assert call("compare", a, b, "--tolerance", "toy_draw=0.6").code == 0


def test_a_metric_that_one_run_lacks_is_said_and_decides_if_all_do(
    call: Call, made_run: Made
) -> None:
    run = made_run("a", [[1], [0]] * 20, strata=2)
    file = run / "toy_ask/metrics.json"
    stored = read_json(file)
    write_json(file, {**stored, "intervals": {**stored["intervals"], "gone": [0, 1]}})
    done = call("compare", run, run, "--json", "j.json")
    lines = {m["metric"]: m for m in json.loads(Path("j.json").read_text())["metrics"]}
    assert done.code == 0 and lines["gone"]["verdict"] == "not comparable"
    assert "no value in one of the runs" in lines["gone"]["reason"]
    assert call("compare", run, run, "--every-metric").code == 2


def test_a_tolerance_or_effect_of_a_task_that_is_not_compared_is_refused(
    call: Call, made_run: Made
) -> None:
    made_run("a", [[1]] * 12)
    for option in ("--tolerance", "--effect"):
        refused = call("compare", "a", "a", option, "toy_aks=0.1")
        assert refused.code == 2 and "did you mean 'toy_ask'?" in refused.err
    assert call("compare", "a", "a", "--tasks", " toy_ask", "--tolerance", "toy_ask=0.1").code == 0
