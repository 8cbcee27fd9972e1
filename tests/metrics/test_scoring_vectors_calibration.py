"""Agreement with people and corrected means against ppi_py, krippendorff, scikit-learn and data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from harmon_eval.metrics.agreement import (
    cohen_kappa,
    gwet_ac1,
    krippendorff_alpha,
    pairwise_accuracy,
    pairwise_agreement,
    rank_correlations,
    share_equal,
)
from harmon_eval.metrics.corrected import prediction_powered, rogan_gladen
from tests.vectors import check


def two(both: int, first: int, second: int, neither: int) -> tuple[list[float], list[float]]:
    a = [1.0] * (both + first) + [0.0] * (second + neither)
    return a, [1.0] * both + [0.0] * first + [1.0] * second + [0.0] * neither


def covered(human: np.ndarray, judge: np.ndarray, marked: int, draws: int = 400) -> float:
    rng = np.random.default_rng(2)
    hits = 0
    for _ in range(draws):
        order = rng.permutation(len(human))
        own, rest = order[:marked], order[marked:]
        low, high = prediction_powered(
            human[own], judge[own], judge[rest], None, own.tolist(), rest.tolist()
        ).interval
        hits += low <= human.mean() <= high
    return hits / draws


@pytest.mark.entries("calibration", "two_raters")
def test_two_raters_equal_the_vectors(case: Any) -> None:
    cells = (case[name] for name in ("both_yes", "first_only", "second_only", "both_no"))
    a, b = two(*cells)
    found = {
        "agreement": share_equal(a, b),
        "ac1": gwet_ac1(a, b),
        "alpha": krippendorff_alpha(np.array([a, b]).T),
    }
    if len({*a}) > 1 and len({*b}) > 1:
        found["kappa"] = cohen_kappa(a, b)
    check(case, {name: pytest.approx(value, abs=1e-9) for name, value in found.items()})


@pytest.mark.parametrize("level", ["nominal", "ordinal", "interval"])
def test_alpha_equals_the_vectors(scoring_vectors: Any, level: str) -> None:
    known = scoring_vectors["calibration"]["alpha"]
    ratings = np.array(known["ratings"], dtype=float).T
    assert krippendorff_alpha(ratings, level) == pytest.approx(known[level], abs=1e-9)


def test_ordinal_measures_equal_the_vectors(scoring_vectors: Any) -> None:
    pair = scoring_vectors["calibration"]["ordinal_pair"]
    a, b = pair["a"], pair["b"]
    spearman, tau_b = rank_correlations(a, b)
    found = {
        "kappa": cohen_kappa(a, b),
        "linear": cohen_kappa(a, b, "linear"),
        "quadratic": cohen_kappa(a, b, "quadratic"),
        "spearman": spearman,
        "tau_b": tau_b,
    }
    check(pair, {name: pytest.approx(value, abs=1e-9) for name, value in found.items()})


@pytest.mark.entries("vqascore", "correlation")
def test_pairwise_accuracy_equals_the_vectors(case: Any) -> None:
    found = pairwise_accuracy(case["human"], case["metric"])
    assert found == pytest.approx((case["pairwise_accuracy"], case["epsilon"]), abs=1e-9)


@pytest.mark.parametrize(("name", "weight"), [("classical", 0.0), ("ppi", 1.0), ("tuned", None)])
@pytest.mark.entries("calibration", "prediction_powered")
def test_corrections_equal_ppi_py(case: Any, name: str, weight: float | None) -> None:
    found = prediction_powered(case["gold"], case["judge"], case["judge_only"], weight)
    assert found.value == pytest.approx(case[name]["point"], abs=1e-9)
    assert found.interval == pytest.approx(case[name]["ci95"], abs=1e-9)
    if weight is None:
        assert found.weight == pytest.approx(case["lambda"], abs=1e-9)


@pytest.mark.entries("calibration", "rogan_gladen")
def test_corrections_equal_lang_reiczigel(case: Any) -> None:
    names = ("apparent", "n", "sensitivity", "n_positive", "specificity", "n_negative")
    found = rogan_gladen(*(case[name] for name in names))
    assert found.uncut == pytest.approx(case["point"], abs=1e-9)
    assert found.interval == pytest.approx(case["ci95"], abs=1e-9)


def dsg(scoring_vectors: Any) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Ratings (800, 5) with gaps, and the score of each judge."""
    rows = scoring_vectors["human_dsg"]["rows"]
    ratings = np.full((len(rows), 5), np.nan)
    for place, row in enumerate(rows):
        ratings[place, : len(row[4])] = [int(digit) for digit in row[4]]
    return ratings, {
        "pali17b": np.array([r[2] for r in rows]),
        "mplug": np.array([r[3] for r in rows]),
    }


def test_the_human_data_of_dsg_is_reproduced(scoring_vectors: Any) -> None:
    ratings, judges = dsg(scoring_vectors)
    expected = scoring_vectors["human_dsg"]["expected"]
    human = np.nanmean(ratings, axis=1)
    for name, scores in judges.items():
        found = rank_correlations(human.tolist(), scores.tolist())
        wanted = expected[name]["spearman"], expected[name]["kendall"]
        assert found == pytest.approx(wanted, abs=5e-5)
    for level in ("ordinal", "interval"):
        alpha = krippendorff_alpha(ratings, level)
        assert alpha == pytest.approx(expected[f"alpha_{level}"], abs=5e-5)
    # 60 marks of 800 correct PaLI's mean, which is far off.
    assert 0.92 <= covered((human - 1) / 4, judges["pali17b"], 60) <= 0.97


def test_the_human_data_of_geneval_is_reproduced(scoring_vectors: Any) -> None:
    known = scoring_vectors["human_geneval"]
    ratings = np.array([[int(d) for d in row[2]] for row in known["rows"]], dtype=float)
    expected = known["expected"]
    assert pairwise_agreement(ratings) == pytest.approx(expected["pairwise_agreement"], abs=5e-5)
    assert krippendorff_alpha(ratings) == pytest.approx(expected["alpha_nominal"], abs=5e-5)
    unanimous = (ratings == ratings[:, :1]).all(axis=1).mean()
    assert unanimous == pytest.approx(expected["unanimous"], abs=5e-5)
