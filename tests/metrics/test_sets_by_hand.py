"""FID, KID and neighbours of two sets, and TensorFlow's resizing, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from harmon_eval.metrics import fid_sets, sets
from harmon_eval.metrics.fid_images import bilinear_resize
from harmon_eval.metrics.fid_pairs import at_infinity, infinity_sizes
from harmon_eval.metrics.frechet import FrechetStatistics


def test_tensorflows_resizing_of_two_pixels_to_four() -> None:
    """Output pixel i lies at i / 2: 0, 5, 10 and, at the edge, 10; centred it would be 0, 2.5..."""
    image = np.zeros((2, 2, 3), np.uint8)
    image[:, 1] = 10
    assert bilinear_resize(image, 4, 0.0)[0, :, 0].tolist() == [0, 5, 10, 10]
    assert bilinear_resize(image, 4)[0, :, 0].tolist() == [0, 2.5, 7.5, 10]


def test_kid_of_three_numbers_a_side_by_hand() -> None:
    """x = 0, 1, 1; y = 0, 0, 1. The kernel (xy + 1)³ is 8 of two ones, else 1: within x
    (1 + 1 + 8) / 3, within y 1, across two pairs of 8 and seven of 1."""
    x, y = np.array([[0.0], [1], [1]]), np.array([[0.0], [0], [1]])
    value, parts = fid_sets.kid(x, y)
    assert value == pytest.approx(10 / 3 + 1 - 2 * (2 * 8 + 7) / 9)
    # Without the first x: within 8, across two of 8 and four of 1.
    assert parts.values[0] == pytest.approx(8 + 1 - 2 * (2 * 8 + 4) / 6)


def test_kid_without_a_group_is_that_of_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(47, 5)), rng.normal(size=(30, 5)) + 0.3
    monkeypatch.setattr(fid_sets, "BLOCK", 8)
    value, parts = fid_sets.kid(x, y)
    assert value == pytest.approx(sets.kernel_distance(y, x))
    rest = x[np.arange(47) % 20 != 4]
    assert parts.values[4] == pytest.approx(sets.kernel_distance(y, rest))


def test_a_set_is_at_no_distance_from_itself() -> None:
    x = np.random.default_rng(0).normal(size=(80, 6)).astype(np.float32)
    own = FrechetStatistics.of(x)
    given = FrechetStatistics.given(own.mean, own.covariance)
    assert fid_sets.fid(x, given) == pytest.approx(0, abs=1e-9)
    near = fid_sets.neighbours(x, x)
    assert near.compared == 80 and near.measures.precision == near.measures.recall == 1


def test_fid_at_infinity_is_the_line_through_its_subsets() -> None:
    """Of a set without bias to lose: subsets of a symmetric set have the mean FID of their size."""
    rng = np.random.default_rng(1)
    drawn, real = rng.normal(size=(200, 3)), rng.normal(size=(300, 3)) + 1
    found = fid_sets.fid_infinity(drawn, FrechetStatistics.of(real))
    assert found.value == pytest.approx(3, abs=0.8) and 0 < found.spread < 0.5
    sizes = infinity_sizes(200)
    assert at_infinity(sizes, [2 + 5 / n for n in sizes]) == pytest.approx(2)
