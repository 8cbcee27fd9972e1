"""FID of images and references that share prompts: what its numbers say at a few hundred images."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from harmon_eval.metrics import fid_pairs
from harmon_eval.metrics.fid_pairs import (
    at_infinity,
    fid,
    fid_infinity,
    fid_replicates,
    infinity_sizes,
    matched_contrast,
    subset_sizes,
)
from harmon_eval.metrics.frechet import TooFewSamples

WIDTH = 8


def pictures(
    rng: np.random.Generator, count: int, own: float, shift: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Drawings and references (count, WIDTH) of unit variance in each feature.

    ``own`` is the share of the variance that the prompt does not determine; the drawings are
    ``shift`` away from the references in every feature."""
    wanted, drawn, reference = rng.normal(size=(3, count, WIDTH))
    keep, free = np.sqrt(1 - own), np.sqrt(own)
    return keep * wanted + free * drawn + shift, keep * wanted + free * reference


def test_the_sizes_are_those_of_dgm_eval() -> None:
    expected = "100, 164, 228, 292, 357, 421, 485, 550, 614, 678, 742, 807, 871, 935, 1000"
    assert infinity_sizes(1000) == [int(size) for size in expected.split(", ")]
    assert infinity_sizes(30_000)[:3] == [3000, 4928, 6857]
    assert infinity_sizes(80_000)[0] == 5000
    assert infinity_sizes(12)[0] == 2


def test_the_extrapolation_is_dgm_evals() -> None:
    sizes, values = [20, 56, 92, 128, 164, 200], [4.2763, 4.8329, 3.7687, 3.3934, 2.3596, 2.8041]
    assert at_infinity(sizes, values) == pytest.approx(3.0505822723, abs=1e-9)


def test_sizes_with_fewer_images_than_features_are_left_out() -> None:
    assert subset_sizes(200, 64) == infinity_sizes(200)[4:]
    with pytest.raises(TooFewSamples, match="100 images are too few to extrapolate FID with 64"):
        subset_sizes(100, 64)


def test_fid_infinity_has_no_bias_where_fid_has() -> None:
    rng = np.random.default_rng(0)
    sets = [pictures(rng, 300, own=0.8) for _ in range(12)]
    biased = np.array([fid(*pair) for pair in sets])
    found = np.array([fid_infinity(*pair).value for pair in sets])
    assert biased.mean() > 0.1
    assert abs(found.mean()) < 0.25 * biased.mean()
    assert (found < 0).any()  # not clipped


def test_fid_infinity_and_its_spread_are_the_same_again() -> None:
    pair = pictures(np.random.default_rng(1), 200, own=0.5, shift=0.3)
    again = fid_infinity(*pair)
    assert fid_infinity(*pair) == again
    assert again.spread > 0


def test_a_ranking_by_fid_at_two_hundred_images_reverses() -> None:
    """The bias is not the same on both sides: it falls with how closely prompts are followed."""
    exact = WIDTH * 0.14**2  # of the shifted model; the other one draws from the right distribution
    by_fid, by_limit, by_contrast = [], [], []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        right = pictures(rng, 200, own=1.0)
        shifted = pictures(rng, 200, own=0.1, shift=0.14)
        by_fid.append(fid(*right) - fid(*shifted))
        by_limit.append(fid_infinity(*right).value - fid_infinity(*shifted).value)
        by_contrast.append(matched_contrast(*right)[0].value - matched_contrast(*shifted)[0].value)
    assert np.mean(by_fid) > 0, "FID prefers the model that is farther away"
    assert np.mean(by_limit) == pytest.approx(-exact, abs=0.05)
    assert np.mean(by_contrast) == pytest.approx(-exact, abs=0.1)


def test_the_contrast_of_equal_distributions_is_zero_and_of_copies_exactly() -> None:
    rng = np.random.default_rng(2)
    pair = pictures(rng, 300, own=0.8)
    assert matched_contrast(pair[1], pair[1])[0].value == pytest.approx(0, abs=1e-9)
    found = [matched_contrast(*pictures(rng, 300, own=0.8))[0].value for _ in range(40)]
    assert abs(np.mean(found)) < 3 * np.std(found) / np.sqrt(len(found))


@pytest.mark.parametrize("own", [0.2, 0.8])
def test_the_interval_covers_fid_at_its_number_of_images(own: float) -> None:
    rng = np.random.default_rng(3)
    sets = [pictures(rng, 200, own, shift=0.4) for _ in range(150)]
    values = np.array([fid(*pair) for pair in sets])
    errors = np.array([fid_replicates(*pair).error for pair in sets])
    reach = stats.t.ppf(0.975, fid_pairs.fid_replicates(*sets[0]).degrees) * errors
    assert 0.91 <= (np.abs(values - values.mean()) <= reach).mean() <= 0.99


def test_too_few_images_for_halves_are_refused() -> None:
    with pytest.raises(TooFewSamples):
        matched_contrast(*pictures(np.random.default_rng(4), 2 * WIDTH - 2, own=0.5))
