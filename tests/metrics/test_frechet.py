"""The Fréchet distance by hand, against clean-fid, and what it must not depend on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cleanfid.fid import fid_from_feats
from hypothesis import given, settings
from hypothesis import strategies as st

from harmon_eval.core import UserError
from harmon_eval.metrics.frechet import (
    FrechetStatistics,
    TooFewSamples,
    frechet_distance,
    frechet_distances,
    without_each_group,
)


def gaussian(mean: Any, covariance: Any, count: int = 1000) -> Any:
    mean, covariance = np.array(mean, np.float64), np.array(covariance, np.float64)
    return FrechetStatistics("", count, mean, np.zeros_like(mean), covariance * (count - 1))


def correlated(rng: Any, n: int = 300, d: int = 12, offset: float = 50.0) -> Any:
    """Like Inception features: correlated, and far from zero against their spread."""
    return (rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + offset).astype(np.float32)


def test_one_dimension_is_difference_of_means_and_of_standard_deviations() -> None:
    assert frechet_distance(gaussian([1.0], [[4.0]]), gaussian([3.0], [[9.0]])) == pytest.approx(
        (1 - 3) ** 2 + (2 - 3) ** 2
    )


def test_commuting_covariances_by_hand() -> None:
    a = gaussian([0, 0], [[1, 0], [0, 16]])
    b = gaussian([3, 4], [[4, 0], [0, 9]])
    assert frechet_distance(a, b) == pytest.approx(25 + (1 - 2) ** 2 + (4 - 3) ** 2)


def test_covariances_that_do_not_commute_by_hand() -> None:
    # tr sqrt(AB) of 2 x 2 matrices is sqrt(tr AB + 2 sqrt(det AB)).
    a, b = np.array([[2.0, 1.0], [1.0, 2.0]]), np.array([[3.0, 0.0], [0.0, 1.0]])
    root_trace = np.sqrt(np.trace(a @ b) + 2 * np.sqrt(np.linalg.det(a @ b)))
    expected = np.trace(a) + np.trace(b) - 2 * root_trace
    assert frechet_distance(gaussian([0, 0], a), gaussian([0, 0], b)) == pytest.approx(expected)


def test_a_set_is_at_no_distance_from_itself() -> None:
    features = FrechetStatistics.of(correlated(np.random.default_rng(0)))
    assert 0 <= frechet_distance(features, features) < 1e-8


def test_equals_clean_fid(clean_fid_scipy: None) -> None:
    rng = np.random.default_rng(1)
    a, b = correlated(rng), correlated(rng, n=200) * 1.1
    ours = frechet_distance(FrechetStatistics.of(a), FrechetStatistics.of(b))
    assert ours == pytest.approx(float(fid_from_feats(a, b)), rel=1e-4)


def test_equals_clean_fid_at_a_singular_covariance(clean_fid_scipy: None) -> None:
    rng = np.random.default_rng(2)
    a, b = correlated(rng, offset=1.0), correlated(rng, offset=2.0)
    a[:, 3] = a[:, 4]
    ours = frechet_distance(FrechetStatistics.of(a), FrechetStatistics.of(b))
    assert ours == pytest.approx(float(fid_from_feats(a, b)), rel=1e-4)


def test_moments_equal_numpy_where_sums_of_squares_would_cancel() -> None:
    features = 1e6 + np.random.default_rng(3).normal(size=(500, 5))
    statistics = FrechetStatistics()
    for batch in np.array_split(features, 7):
        statistics.update(batch)
    np.testing.assert_allclose(statistics.mean, features.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(statistics.covariance, np.cov(features, rowvar=False), rtol=1e-9)


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    cuts=st.lists(st.integers(0, 60), max_size=6),
)
def test_neither_order_nor_batches_nor_shards_matter(seed: Any, cuts: Any) -> None:
    rng = np.random.default_rng(seed)
    features = correlated(rng, n=60, d=4)
    whole = FrechetStatistics.of(features)
    shuffled = features[rng.permutation(60)]
    streamed, merged = FrechetStatistics(), FrechetStatistics()
    for part in np.split(shuffled, sorted(cuts)):
        streamed.update(part)
        merged = merged.merge(FrechetStatistics.of(part))
    for other in (streamed, merged):
        assert other.count == 60
        np.testing.assert_allclose(other.mean, whole.mean, rtol=1e-10)
        np.testing.assert_allclose(other.covariance, whole.covariance, rtol=1e-8, atol=1e-8)


def test_the_distance_is_symmetric_and_unchanged_by_a_rotation() -> None:
    rng = np.random.default_rng(4)
    a, b = correlated(rng), correlated(rng)
    rotation, _ = np.linalg.qr(rng.normal(size=(12, 12)))
    distance = frechet_distance(FrechetStatistics.of(a), FrechetStatistics.of(b))
    turned = [FrechetStatistics.of(x.astype(np.float64) @ rotation) for x in (b, a)]
    assert frechet_distance(*turned) == pytest.approx(distance, rel=1e-9)


def test_one_reference_serves_many_sets() -> None:
    rng = np.random.default_rng(5)
    reference, *sets = (FrechetStatistics.of(correlated(rng)) for _ in range(4))
    assert frechet_distances(reference, sets) == [frechet_distance(s, reference) for s in sets]


def test_leaving_out_a_group_equals_starting_without_it() -> None:
    features = correlated(np.random.default_rng(6), n=100, d=5)
    groups = np.arange(100) % 7
    for g, left in enumerate(without_each_group(features, groups)):
        fresh = FrechetStatistics.of(features[groups != g])
        assert left.count == fresh.count
        np.testing.assert_allclose(left.mean, fresh.mean, rtol=1e-12)
        np.testing.assert_allclose(left.covariance, fresh.covariance, rtol=1e-8, atol=1e-8)


def test_fewer_images_than_features_is_an_error_that_offers_kid() -> None:
    features = np.random.default_rng(7).normal(size=(9, 10))
    few, enough = FrechetStatistics.of(features), gaussian(np.zeros(10), np.eye(10))
    with pytest.raises(TooFewSamples, match=r"9 images are fewer than the 10 features.*KID"):
        frechet_distance(few, enough)
    with pytest.raises(TooFewSamples, match="KID"):
        frechet_distance(enough, few)


@pytest.mark.parametrize("count", [0, 1])
def test_none_or_one_image_is_an_error(count: int) -> None:
    statistics = FrechetStatistics.of(np.ones((count, 3)))
    with pytest.raises(TooFewSamples):
        frechet_distance(statistics, gaussian(np.zeros(3), np.eye(3)))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_not_finite_are_refused_at_once(value: Any) -> None:
    features = np.ones((4, 3), np.float32)
    features[2, 1] = value
    with pytest.raises(UserError, match="1 of 4 feature vectors are not finite"):
        FrechetStatistics.of(features)


def test_statistics_that_are_not_finite_give_an_error_never_nan() -> None:
    broken = gaussian([0, np.nan], np.eye(2))
    for pair in [(broken, gaussian([0, 0], np.eye(2))), (gaussian([0, 0], np.eye(2)), broken)]:
        with pytest.raises(UserError, match="not finite"):
            frechet_distance(*pair)


def test_different_protocols_or_widths_are_refused() -> None:
    rng = np.random.default_rng(8)
    a = FrechetStatistics.of(rng.normal(size=(30, 3)), "playground, net")
    b = FrechetStatistics.of(rng.normal(size=(30, 3)), "gigagan256, net")
    with pytest.raises(UserError, match="playground, net and gigagan256, net"):
        frechet_distance(a, b)
    with pytest.raises(UserError, match="cannot be compared"):
        a.merge(b)
    with pytest.raises(UserError, match="3 and 4 features"):
        frechet_distance(a, FrechetStatistics.of(rng.normal(size=(30, 4)), a.identity))
