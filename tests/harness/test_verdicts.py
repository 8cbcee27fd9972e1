"""From one test to verdict and interval: margins, corrections, and what is unknown."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from harmon_eval.comparing.bounds import BoundedMean, Student
from harmon_eval.comparing.margins import Settings
from harmon_eval.comparing.multiplicity import benjamini_hochberg, holm
from harmon_eval.comparing.paired import Difference
from harmon_eval.comparing.runs import TaskPair
from harmon_eval.comparing.verdict import Comparison, Line, explain, judge
from harmon_eval.store.durable import read_json, write_json
from harmon_eval.store.run_folder import RunFolder

Call = Callable[..., Any]
Made = Callable[..., Path]
NONE: dict[str, float] = {}


def difference(value: float, error: float = 0.01, spread: bool = True) -> Difference:
    evidence = Student(value, error, 10**9) if spread else None
    return Difference(0.5, 0.5 + value, 100, "test", evidence)


def judged(
    found: Sequence[Difference],
    higher: bool = True,
    tolerance: float = 0.0,
    effect: float = 0.0,
    no_worse_than: float = 0.0,
) -> list[Line]:
    empty = pd.DataFrame()
    family = [
        (TaskPair(f"t{i}", None, "m", higher, empty, empty, frozenset(), (), ()), "m", each)
        for i, each in enumerate(found)
    ]
    margin = {"": no_worse_than} if no_worse_than else None
    wanted = {"": effect} if effect else NONE
    return judge(family, True, Settings({"": tolerance}, wanted, no_worse_than=margin))


def z(p: float) -> float:
    """The value, in standard errors, whose one-sided p of being worse is ``p``."""
    return float(stats.norm.ppf(p)) * 0.01


def test_p_values_are_corrected_as_holm_worked_it() -> None:
    # Sorted 0.01, 0.03, 0.04 times 3, 2, 1, and never falling: 0.03, 0.06, 0.06.
    lines = judged([difference(z(p)) for p in (0.01, 0.04, 0.03)])
    assert [line.p for line in lines] == pytest.approx([0.03, 0.06, 0.06])
    assert [line.verdict for line in lines] == ["worse", "no evidence", "no evidence"]
    # The bound of the first at 0.05 / 3, of the others at 0.05 / 2, where Holm stopped.
    for line, level in zip(lines, (0.05 / 3, 0.05 / 2, 0.05 / 2), strict=True):
        assert line.difference and line.interval
        assert line.interval[1] == pytest.approx(line.difference.value - z(level))
    # (z(1 - 0.05 / 3) + z(0.8)) standard errors, z being 2.1280 and 0.8416.
    assert lines[0].detectable == pytest.approx(2.9696 * 0.01, rel=1e-4)


@pytest.mark.parametrize("higher", [True, False])
def test_worse_is_lower_for_a_score_and_higher_for_a_distance(higher: bool) -> None:
    lines = judged([difference(-0.1), difference(0.1)], higher)
    expected = ["worse", "better"] if higher else ["better", "worse"]
    assert [line.verdict for line in lines] == expected
    assert [line.fails for line in lines] == [v == "worse" for v in expected]


@pytest.mark.parametrize(("higher", "sign"), [(True, -1), (False, 1)])
def test_a_loss_fails_when_its_whole_bound_lies_beyond_the_tolerance(
    higher: bool, sign: int
) -> None:
    # The one-sided 95 % bound of the loss is 0.1 - 1.645 * 0.01.
    for tolerance, fails in ((0.0, True), (0.083, True), (0.084, False), (0.2, False)):
        (line,) = judged([difference(sign * 0.1)], higher, tolerance)
        assert (line.verdict, line.fails) == ("worse", fails)


@pytest.mark.parametrize(("higher", "sign"), [(True, -1), (False, 1)])
def test_no_worse_has_three_outcomes(higher: bool, sign: int) -> None:
    # Each one-sided 95 % bound lies 1.645 * 0.01 from the estimate.
    expected = {0.0: "no worse", 0.083: "no worse", 0.084: "cannot be told"}
    expected |= {0.116: "cannot be told", 0.117: "worse"}
    for loss, verdict in expected.items():
        (line,) = judged([difference(sign * loss)], higher, no_worse_than=0.1)
        assert line.verdict == verdict and line.fails == (verdict == "worse")
    (line,) = judged([difference(sign * 0.084)], higher, no_worse_than=0.1)
    assert line.verdict == "cannot be told" and line.needed and line.needed > 100


def test_all_no_worse_needs_no_correction_and_any_worse_does() -> None:
    margin = 0.1
    fine, loss = difference(-margin - z(0.04)), difference(-margin + z(0.04))
    alone = judged([fine], no_worse_than=margin)
    among = judged([fine] * 4, no_worse_than=margin)
    assert [line.verdict for line in (*alone, *among)] == ["no worse"] * 5
    assert judged([loss], no_worse_than=margin)[0].verdict == "worse"
    assert judged([loss, fine], no_worse_than=margin)[0].verdict == "cannot be told"


@given(
    st.integers(0, 2**32 - 1),
    st.integers(2, 60),
    st.sampled_from([0.005, 0.02, 0.1, 0.3]),
    st.booleans(),
    st.sampled_from([1, 1, 1, 1, 3]),
)
@settings(max_examples=2000)
def test_verdict_interval_p_and_detectable_effect_never_contradict_each_other(
    seed: int, groups: int, margin: float, proof: bool, size: int
) -> None:
    rng = np.random.default_rng(seed)
    marks = rng.integers(1, 5)
    found = []
    for _ in range(size):
        chance = rng.beta(rng.choice([0.3, 1, 30]), rng.choice([0.3, 1, 30]), (groups, 1))
        lost = rng.choice([0.0, 0.0, margin, 0.9])
        one, two = (rng.random((groups, marks)) < c for c in (chance, chance * (1 - lost)))
        values = (two.mean(1) - one.mean(1)).astype(float)
        evidence = BoundedMean.of(np.ones(groups), values, 1.0)
        found.append(Difference(one.mean(), two.mean(), groups, "Gaffke", evidence))
    tolerance = 0.0 if proof else margin
    for line in judged(found, True, tolerance, no_worse_than=margin if proof else 0.0):
        assert line.interval and line.difference
        low, high = line.interval
        assert low <= line.difference.value <= high
        assert line.fails == (high < -margin), "stopped: all of the interval is beyond"
        assert line.detectable is None or 0 < line.detectable <= 1, "a share is lost at most"
        seen = math.inf if line.detectable is None else line.detectable
        if (line.p or 0) < 0.0499 or line.fails:
            assert line.fails == ((line.p or 0) <= 0.05 + 1e-6)
        if proof:
            assert (line.verdict == "no worse") == (low > -margin)
            assert (line.verdict == "cannot be told") == (low <= -margin <= high)
            assert (line.verdict == "no worse") == ((line.p_no_worse or 0) < 0.05)
            assert line.verdict != "cannot be told" or line.needed is None or line.needed > groups
            half = line.difference.value - low
            assert seen >= half, "no smaller margin than half of the interval"
        else:
            assert (line.verdict == "worse") == (high < 0)
            assert seen - margin >= high - line.difference.value


def test_a_large_loss_on_few_groups_is_no_proof_of_being_no_worse() -> None:
    """On 12 groups a loss of 0.27 with the interval [-0.33, -0.21] had passed, with p = 0.09."""
    for groups, stopped in ((12, False), (16, True)):
        values = np.repeat([-0.25, -0.5], [groups - 1, 1])
        evidence = BoundedMean.of(np.ones(groups), values, 1.0)
        found = Difference(0.8, 0.8 + values.mean(), groups, "Gaffke", evidence)
        (line,) = judged([found])
        assert line.interval and (line.interval[1] < 0) == line.fails == stopped
        assert ((line.p or 1) <= 0.05) == stopped, "the interval says the same as p"
        (line,) = judged([found], no_worse_than=0.01)
        assert Comparison((line,), (), proof=True).code == (1 if stopped else 2)


def test_details_count_a_number_under_two_names_once() -> None:
    def lines(*names: str) -> dict[str, Line]:
        empty = pd.DataFrame()
        pair = TaskPair("t", None, "head", True, empty, empty, frozenset(), (), ())
        rng = np.random.default_rng(5)
        own = {
            "weak": np.repeat([-1.0, 1.0, 0.0], [12, 2, 26]),
            **{f"none{i}": rng.permuted(np.repeat([-1.0, 1.0, 0.0], [9, 9, 22])) for i in range(9)},
        }
        own["head"] = rng.permuted(np.repeat([-1.0, 0.0], [3, 37]))
        found = []
        for name in names:
            key, _, copy = name.partition("=")
            scale = 100.0 if copy else 1.0
            evidence = BoundedMean.of(np.ones(40), own[key] * scale, scale)
            value = own[key].mean() * scale
            found.append(
                (pair, name, Difference(0.5 * scale, 0.5 * scale + value, 40, "", evidence))
            )
        return {line.metric: line for line in explain(found[1:], found[:1])}

    alone = lines("head", "weak", "none0", "none1")
    copied = lines("head", "weak", "none0", "none1", *(f"none1=copy{i}" for i in range(30)))
    assert copied["weak"].p == pytest.approx(alone["weak"].p)
    assert alone["weak"].verdict == copied["weak"].verdict == "worse"
    same = lines("head", "head=percent", *(f"none{i}" for i in range(9)))
    lone = lines("head", "head=percent")
    assert same["head=percent"].p == pytest.approx(lone["head=percent"].p), "as its headline"


def test_benjamini_and_hochbergs_own_example() -> None:
    # The 15 p-values of their section 4.1: four are rejected at 5 %, and three by Bonferroni.
    raw = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344]
    raw += [0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0]
    found = benjamini_hochberg(raw, 0.05)
    assert [each.p <= 0.05 for each in found] == [True] * 4 + [False] * 11
    assert found[0].level == pytest.approx(4 * 0.05 / 15)
    assert [each.p <= 0.05 for each in holm(raw, 0.05)] == [True] * 3 + [False] * 12


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=12), st.sampled_from([holm, benjamini_hochberg])
)
def test_a_p_is_rejected_at_its_level_as_it_is_after_correction(
    raw: list[float], correct: Callable[..., Any]
) -> None:
    known = multipletests(raw, 0.05, "holm" if correct is holm else "fdr_bh")
    for p, each, adjusted, rejected in zip(
        raw, correct(raw, 0.05), known[1], known[0], strict=True
    ):
        assert each.p == pytest.approx(adjusted)
        if abs(adjusted - 0.05) > 1e-9:
            assert rejected == (each.p <= 0.05) == (p <= each.level)


def test_a_loss_of_unknown_spread_does_not_pass() -> None:
    for tolerance, margin in ((0.1, 0.0), (0.0, 0.0), (0.0, 0.1)):
        (line,) = judged(
            [difference(-0.5, spread=False)], tolerance=tolerance, no_worse_than=margin
        )
        assert line.verdict in ("underpowered", "cannot be told") and "unknown" in line.reason
        assert Comparison((line,), ()).code == 2


def test_a_minimum_effect_is_what_lies_beyond_the_tolerance() -> None:
    (line,) = judged([difference(0.0)], effect=0.02)
    # Seen with 80 % power: 2.4865 * 0.01. For 0.02 it takes 100 * 1.2432 ** 2 groups.
    assert (line.verdict, line.needed) == ("underpowered", 155)
    (line,) = judged([difference(0.0)], effect=0.025)
    assert line.verdict == "no evidence"
    (line,) = judged([difference(0.0)], effect=0.04, tolerance=0.02)
    assert (line.verdict, line.needed) == ("underpowered", 155)
    (line,) = judged([difference(0.0)], effect=0.045, tolerance=0.02)
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
