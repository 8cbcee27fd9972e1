"""KID against clean-fid and torchmetrics, by hand, and its standard error against repetition."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from harmon_eval.core import UserError
from harmon_eval.metrics.kid import kid, squared_mmd


def test_by_hand_for_two_vectors_of_one_number() -> None:
    # k(x, y) = (xy + 1)^3: within x 2 * 1 / 2 = 1, within y 27, across (1 + 1 + 8 + 27 ...) / 4.
    x, y = np.array([[0.0], [1.0]]), np.array([[1.0], [2.0]])
    across = (1 + 1 + 2**3 + 3**3) / 4
    assert squared_mmd(x, y) == pytest.approx(1 + 3**3 - 2 * across)


def test_equals_torchmetrics() -> None:
    from torchmetrics.image.kid import poly_mmd

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 8)), rng.normal(0.3, 1, size=(40, 8))
    expected = poly_mmd(torch.from_numpy(x), torch.from_numpy(y))
    assert squared_mmd(x, y) == pytest.approx(float(expected), rel=1e-10)


def test_equals_clean_fid() -> None:
    from cleanfid.fid import kernel_distance

    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(60, 16)), rng.normal(0.3, 1.2, size=(60, 16))
    # A subset of everything is everything, whatever the draw.
    expected = kernel_distance(x, y, num_subsets=1, max_subset_size=60)
    assert squared_mmd(x, y) == pytest.approx(expected, rel=1e-10)


def test_the_mean_over_subsets_estimates_the_whole() -> None:
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(400, 8)), rng.normal(0.4, 1, size=(400, 8))
    result = kid(x, y, subset_size=100)
    assert result.mean == pytest.approx(squared_mmd(x, y), abs=2 * result.standard_error)


@pytest.mark.parametrize("subset_size", [50, 1000])
def test_the_standard_error_is_what_repetition_shows(subset_size: int) -> None:
    rng = np.random.default_rng(3)
    results = [
        kid(
            rng.normal(size=(300, 6)),
            rng.normal(0.5, 1, size=(300, 6)),
            subsets=60,
            subset_size=subset_size,
        )
        for _ in range(40)
    ]
    spread = np.std([result.mean for result in results], ddof=1)
    told = np.mean([result.standard_error for result in results])
    assert 0.6 < told / spread < 1.5


def test_unbiased_for_equal_distributions_even_for_few_images() -> None:
    rng = np.random.default_rng(4)
    values = [squared_mmd(rng.normal(size=(8, 20)), rng.normal(size=(8, 20))) for _ in range(400)]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(len(values))


def test_the_seed_fixes_the_subsets() -> None:
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(30, 4)), rng.normal(size=(30, 4))
    assert kid(x, y) == kid(x, y)
    assert kid(x, y) != kid(x, y, seed=1)


def test_too_few_or_broken_features_are_refused() -> None:
    with pytest.raises(UserError, match="at least 4 images"):
        kid(np.ones((3, 2)), np.ones((9, 2)))
    with pytest.raises(UserError, match="not finite"):
        kid(np.full((9, 2), np.nan), np.ones((9, 2)))
