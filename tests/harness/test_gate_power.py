"""The benchmark of the gate: what it deals, and that the gate kept its word when it last ran."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file
from scipy import stats

from benchmarks import gate_margins, gate_power, gate_runs, gate_streams, record
from benchmarks.gate_power import Case
from harmon_eval.model.checkpoint import BUNDLED

KEPT = json.loads((record.RESULTS / "gate_power.json").read_text())["measured"]


def case_of(row: dict[str, Any]) -> str:
    return str(row["case"])


@pytest.mark.parametrize("row", KEPT["cases"], ids=case_of)
def test_the_gate_kept_its_word(row: dict[str, Any]) -> None:
    low, high = row["interval"]
    assert low <= 0.05 if row["alarm"] else high >= row["promised"] - 0.02


@pytest.mark.parametrize("row", KEPT["margins"], ids=case_of)
def test_at_the_margin_no_verdict_is_false_in_more_than_5_percent(row: dict[str, Any]) -> None:
    for verdict in ("no_worse", "worse"):
        false = round(row[verdict] * row["trials"])
        assert stats.binomtest(false, row["trials"]).proportion_ci(0.99).low <= 0.05


def test_at_the_margin_the_t_test_is_not_valid_where_the_gate_is() -> None:
    assert max(row["t"] for row in KEPT["margins"]) > 0.5


@pytest.mark.parametrize(
    "row", [row for row in KEPT["streams"] if row["way"] == "track"], ids=case_of
)
def test_streams_have_few_false_alarms_and_slow_declines_are_found(row: dict[str, Any]) -> None:
    assert row["interval"][1] <= 0.05 if row["equal"] else row["interval"][0] >= 0.95


def test_the_previous_the_best_and_multiplied_evidence_mislead() -> None:
    equal = {row["way"]: row["alarms"] for row in KEPT["streams"] if row["equal"]}
    assert equal["against the previous at 5 %"] > 0.5
    assert equal["against the best at 5 %"] > 0.9
    assert equal["e-values multiplied"] > 0.05


def test_the_tables_in_the_docs_are_what_was_measured() -> None:
    text = gate_power.DOCS.read_text()
    for table, rows in KEPT.items():
        assert gate_power.TABLES[table](rows) in text
    measured = {table: {row.get("case") for row in rows} for table, rows in KEPT.items()}
    assert {case.name for case in gate_power.simulated()} <= measured["cases"]
    assert {cell.name for cell in gate_margins.cells()} == measured["margins"]
    assert {case.name for case in gate_streams.cases()} == measured["streams"]


def test_each_setting_loses_what_it_says() -> None:
    rng = np.random.default_rng(0)
    for marks in gate_margins.KINDS:
        lost = [marks.differences(500, marks.margin, rng).mean() for _ in range(20)]
        assert np.mean(lost) == pytest.approx(-marks.margin, abs=0.01)
    last = [gate_streams.stream(500, 0.1, 0.0, rng)[[0, -1]].mean(1) for _ in range(20)]
    assert np.diff(np.mean(last, 0))[0] == pytest.approx(-0.1, abs=0.01)


def test_a_loss_that_cannot_be_missed_is_stopped_each_time_and_equal_ones_are_not() -> None:
    worse = gate_power.measure(Case("worse", gate_power.geneval(120, 0.3)), 5)
    assert worse["share"] == 1 and worse["promised"] > 0.99
    assert worse["difference"] == pytest.approx(-0.3, abs=0.05)
    spared = gate_power.measure(Case("spared", gate_power.geneval(120, 0.3), tolerance=0.5), 5)
    assert spared["share"] == 0 and spared["promised"] == 0.05
    equal = gate_power.measure(Case("equal", gate_power.features(60, 0.0, gate_power.fid), True), 5)
    assert equal["share"] <= 0.4
    proved = Case("proved", gate_power.geneval(120, 0), True, no_worse_than=0.5)
    shown = gate_power.measure(proved, 5)
    assert shown["share"] == 1 and shown["counted"] == "no worse" and not shown["alarm"]


def test_common_random_numbers_make_differences_narrower(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    luck = rng.random((2, 200, 4))  # of each seed
    good = pool(tmp_path / "good", luck < 0.6, 0.0)
    near = pool(tmp_path / "near", luck < 0.58, 0.0)
    found = gate_runs.common_seeds(good, near)
    assert found["prompts"] == 200 and found["interval"][0] > 5
    # Of independent drawings a prompt's difference has the variance 2 * 0.24 / 4.
    assert found["other seeds"] == pytest.approx(0.12**0.5, rel=0.1)


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
