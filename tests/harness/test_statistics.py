"""Intervals belong to the metric shown, resample groups, and are honest at the edges."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from harmon_eval.metrics.statistics import bootstrap_intervals, jackknife_interval


def frame(correct: np.ndarray, strata: int = 1) -> pd.DataFrame:
    """(groups, samples a group) marks; groups dealt to the strata in turn."""
    groups, each = correct.shape
    names = np.repeat([f"g{i:04d}" for i in range(groups)], each)
    stratum = np.repeat([f"s{i % strata}" for i in range(groups)], each)
    return pd.DataFrame({"group": names, "stratum": stratum, "correct": correct.ravel()})


def mean(rows: pd.DataFrame) -> dict[str, float]:
    return {"accuracy": float(rows["correct"].mean())}


def macro(rows: pd.DataFrame) -> dict[str, float]:
    parts = rows.groupby("stratum")["correct"].mean()
    return {"overall": float(parts.mean()), **{str(k): float(v) for k, v in parts.items()}}


def test_the_interval_of_a_mean_over_groups_is_that_of_the_normal_theory() -> None:
    marks = np.random.default_rng(1).random((400, 1)) < 0.3
    low, high = bootstrap_intervals(frame(marks), mean)["accuracy"]
    share = marks.mean()
    reach = 1.96 * np.sqrt(share * (1 - share) / 400)
    assert (low, high) == pytest.approx((share - reach, share + reach), abs=0.01)


def test_images_of_one_prompt_are_not_independent_evidence() -> None:
    prompts = np.random.default_rng(2).random((100, 1)) < 0.5
    one = bootstrap_intervals(frame(prompts), mean)["accuracy"]
    four = bootstrap_intervals(frame(np.repeat(prompts, 4, axis=1)), mean)["accuracy"]
    assert four == pytest.approx(one)


def test_strata_keep_their_sizes() -> None:
    # Two strata that differ widely and hardly vary: little is uncertain about their mean.
    marks = np.tile([[0.75], [0.0]], (20, 1)) + np.linspace(-0.01, 0.01, 40)[:, None]
    low, high = bootstrap_intervals(frame(marks, strata=2), macro)["overall"]
    assert 0.37 < low < 0.375 < high < 0.38


def test_a_mean_over_unanimous_parts_has_an_unknown_spread_not_none() -> None:
    found = bootstrap_intervals(frame(np.tile([[1], [0]], (20, 1)), strata=2), macro)
    assert "overall" not in found  # 0.5, in every resample
    assert found["s0"][0] < 1.0 and found["s1"][1] > 0.0


def test_about_95_of_100_intervals_cover_the_truth() -> None:
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(80):
        chance = rng.beta(2, 2, size=(60, 1))  # prompts differ in difficulty; their mean is 0.5
        low, high = bootstrap_intervals(frame(rng.random((60, 4)) < chance), mean, resamples=150)[
            "accuracy"
        ]
        covered += low <= 0.5 <= high
    assert 0.88 * 80 <= covered <= 79


@pytest.mark.parametrize(("share", "groups"), [(0, 12), (1, 12), (0, 1), (1, 553)])
def test_none_or_all_correct_has_the_exact_interval_over_groups(share: int, groups: int) -> None:
    low, high = bootstrap_intervals(frame(np.full((groups, 4), share)), mean)["accuracy"]
    exact = stats.binomtest(share * groups, groups).proportion_ci(0.95, "exact")
    assert (low, high) == (exact.low, exact.high)
    assert high - low > 0


def test_a_part_that_is_all_correct_rests_on_its_own_groups_only() -> None:
    marks = np.ones((20, 1))
    marks[1::4] = 0  # half of the second stratum
    found = bootstrap_intervals(frame(marks, strata=2), macro)
    assert found["s0"] == tuple(stats.binomtest(10, 10).proportion_ci(0.95, "exact"))
    assert found["s1"][0] < 0.5 < found["s1"][1]


def test_a_single_group_says_nothing_about_the_spread() -> None:
    assert bootstrap_intervals(frame(np.array([[1, 0, 0, 1]])), mean) == {}
    lone = frame(np.array([[1.0], [0.5], [0.0]]), strata=2)
    assert set(bootstrap_intervals(lone, macro)) == {"s0"}


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=10, deadline=None)
def test_the_order_of_rows_does_not_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = frame(rng.random((12, 3)) < 0.5, strata=3)
    mixed = rows.sample(frac=1, random_state=seed % 1000)
    ours = bootstrap_intervals(rows, macro, resamples=30)
    theirs = bootstrap_intervals(mixed, macro, resamples=30)
    assert ours.keys() == theirs.keys()
    for name, interval in ours.items():
        assert interval == pytest.approx(theirs[name])


@given(st.integers(2, 40), st.floats(0, 1))
@settings(max_examples=20, deadline=None)
def test_the_interval_lies_within_the_range_of_the_groups(groups: int, chance: float) -> None:
    marks = np.random.default_rng(groups).random((groups, 2)) < chance
    found = bootstrap_intervals(frame(marks), mean, resamples=50)
    # Groups that are all alike and neither all right nor all wrong say nothing about the spread.
    alike = len(set(marks.mean(axis=1))) == 1 and 0 < marks.mean() < 1
    assert ("accuracy" not in found) == alike
    low, high = found.get("accuracy", (0, 1))
    assert 0 <= low <= high <= 1


def test_the_jackknife_of_a_mean_is_its_textbook_error() -> None:
    values = np.random.default_rng(4).standard_normal(50)
    leave_out = [np.delete(values, i).mean() for i in range(50)]
    low, high = jackknife_interval(values.mean(), leave_out)
    reach = stats.t.ppf(0.975, 49) * values.std(ddof=1) / np.sqrt(50)
    assert (low, high) == pytest.approx((values.mean() - reach, values.mean() + reach))
    with pytest.raises(ValueError, match="two groups"):
        jackknife_interval(1.0, [1.0])
