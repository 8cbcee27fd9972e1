"""The leaderboard's ranks: what the best does not beat, and rank intervals that hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from harmon_eval.metrics.proportions import wilson
from harmon_eval.ranking.formats import apart
from harmon_eval.ranking.ranks import ranks


def column(*right: int, n: int = 553, **other: Any) -> pd.DataFrame:
    rows = [
        {"model": f"m{k}", "kind": "measured", "value": x / n, "low": low, "high": high}
        for k, x in enumerate(right)
        for low, high in [wilson(x / n, n)]
    ]
    return pd.DataFrame(rows).assign(higher_is_better=True, **other)


def test_near_values_share_the_first_rank_and_a_far_one_has_its_own() -> None:
    found = ranks(column(440, 430, 300))
    assert [str(found[f"m{k}"]) for k in range(3)] == ["rank 1–2", "rank 1–2", "rank 3"]
    assert [found[f"m{k}"].best for k in range(3)] == [True, True, False]


def test_of_distances_the_smallest_is_best() -> None:
    found = ranks(column(440, 430, 300).assign(higher_is_better=False))
    assert [str(found[f"m{k}"]) for k in range(3)] == ["rank 2–3", "rank 2–3", "rank 1"]


def test_one_value_and_values_without_intervals_are_not_ranked() -> None:
    assert ranks(column(440)) == {}
    assert ranks(column(440, 430).assign(low=np.nan)) == {}
    assert ranks(column(440, 430).assign(kind="quoted")) == {}


@pytest.mark.parametrize("models", [2, 8])
def test_equal_models_are_all_best_in_95_of_100_columns(models: int) -> None:
    rng = np.random.default_rng(models)
    noise = 0
    for _ in range(200):
        found = ranks(column(*rng.binomial(553, 0.7, models)))
        noise += any((rank.first, rank.last) != (1, models) for rank in found.values())
    assert noise <= 18  # 5 % of 200 are 10; more than 18 happen in less than 1 of 100 tries


def test_runs_of_one_model_are_told_apart_by_what_only_some_of_them_set() -> None:
    """Such as the same weights drawn in fewer steps: nobody takes them for one way of drawing."""
    lists = "guidance [0.0, 1.0]"
    runs = [
        ("mine (full)", "full", f"cfg_scale 3.0, {lists}, iterations 16", "11fe", "0"),
        ("mine (quick)", "quick", f"cfg_scale 3.0, {lists}, iterations 12, cache 3", "11fe", "0"),
        ("mine/fast", "fast", f"cfg_scale 1.0, {lists}, iterations 12, weights fast", "a5d0", "0"),
        ("other", "other", "steps 4", "77", "0"),
    ]
    assert apart(runs) == ["mine (full): iterations 16", "mine (quick): iterations 12, cache 3"]
    assert apart([(f"mine ({run})", run, lists, "11fe", "0") for run in "ab"]) == []
