"""KID against clean-fid and torchmetrics, by hand, and of sets that share prompts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from harmon_eval.core import UserError
from harmon_eval.metrics.kid import BLOCK, kid, kid_replicates, squared_mmd


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


def kernel(a: np.ndarray, b: np.ndarray) -> float:
    return float((a @ b / len(a) + 1) ** 3)


def paired(rng: np.random.Generator, count: int, shift: float = 0.0) -> tuple[np.ndarray, ...]:
    """Drawings and references, alike up to ``shift``, that follow what their prompts ask for."""
    wanted, drawn, reference = rng.normal(size=(3, count, 16))
    return wanted + 0.5 * drawn + shift, wanted + 0.5 * reference


def test_pairs_of_the_same_prompt_count_in_no_term() -> None:
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(2, 5, 3))
    prompts = np.array(["a", "b", "c", "b", "d"])
    pairs = [(i, j) for i in range(5) for j in range(5) if prompts[i] != prompts[j]]
    terms = [kernel(x[i], x[j]) + kernel(y[i], y[j]) - 2 * kernel(x[i], y[j]) for i, j in pairs]
    assert kid(x, y, prompts).mean == pytest.approx(np.mean(terms))


def test_a_set_is_at_no_distance_from_itself() -> None:
    x = np.random.default_rng(3).normal(size=(30, 4))
    assert kid(x, x).mean == pytest.approx(0, abs=1e-12)


def test_blocks_and_groups_of_prompts_add_up() -> None:
    rng = np.random.default_rng(4)
    count = BLOCK + 44
    x, y = rng.normal(size=(2, count, 3))
    first = np.arange(count) % 20 == 0
    found = kid_replicates(x, y).values[0]
    assert found == pytest.approx(kid(x[~first], y[~first]).mean, rel=1e-9)


def test_unbiased_with_a_covering_interval_for_a_hundred_prompts_at_a_true_distance_of_zero() -> (
    None
):
    """The published formula, which pairs each drawing with its own reference, is biased."""
    rng = np.random.default_rng(5)
    sets = [paired(rng, 100) for _ in range(200)]
    values = np.array([kid(*pair).mean for pair in sets])
    assert abs(values.mean()) < 3 * values.std() / np.sqrt(200)
    published = np.array([squared_mmd(*pair) for pair in sets])
    assert published.mean() < -10 * published.std() / np.sqrt(200)
    reach = stats.t.ppf(0.975, 19) * np.array([kid(*pair).standard_error for pair in sets])
    assert (np.abs(values) <= reach).mean() >= 0.93
    assert (np.abs(published) <= reach).mean() < 0.2


def test_the_interval_covers_a_true_distance() -> None:
    rng = np.random.default_rng(6)
    results = [kid(*paired(rng, 100, 0.3)) for _ in range(200)]
    true = np.mean([kid(*paired(rng, 2000, 0.3)).mean for _ in range(4)])
    reach = stats.t.ppf(0.975, 19)
    covered = [abs(each.mean - true) <= reach * each.standard_error for each in results]
    assert 0.9 <= np.mean(covered) <= 0.99


def test_too_few_broken_or_unpaired_features_are_refused() -> None:
    with pytest.raises(UserError, match="at least 4 prompts, not 3"):
        kid(np.ones((3, 2)), np.ones((3, 2)))
    with pytest.raises(UserError, match="at least 4 prompts, not 2"):
        kid(np.ones((6, 2)), np.ones((6, 2)), np.array([*"aaabbb"]))
    with pytest.raises(UserError, match="one reference per image, not 9 for 4"):
        kid(np.ones((4, 2)), np.ones((9, 2)))
    with pytest.raises(UserError, match="not finite"):
        kid(np.full((9, 2), np.nan), np.ones((9, 2)))
