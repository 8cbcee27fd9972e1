"""Measures of sets, worked on paper; the originals' numbers and a set with itself are in
test_scoring_vectors_measures.py."""

from __future__ import annotations

import math

import numpy as np
import pytest

from harmon_eval.metrics import sets

EAST, NORTH = [1.0, 0.0], [0.0, 1.0]


def test_precision_recall_density_and_coverage_of_three_points_a_side() -> None:
    """k = 1. Balls around 0, 1, 3 have the radii 1, 1, 2; those around 0.5, 0.75, 10 have 0.25,
    0.25, 9.25, and hold 1 and 3 (0.75 is at 0.25 from 1, which is not less)."""
    found = sets.manifold(np.array([[0.0], [1], [3]]), np.array([[0.5], [0.75], [10]]), k=1)
    assert found.precision == pytest.approx(2 / 3)  # not 10
    assert found.recall == pytest.approx(2 / 3)  # not 0
    assert found.density == pytest.approx(4 / 3)  # 0.5 and 0.75 are in two balls each
    assert found.coverage == pytest.approx(2 / 3)  # nothing is near 3


def test_cmmd_of_two_directions() -> None:
    """The squared distance of unit vectors at a right angle is 2, of opposite ones 4."""
    east, north, west = (np.array([x]) for x in (EAST, NORTH, [-1.0, 0.0]))
    assert sets.cmmd(east, north) == pytest.approx(1000 * 2 * (1 - math.exp(-2 / 200)))
    assert sets.cmmd(7 * east, west) == pytest.approx(1000 * 2 * (1 - math.exp(-4 / 200)))


def test_vendi_of_two_images_that_are_alike_and_one_that_is_not() -> None:
    """Eigenvalues 2/3 and 1/3: exp of their entropy, and 1 / the larger."""
    x = np.array([EAST, EAST, NORTH])
    entropy = -(2 / 3 * math.log(2 / 3) + 1 / 3 * math.log(1 / 3))
    assert sets.vendi(x) == pytest.approx(math.exp(entropy))
    assert sets.vendi(5 * x, math.inf) == pytest.approx(1.5)


def test_kernel_distance_of_two_numbers_a_side() -> None:
    """1 and 2 against 0 and 1 under (xy + 1)^3: 27 within the first, 1 within the second, and a
    mean of (1 + 8 + 1 + 27) / 4 across."""
    found = sets.kernel_distance(np.array([[1.0], [2]]), np.array([[0.0], [1]]))
    assert found == pytest.approx(27 + 1 - 2 * 37 / 4)
