"""The guard tells whether a ratio fell; paired differences of a setting with itself are zero."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks import compare
from benchmarks.pareto import fid_difference, geneval_difference, no_evidence_of_loss


@pytest.mark.parametrize(
    ("after", "code"),
    [
        ({"a": 1.3, "b": 2.0}, 0),
        ({"a": 1.2, "b": 2.0}, 0),
        ({"a": 1.1, "b": 2.0}, 1),
        ({"a": 9}, 1),
    ],
)
def test_a_ratio_that_fell_or_is_gone_fails(
    tmp_path: Path, after: dict[str, float], code: int
) -> None:
    for name, ratios in (("before", {"a": 1.3, "b": 2.0}), ("after", after)):
        record = {"machine": "same", "ratios": ratios}
        (tmp_path / f"{name}.json").write_text(json.dumps(record))
    assert compare.main([str(tmp_path / "before.json"), str(tmp_path / "after.json")]) == code


def test_geneval_is_paired_by_sample() -> None:
    """Worked by hand: one of four prompts of a tag is lost, so the tag falls by 1/4 and the mean
    of the two tags by 1/8; a setting loses nothing against itself."""
    rows = pd.DataFrame({
        "id": list("abcdefgh"), "group": list("abcdefgh"), "correct": [True] * 8,
        "tag": ["counting"] * 4 + ["colors"] * 4, "stratum": ["counting"] * 4 + ["colors"] * 4,
    })  # fmt: skip
    worse = rows.assign(correct=rows["id"] != "a").sample(frac=1, random_state=0)
    value, (low, high) = geneval_difference(rows, worse)
    assert value == pytest.approx(-1 / 8)
    assert low <= value <= high <= 0
    assert geneval_difference(rows, rows) == (0.0, (0.0, 0.0))


def test_fid_is_paired_by_sample() -> None:
    rng = np.random.default_rng(0)
    reference, drawn = rng.normal(size=(2, 120, 3))
    full = pd.DataFrame({
        "id": [str(i) for i in range(120)],
        "features": list(drawn), "reference_features": list(reference),
    })  # fmt: skip
    same = full.sample(frac=1, random_state=1)
    _, change, interval = fid_difference(full, same)
    assert (change, *interval) == pytest.approx((0, 0, 0), abs=1e-9)
    moved = full.assign(features=list(drawn + 1.0))
    fid, change, (low, high) = fid_difference(full, moved)
    assert 2 < change <= fid
    assert low < change < high


def test_no_evidence_of_loss_needs_both_intervals_within_the_margins() -> None:
    row = {"geneval_interval": (-0.01, 0.02), "fid_interval": (-0.1, 0.1)}
    assert no_evidence_of_loss(row, full_fid=2.0)
    assert not no_evidence_of_loss({**row, "geneval_interval": (-0.03, 0.05)}, 2.0)
    assert not no_evidence_of_loss({**row, "fid_interval": (-0.1, 0.3)}, 2.0)
