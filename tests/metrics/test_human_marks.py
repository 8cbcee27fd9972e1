"""Agreement with people and corrected means: against ppi_py, krippendorff, scikit-learn and data.

Worked examples; the originals' numbers are in test_scoring_vectors_calibration.py."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from harmon_eval.core import UserError
from harmon_eval.metrics.agreement import (
    cohen_kappa,
    fleiss_kappa,
    gwet_ac1,
    krippendorff_alpha,
    pairwise_accuracy,
    pairwise_agreement,
    rank_correlations,
    share_equal,
)
from harmon_eval.metrics.corrected import prediction_powered, right_or_wrong, rogan_gladen
from harmon_eval.people.calibration import Calibration, Number
from harmon_eval.people.planning import marks_needed


def two(both: int, first: int, second: int, neither: int) -> tuple[list[float], list[float]]:
    a = [1.0] * (both + first) + [0.0] * (second + neither)
    return a, [1.0] * both + [0.0] * first + [1.0] * second + [0.0] * neither


def alpha_of_two(a: list[float], b: list[float]) -> float | None:
    return krippendorff_alpha(np.array([a, b]).T)


def test_two_raters_by_hand() -> None:
    a, b = two(40, 5, 9, 46)
    assert share_equal(a, b) == 0.86
    assert cohen_kappa(a, b) == pytest.approx(0.7194, abs=5e-5)
    assert gwet_ac1(a, b) == pytest.approx(0.7210, abs=5e-5)
    assert alpha_of_two(a, b) == pytest.approx(0.7204, abs=5e-5)


def test_kappa_falls_with_skew_where_ac1_does_not() -> None:
    a, b = two(90, 3, 2, 5)
    assert cohen_kappa(a, b) == pytest.approx(0.64, abs=5e-3)
    assert gwet_ac1(a, b) == pytest.approx(0.94, abs=5e-3)


def test_raters_who_never_vary_have_no_kappa() -> None:
    assert cohen_kappa([1, 1, 1], [1, 0, 1]) is None
    assert gwet_ac1([1, 1], [1, 1]) is None
    assert alpha_of_two([1, 1], [1, 1]) is None
    assert fleiss_kappa(np.ones((4, 3))) is None
    assert rank_correlations([1, 1], [0, 1]) is None


def test_ratings_with_gaps_count_where_two_are_there() -> None:
    ratings = np.array([[1, np.nan, 1], [0, 0, 1], [np.nan, np.nan, 1.0]])
    assert pairwise_agreement(ratings) == pytest.approx((1 + 1 / 3) / 2)
    assert krippendorff_alpha(ratings) == krippendorff_alpha(ratings[:2])


def test_fleiss_kappa_of_the_textbook() -> None:
    """Fleiss 1971, by hand: two items, three raters; agreement 1 and 1/3."""
    ratings = np.array([[1, 1, 1], [0, 0, 1.0]])
    chance = (4 / 6) ** 2 + (2 / 6) ** 2
    assert fleiss_kappa(ratings) == pytest.approx(((1 + 1 / 3) / 2 - chance) / (1 - chance))


def test_prediction_powered_by_hand() -> None:
    y, h, rest = [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1, 1, 0, 1, 1]
    assert prediction_powered(y, h, rest, weight=1).value == pytest.approx(0.625)
    assert prediction_powered(y, h, rest, weight=0).value == 0.5
    tuned = prediction_powered(y, h, rest)
    assert tuned.weight == pytest.approx(0.55) and tuned.value == pytest.approx(0.56875)


@pytest.mark.parametrize(
    ("apparent", "n", "se", "positives", "sp", "negatives", "value", "uncut", "interval"),
    [
        (0.30, 500, 0.9, 80, 0.85, 60, 0.2, 0.2, (0.0639, 0.2973)),
        (0.80, 1000, 0.75, 100, 0.9, 100, 1.0, 1.0769, (0.9512, 1.0)),
        (0.05, 200, 0.9, 50, 0.9, 50, 0.0, -0.0625, (0.0, 0.0372)),
    ],
)
def test_rogan_gladen_by_hand(
    apparent: float,
    n: int,
    se: float,
    positives: int,
    sp: float,
    negatives: int,
    value: float,
    uncut: float,
    interval: tuple[float, float],
) -> None:
    found = rogan_gladen(apparent, n, se, positives, sp, negatives)
    assert (found.value, found.uncut) == pytest.approx((value, uncut), abs=5e-5)
    assert found.interval == pytest.approx(interval, abs=5e-5)


def test_a_judge_no_better_than_chance_is_refused() -> None:
    with pytest.raises(UserError, match="say nothing about people's"):
        rogan_gladen(0.5, 100, 0.4, 10, 0.6, 10)


def test_a_perfect_judge_adds_its_marks_and_a_judge_of_noise_adds_nothing() -> None:
    rng = np.random.default_rng(0)
    truth, noise = rng.random((2, 2000)) < 0.6
    perfect = prediction_powered(truth[:60], truth[:60], truth[60:], weight=1)
    assert np.ptp(perfect.interval) == pytest.approx(2 * 1.96 * np.sqrt(0.24 / 1940), rel=0.05)
    tuned = prediction_powered(truth[:60], noise[:60], noise[60:])
    alone = prediction_powered(truth[:60], noise[:60], noise[60:], weight=0)
    assert np.ptp(tuned.interval) == pytest.approx(np.ptp(alone.interval), rel=0.1)


def test_ten_equal_marks_of_a_prompt_are_one() -> None:
    rng = np.random.default_rng(1)
    y, h = rng.integers(0, 2, (2, 40)).astype(float)
    once = prediction_powered(y, h, h, 0.5, range(40), range(40))
    prompts = np.repeat(np.arange(40), 10)
    tenfold = [np.repeat(marks, 10) for marks in (y, h, h)]
    ten = prediction_powered(*tenfold, 0.5, prompts, prompts)
    assert ten.interval == pytest.approx(once.interval)
    assert np.ptp(prediction_powered(*tenfold, 0.5).interval) < 0.5 * np.ptp(once.interval)


@pytest.mark.parametrize(
    ("right", "missed", "forgiven"),
    [(0.6, 0.05, 0.3), (0.5, 0.15, 0.15), (0.9, 0.02, 0.3), (0.97, 0.02, 0.5), (0.8, 0.25, 0.02)],
)
def test_marks_of_right_and_wrong_are_covered_by_60_of_them(
    right: float, missed: float, forgiven: float
) -> None:
    """Judges that miss what is right, or forgive what is wrong; also where errors are rare."""
    rng = np.random.default_rng(3)
    human = (rng.random(1000) < right).astype(float)
    judge = np.where(human == 1, rng.random(1000) >= missed, rng.random(1000) < forgiven)
    hits = []
    for _ in range(400):
        order = rng.permutation(1000)
        own, rest = order[:60], order[60:]
        found = right_or_wrong(human[own], judge[own], judge[rest], own.tolist())
        hits.append(found.interval[0] <= human.mean() <= found.interval[1])
    assert 0.92 <= np.mean(hits) <= 0.985


def test_equal_marks_leave_room_for_the_ones_not_seen() -> None:
    ones = [1.0] * 20
    low, high = right_or_wrong(ones, ones, ones, range(20)).interval
    assert 0.8 < low < 0.9 and high == 1.0
    low, _ = prediction_powered([0.5] * 20, ones, ones, None, range(20), range(20)).interval
    assert low < 0.4


def test_pairs_with_ties_and_the_fitted_threshold() -> None:
    human, judge = (
        [4.6667, 3, 3, 2.3333, 4, 4.6667, 4.3333, 3.6667],
        [*(0.599, 0.599, 0.429, 0.386, 0.878, 0.949, 0.739, 0.663)],
    )
    assert pairwise_accuracy(human, judge) == pytest.approx((0.75, 0.0))
    assert pairwise_accuracy([1, 1, 2], [0.5, 0.51, 0.9]) == pytest.approx((1.0, 0.01))


def test_constant_judges_order_nothing_but_ties() -> None:
    assert pairwise_accuracy([1, 1, 2], [3, 3, 3]) == pytest.approx((1 / 3, 0.0))


def test_a_plan_for_the_width_of_the_pilot_asks_for_as_many_marks_as_it_had() -> None:
    """Of 740 images 60 are marked; people alone give a width of 0.2, with the judge 0.15."""
    widths = {"dpg[j,people:60]": 0.2, "dpg[j,calibrated:60]": 0.15}
    numbers = tuple(Number(name, 0.5, (0.5 - w / 2, 0.5 + w / 2)) for name, w in widths.items())
    pilot = Calibration("dpg", "right-or-wrong", ("a",), 60, (), numbers, total=740)
    same = marks_needed(0.15, 740, 1.0, pilot)
    assert same.needed in (60, 61) and same.explained == pytest.approx(0.476, abs=0.001)
    half = marks_needed(0.1, 740, 1.0, pilot)
    assert half.needed == 149, "240 x 0.524 / (1 - 240 x 0.476 / 740)"
    assert marks_needed(0.02, 740, 1.0, pilot).needed is None
    with pytest.raises(UserError, match="chosen at random"):
        marks_needed(0.1, 740, 1.0, replace(pilot, numbers=(), remarks=("not chosen at random",)))


def test_without_a_pilot_half_of_the_marks_are_right_and_the_judge_says_nothing() -> None:
    assert marks_needed(0.1, 5000, 1.0).needed == 385, "1.96^2 / 0.1^2"
    assert marks_needed(10.0, 5000, 100.0).needed == 385
    few = marks_needed(0.1, 100, 1.0)
    assert few.needed is None and few.least == pytest.approx(0.196)
    with pytest.raises(UserError, match="above 0 and below 1"):
        marks_needed(1.5, 100, 1.0)
