"""The jackknife of smooth functions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from harmon_eval.metrics.statistics import jackknife_interval


def test_the_jackknife_of_a_mean_is_its_textbook_error() -> None:
    values = np.random.default_rng(4).standard_normal(50)
    leave_out = [np.delete(values, i).mean() for i in range(50)]
    low, high = jackknife_interval(values.mean(), leave_out)
    reach = stats.t.ppf(0.975, 49) * values.std(ddof=1) / np.sqrt(50)
    assert (low, high) == pytest.approx((values.mean() - reach, values.mean() + reach))
    with pytest.raises(ValueError, match="two groups"):
        jackknife_interval(1.0, [1.0])
