"""Two runs, pair by pair: differences, tests, verdicts, and what cannot be compared."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from harmon_eval import registry
from harmon_eval.comparing.bounds import BoundedMean
from harmon_eval.comparing.changes import _shown
from harmon_eval.comparing.margins import by_task
from harmon_eval.comparing.means import Groups, means
from harmon_eval.comparing.paired import differences
from harmon_eval.core import Metric, UserError
from harmon_eval.store.durable import read_json, write_json
from harmon_eval.store.run_folder import RunFolder

Call = Callable[..., Any]
Made = Callable[..., Path]


def rows(marks: np.ndarray, strata: int = 1) -> pd.DataFrame:
    """(groups, samples a group) marks."""
    groups, each = marks.shape
    names = np.repeat([f"g{i:04d}" for i in range(groups)], each)
    return pd.DataFrame(
        {
            "id": [f"{name}-{i % each}" for i, name in enumerate(names)],
            "group": names,
            "stratum": np.repeat([f"s{i % strata}" for i in range(groups)], each),
            "unscored": None,
            "correct": marks.ravel(),
        }
    )


@pytest.fixture
def toy(plugin: Path) -> Any:
    return registry.task("toy_ask")


def test_one_mark_a_group_is_tested_by_mcnemar_exactly(toy: Any) -> None:
    before, after = np.ones((30, 1)), np.ones((30, 1))
    after[:9], before[9:11] = 0, 0  # nine lost, two won
    found = differences(toy, rows(before), rows(after), frozenset({"accuracy"}))["accuracy"]
    assert found.p == pytest.approx(stats.binomtest(2, 11, 0.5).pvalue)
    assert found.value == pytest.approx(-7 / 30)


def test_images_of_one_prompt_are_one_observation(toy: Any) -> None:
    # Five prompts of four images that all change: as five tosses of a coin, 2 / 2**5.
    found = differences(toy, rows(np.ones((5, 4))), rows(np.zeros((5, 4))), frozenset({"accuracy"}))
    assert found["accuracy"].p == pytest.approx(2 / 32)


@given(st.integers(1, 60), st.integers(0, 60), st.floats(0.001, 0.5))
@settings(max_examples=25)
def test_groups_that_can_only_lose_have_the_bound_of_clopper_and_pearson(
    groups: int, lost: int, level: float
) -> None:
    lost = min(lost, groups)
    evidence = BoundedMean.of(np.ones(groups), np.r_[-np.ones(lost), np.zeros(groups - lost)], 1.0)
    share = stats.beta.ppf(1 - level, lost + 1, groups - lost) if lost < groups else 1.0
    assert evidence.lower(level) == pytest.approx(-share, abs=1e-6)


@given(st.integers(0, 2**32 - 1), st.integers(2, 80), st.floats(0.001, 0.3))
@settings(max_examples=40)
def test_a_bound_is_where_its_test_begins_to_reject(seed: int, groups: int, level: float) -> None:
    rng = np.random.default_rng(seed)
    values = rng.choice([-1, -0.5, 0, 0, 0, 0.25, 1], groups)
    evidence = BoundedMean.of(rng.random(groups) + 0.1, values, 1.0)
    low, high = evidence.lower(level), evidence.upper(level)
    assert -1 <= low < high <= 1
    if low > -1:
        assert evidence.above(low) == pytest.approx(level, abs=1e-6)
        assert evidence.above(low - 1e-4) < level < evidence.above(low + 1e-4)
    if high < 1:
        assert evidence.below(high) == pytest.approx(level, abs=1e-6)
    assert evidence.turned.lower(level) == pytest.approx(-high)


def test_the_interval_is_that_of_paired_not_of_unpaired_normal_theory(toy: Any) -> None:
    rng = np.random.default_rng(0)
    hard = rng.random((400, 1))
    before = (rng.random((400, 1)) < hard).astype(float)
    after = np.where(rng.random((400, 1)) < 0.1, 1 - before, before)
    found = differences(toy, rows(before), rows(after), frozenset({"accuracy"}))["accuracy"]
    reach = 1.645 * (after - before).std(ddof=1) / 20
    assert found.interval == pytest.approx((found.value - reach, found.value + reach), abs=0.01)


def test_one_group_that_lost_everything_shows_next_to_nothing(toy: Any) -> None:
    one, two = np.ones((7, 2)), np.zeros((7, 2))
    for strata in (7, 3):  # with 7, each group is a stratum of its own
        found = differences(
            toy, rows(one, strata), rows(two, strata), frozenset({"accuracy", "s1"})
        )
        low, high = found["accuracy"].interval or (0, 0)
        assert low == -1 and -0.6 < high < -0.1, "seven groups, whatever their strata"
    alone = differences(toy, rows(one, 7), rows(two, 7), frozenset({"s1"}))["s1"]
    assert alone.interval == pytest.approx((-1, 0.9)) and alone.p == 1


def test_swapping_the_runs_changes_the_sign_and_nothing_else(toy: Any) -> None:
    rng = np.random.default_rng(3)
    one, two = (rng.random((20, 3)) < 0.5 for _ in range(2))
    names = frozenset({"accuracy", "s0", "s1"})
    there = differences(toy, rows(one, 2), rows(two, 2), names)
    back = differences(toy, rows(two, 2), rows(one, 2), names)
    for name in names:
        assert there[name].value == pytest.approx(-back[name].value)
        assert there[name].p == pytest.approx(back[name].p)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=8)
def test_means_are_recognised_and_other_metrics_are_not(seed: int) -> None:
    def metrics(rows: pd.DataFrame) -> dict[str, float]:
        marks = rows["correct"].astype(float)
        return {
            "mean": float(marks.mean()),
            "percent": float(100 * marks.mean()),
            "macro": float(marks.groupby(rows["stratum"]).mean().mean()),
            "any": float(marks.groupby(rows["group"]).max().mean()),
            "all": float(marks.groupby(rows["group"]).min().mean()),
            "square": float(marks.mean() ** 2),
            "n": float(len(rows)),
        }

    rng = np.random.default_rng(seed)
    one, two = (Groups.of(rows(rng.random((23, 4)) < 0.6, 3)) for _ in range(2))
    found = dict(means((one, two), metrics, frozenset(metrics(one.rows))))
    assert found.keys() >= {"mean", "percent", "macro", "any", "all"}
    assert not found.keys() & {"square", "n"}
    picked = one.resampled(rng, 3)
    for name, (mean, _) in found.items():
        expected = [metrics(one.take(numbers))[name] for numbers in picked]
        assert mean.of(picked) == pytest.approx(expected)
        assert mean.weights @ mean.total == pytest.approx(mean.value)


def f1(rows: pd.DataFrame) -> dict[str, float]:
    hits = float(rows["correct"].sum())
    return {"f1": 2 * hits / (hits + len(rows))}


def test_a_metric_that_is_no_mean_is_tested_by_what_it_loses_without_a_group(toy: Any) -> None:
    task = replace(toy, summarize=f1, metrics=(Metric("f1"),))
    same = differences(task, rows(np.eye(8)), rows(np.eye(8)), frozenset({"f1"}))["f1"]
    assert (same.value, same.p) == (0, 1)
    low, high = same.interval or (0, 0)
    assert low < -0.2 and high > 0.2, "nothing changed: how much could have is not zero"
    worse = differences(task, rows(np.ones((30, 1))), rows(np.zeros((30, 1))), frozenset({"f1"}))
    assert worse["f1"].p < 1e-6 and worse["f1"].value == -1


def test_an_influence_is_the_derivative_of_the_metric(toy: Any) -> None:
    """F1 = 2h / (h + n): its standard error by the delta method, of two unpaired runs."""
    rng = np.random.default_rng(1)
    task = replace(toy, summarize=f1, metrics=(Metric("f1"),))
    one, two = (rng.random((400, 1)) < 0.7 for _ in range(2))
    found = differences(task, rows(one), rows(two), frozenset({"f1"}))["f1"]
    slopes = [2 / (1 + m.mean()) ** 2 * (m - m.mean()) for m in (one, two)]
    error = (slopes[1] - slopes[0]).std(ddof=1) / 20
    assert found.error == pytest.approx(error, rel=0.05)


def test_a_part_that_cannot_be_left_out_has_no_spread_to_know(toy: Any) -> None:
    task = replace(toy, summarize=f1, metrics=(Metric("f1"),))
    one, two = rows(np.ones((5, 2)), 5), rows(np.eye(5, 2), 5)
    found = differences(task, one, two, frozenset({"f1"}))["f1"]
    assert found.interval is None and found.p == 1


def test_fid_and_kid_are_compared_part_by_part() -> None:
    task = registry.task("mjhq")
    rng = np.random.default_rng(0)

    def drawn(shift: float) -> pd.DataFrame:
        features = [f.astype(np.float32) for f in rng.standard_normal((200, 3)) + shift]
        return rows(np.ones((200, 1))).assign(
            setting="p,net", features=features, reference_features=reference
        )

    reference = [f.astype(np.float32) for f in rng.standard_normal((200, 3))]
    names = frozenset({"fid[p,net]", "kid[p,net]"})
    alike = differences(task, drawn(0), drawn(0), names)
    other = differences(task, drawn(0), drawn(0.6), names)
    for name in names:
        assert alike[name].p > 0.01 and other[name].p < 0.001 and other[name].value > 0
        low, high = other[name].interval or (0, 0)
        assert other[name].test == "jackknife t" and 0 < low < other[name].value < high


def test_tables_for_people_and_for_ci(call: Call, made_run: Made, tmp_path: Path) -> None:
    made_run("a", [[1]] * 40)
    made_run("b", [[0]] * 12 + [[1]] * 28)
    done = call("compare", "a", "b", "--junit", "j.xml", "--json", "j.json", "--summary", "s.md")
    assert done.code == 1 and "worse" in done.out
    assert "12 samples changed: 12 lost, 0 gained" in done.out
    assert "question 0" in done.out and "reply of a" in done.out and "reply of b" in done.out
    suite = ElementTree.fromstring((tmp_path / "j.xml").read_text())
    assert suite.get("failures") == "1" and suite.find("testcase/failure") is not None
    written = json.loads((tmp_path / "j.json").read_text())
    assert written["code"] == 1 and len(written["changed"]) == 12
    assert written["changed"][0]["before"] == {"correct": 1.0, "response": "reply of a"}
    assert "| toy_ask | *accuracy |" in (tmp_path / "s.md").read_text()
    better = call("compare", "b", "a", "--summary", "s.md")
    assert better.code == 0 and "better" in better.out
    assert (tmp_path / "s.md").read_text().count("### harmon_eval") == 2, "appended to"


def test_a_cell_that_neither_row_has_is_no_change() -> None:
    row = pd.Series({"id": "a", "correct": 1, "seconds": float("nan"), "parsed": "yes"})
    assert _shown(row) == {"correct": 1, "parsed": "yes"}


def test_what_a_model_wrote_cannot_break_the_tables(
    call: Call, made_run: Made, tmp_path: Path
) -> None:
    name = "a,b|<script>[red]\\_%$&"
    made_run(name, [[1]] * 12)
    made_run("b", [[0]] * 12)
    done = call("compare", name, "b", "--junit", "j.xml", "--summary", "s.md")
    assert done.code == 1 and "reply of a,b|<script>[red]" in done.out
    assert "<script>" not in (tmp_path / "s.md").read_text()
    ElementTree.fromstring((tmp_path / "j.xml").read_text())


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"suite": "official"}, "different suite"),
        ({"version": "2"}, "different version"),
        ({"settings": {"cfg": 4}}, "different settings (cfg: none -> 4)"),
    ],
)
def test_other_suites_versions_and_settings_are_not_comparable(
    call: Call, made_run: Made, changed: dict[str, Any], reason: str
) -> None:
    made_run("a", [[1]] * 12)
    made_run("b", [[1]] * 12, **changed)
    done = call("compare", "a", "b", "--json", "j.json")
    written = json.loads(Path("j.json").read_text())["metrics"][0]
    assert done.code == 2 and written["verdict"] == "not comparable"
    assert reason in written["reason"]


def test_two_models_are_compared_when_their_settings_are_the_question(
    call: Call, made_run: Made
) -> None:
    made_run("a", [[1]] * 12)
    made_run("b", [[1]] * 12, model="other", settings={"cfg": 4})
    assert call("compare", "a", "b", "--any-settings").code == 0


def test_how_older_runs_say_weights_were_trained_is_no_setting(
    made_run: Made, call: Call, tmp_path: Path
) -> None:
    """They noted it among the settings; such a run is compared, resumed and listed all the same."""
    marks = [[1.0], [0.0]] * 8
    made_run("old", marks, settings={"cfg": 3, "training": {"steps": 9, "seconds": 1}})
    made_run("new", marks, settings={"cfg": 3})
    compared = call("compare", "old", "new")
    assert compared.code == 0 and "different settings" not in compared.out
    assert "nothing can differ" in compared.out

    old = RunFolder(tmp_path / "old")
    identity = RunFolder(tmp_path / "new").manifest["identity"]
    old.expect(identity)
    with pytest.raises(UserError, match="other settings"):
        old.expect({**identity, "model": {**identity["model"], "settings": {"cfg": 4}}})
    assert call("leaderboard", "old", "--output", "board.csv").code == 0
    assert "training" not in (tmp_path / "board.csv").read_text()


def test_another_seed_and_another_n_are_paired_on_what_both_have(
    call: Call, made_run: Made
) -> None:
    made_run("a", [[1]] * 20)
    made_run("b", [[1]] * 11 + [[0]], seed=5, total=20)
    done = call("compare", "a", "b")
    assert done.code == 0
    assert "paired on 12 of 20 samples" in done.out and "seeds 0 and 5" in done.out


def test_what_one_sample_or_none_changed_can_show(call: Call, made_run: Made) -> None:
    made_run("one", [[1]])
    made_run("other", [[0]])
    assert call("compare", "one", "other").code == 2, "a single sample decides nothing"
    made_run("a", [[1]] * 30)
    made_run("b", [[1]] * 30, model="other")
    done = call("compare", "a", "b", "--json", "j.json")
    metric = json.loads(Path("j.json").read_text())["metrics"][0]
    assert done.code == 0 and metric["p"] == 1 and metric["interval"][0] < 0


def test_a_judge_that_nobody_compared_with_people_is_named(call: Call, made_run: Made) -> None:
    for name in ("a", "b"):
        file = made_run(name, [[1]] * 12, model=name, suite="official") / "toy_ask/metrics.json"
        stored = read_json(file)
        stored["provenance"]["instruments"] = {"judge": "j"}
        write_json(file, stored)
    assert "nobody compared this judge with people" in call("compare", "a", "b").out
    Path("b/toy_ask/calibration.json").write_text("{}")
    assert "nobody compared" not in call("compare", "a", "b").out


def test_a_run_is_no_worse_than_itself_however_small(call: Call, made_run: Made) -> None:
    made_run("a", [[1], [0], [1]])
    for options in ((), ("--no-worse-than", "0.01"), ("--effect", "0.01")):
        done = call("compare", "a", "a", *options, "--json", "j.json")
        metric = json.loads(Path("j.json").read_text())["metrics"][0]
        assert done.code == 0 and metric["interval"] == [0, 0] and "nothing can differ" in done.out
    assert "passed: shown to be no worse" in call("compare", "a", "a", "--no-worse-than", 0.01).out
    made_run("b", [[1], [0], [1]], seed=1)
    assert call("compare", "a", "b", "--no-worse-than", "0.01").code == 2
    made_run("c", [[1], [1], [0]])  # the same, but its marks differ: something did
    assert call("compare", "a", "c", "--no-worse-than", "0.01").code == 2


def test_numbers_that_are_none_are_not_comparable(call: Call, made_run: Made) -> None:
    made_run("a", [[1.0]] * 12)
    made_run("b", [[float("nan")]] * 12)
    done = call("compare", "a", "b", "--json", "j.json")
    assert done.code == 2
    assert "no value" in json.loads(Path("j.json").read_text())["metrics"][0]["reason"]


def test_a_run_of_another_task_or_without_rows_is_said(call: Call, made_run: Made) -> None:
    a, b = made_run("a", [[1]] * 12), made_run("b", [[1]] * 12, task="toy_draw")
    assert call("compare", a, b).code == 2
    assert call("compare", a, b, "--tasks", "mjhq").err.startswith("error: neither run")
    (a / "toy_ask/rows.parquet").unlink()
    assert "its marks are missing" in " ".join(call("compare", a, a).out.split())


def test_real_runs_list_their_images(call: Call) -> None:
    call("--model", "scripted", "--tasks", "toy_draw", "--output", "a")
    call("--model", "scripted", "--tasks", "toy_draw", "--seed", 1, "--output", "b")
    done = call("compare", "a", "b", "--changed", 1, "--json", "j.json")
    change = json.loads(Path("j.json").read_text())["changed"][0]
    assert Path(change["after"]["response"]).exists()
    assert change["prompt"].split()[1:2] == ["picture"], "the suite says it where rows do not"
    assert done.code == 0 and "--json for all" in done.out


def test_tolerances_are_numbers() -> None:
    assert by_task("0.02", "--effect") == {"": 0.02}
    assert by_task("a=1, b=0.5", "--effect") == {"a": 1, "b": 0.5}
    for wrong in ("x", "a=-1", "a=nan"):
        with pytest.raises(UserError, match="give a number"):
            by_task(wrong, "--effect")
