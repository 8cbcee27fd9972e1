"""The benchmark of the gate: what it deals, and that the gate kept its word when it last ran."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file

from benchmarks import gate_power, gate_runs, record
from benchmarks.gate_power import Case
from harmon_eval.model.checkpoint import BUNDLED

KEPT = json.loads((record.RESULTS / "gate_power.json").read_text())["measured"]["cases"]


@pytest.mark.parametrize("row", KEPT, ids=lambda row: row["case"])
def test_the_gate_kept_its_word(row: dict) -> None:
    low, high = row["interval"]
    assert low <= 0.05 if row["alarm"] else high >= row["promised"] - 0.02


def test_the_table_in_the_docs_is_what_was_measured() -> None:
    assert gate_power.markdown(KEPT) in gate_power.DOCS.read_text()
    measured = {row["case"] for row in KEPT}
    assert {case.name for case in gate_power.simulated()} <= measured


def test_a_loss_that_cannot_be_missed_is_stopped_each_time_and_equal_ones_are_not() -> None:
    worse = gate_power.measure(Case("worse", gate_power.geneval(120, 0.3)), 5)
    assert worse["stopped"] == 1 and worse["promised"] > 0.99
    assert worse["difference"] == pytest.approx(-0.3, abs=0.05)
    spared = gate_power.measure(Case("spared", gate_power.geneval(120, 0.3), tolerance=0.5), 5)
    assert spared["stopped"] == 0 and spared["promised"] == 0.05
    equal = gate_power.measure(Case("equal", gate_power.features(60, 0.0, gate_power.fid), True), 5)
    assert equal["stopped"] <= 0.4


def pool(folder: Path, marks: np.ndarray, shift: float) -> gate_runs.Pool:
    """``marks`` (seeds, prompts, images); features of as many prompts, moved by ``shift``."""
    runs = []
    rng = np.random.default_rng(0)
    for seed, own in enumerate(marks):
        names = [f"p{i:02d}" for i in range(len(own))]
        parts = [f"s{i % 2}" for i in range(len(own))]
        each = len(own[0])
        rows = pd.DataFrame(
            {
                "id": [f"{n}-{k}" for n in names for k in range(each)],
                "group": np.repeat(names, each),
                "stratum": np.repeat(parts, each),
                "correct": own.ravel(),
            }
        )
        drawn = list(rng.standard_normal((len(own), 2)) + shift)
        fid = pd.DataFrame(
            {
                "id": names,
                "stratum": parts,
                "features": drawn,
                "reference_features": list(rng.standard_normal((len(own), 2))),
            }
        )
        for task, frame in (("geneval", rows), ("mjhq", fid)):
            runs.append(folder / f"{task}-{seed}")
            (runs[-1] / task).mkdir(parents=True)
            frame.sample(frac=1, random_state=1).to_parquet(runs[-1] / task / "rows.parquet")
    return gate_runs.Pool(str(folder), tuple(runs))


def test_equal_sides_share_out_each_prompts_drawings_and_none_is_dealt_twice(
    tmp_path: Path,
) -> None:
    half = np.zeros((2, 30, 4), bool)
    half[0] = True  # of a prompt's eight drawings four are right
    good = pool(tmp_path / "good", half, 0.0)
    bad = pool(tmp_path / "bad", np.zeros((2, 30, 4), bool), 5.0)
    rng = np.random.default_rng(0)
    ((_, _, equal),) = gate_runs.pooled_geneval(good, good)(rng)
    assert equal.baseline + equal.candidate == pytest.approx(1) and equal.groups == 24
    ((_, _, worse),) = gate_runs.pooled_geneval(good, bad)(rng)
    assert worse.candidate == 0 and 0.3 < worse.baseline < 0.7
    ((_, _, alike),) = gate_runs.pooled_fid(good, good)(rng)
    ((_, _, apart),) = gate_runs.pooled_fid(good, bad)(rng)
    assert apart.value > 20 > abs(alike.value)


def test_a_trial_takes_most_of_each_part_in_order() -> None:
    parts = np.array([0] * 10 + [1] * 2)
    chosen = gate_runs.some(parts, np.random.default_rng(0))
    assert list(np.bincount(parts[chosen])) == [8, 2] and (np.diff(chosen) > 0).all()


def test_the_damage_spares_the_vae(tmp_path: Path) -> None:
    gate_runs.damage(tmp_path / "damaged")
    before = load_file(BUNDLED / "harmon-mini/model.safetensors")
    after = load_file(tmp_path / "damaged/model.safetensors")
    changed = {name for name in before if not before[name].equal(after[name])}
    assert changed == {n for n, w in before.items() if w.ndim == 2 and not n.startswith("vae.")}
    assert not list(tmp_path.glob("*.part"))
