"""The gate stops a checkpoint that is worse, and passes nothing that it cannot judge."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harmon_eval.comparing.margins import Settings
from harmon_eval.store.run_folder import RunFolder

Call = Callable[..., Any]
Made = Callable[..., Path]
GOOD, BAD = [[1]] * 40, [[0]] * 12 + [[1]] * 28


def test_a_run_is_gated_against_its_baseline(call: Call) -> None:
    call("--model", "toy_talker", "--tasks", "toy_ask", "--output", "a")
    again = ("--model", "toy_talker", "--tasks", "toy_ask", "--output", "b", "--baseline", "a")
    done = call(*again, "--gate", "--tolerance", "0.01")
    assert done.code == 0 and "passed: not shown to be worse" in done.out
    call("--model", "toy_flaky", "--tasks", "toy_draw", "--output", "c")
    call("--model", "scripted", "--tasks", "toy_draw", "--output", "d")
    worse = call(
        "--model", "scripted", "--tasks", "toy_draw", "--output", "d", "--baseline", "c", "--gate"
    )
    assert worse.code == 2, "unscored samples of the baseline"
    assert call("--gate").err.startswith("error: --gate needs a run to compare with")


def test_unscored_samples_never_pass(call: Call, made_run: Made) -> None:
    made_run("a", GOOD)
    made_run("b", [*GOOD[1:], ["judge failed"]])
    made_run("none", [["judge failed"]] * 40)
    for candidate in ("b", "none"):
        done = call("compare", "a", candidate, "--json", "j.json")
        assert done.code == 2
    assert "40 of 40 samples" in json.loads(Path("j.json").read_text())["metrics"][0]["reason"]


def test_a_run_that_could_not_be_judged_does_not_hide_one_that_is_worse(
    call: Call, made_run: Made
) -> None:
    a, b = made_run("a", GOOD), made_run("b", BAD)
    for run, other in ((a, "c"), (b, "d")):
        more = made_run(other, [["failed"]] * 40, task="toy_draw")
        (more / "toy_draw").rename(run / "toy_draw")
        folder = RunFolder(run)
        known = folder.manifest["tasks"]
        folder.update(tasks={**known, "toy_draw": known["toy_ask"]})
    assert call("compare", a, b).code == 1
    assert call("compare", a, a).code == 2
    assert call("compare", a, a, "--tasks", "toy_ask").code == 0


def test_the_tolerance_is_what_the_whole_bound_must_exceed(call: Call, made_run: Made) -> None:
    made_run("a", GOOD)
    made_run("b", BAD)  # 0.30 lost, one-sided bound about 0.18
    assert call("compare", "a", "b", "--tolerance", "0.1").code == 1
    tolerated = call("compare", "a", "b", "--tolerance", "toy_ask=0.25")
    assert tolerated.code == 0 and "worse" in tolerated.out and "beyond" not in tolerated.out


def test_a_run_too_small_for_the_wanted_effect_does_not_pass(call: Call, made_run: Made) -> None:
    marks = np.random.default_rng(0).random((2, 40, 1)) < 0.8
    made_run("a", marks[0].tolist())
    made_run("b", marks[1].tolist(), seed=1)
    assert call("compare", "a", "b").code == 0
    small = call("compare", "a", "b", "--effect", "0.02", "--json", "j.json")
    assert small.code == 2
    line = json.loads(Path("j.json").read_text())["metrics"][0]
    assert line["verdict"] == "underpowered" and line["groups_needed"] > 40
    enough = line["smallest_detectable"] * 1.01
    assert call("compare", "a", "b", "--effect", enough).code == 0


def test_details_explain_and_only_headlines_decide_unless_asked(call: Call, made_run: Made) -> None:
    # The parts move against each other: the mean stands still.
    made_run("a", [[1], [0]] * 20, strata=2)
    made_run("b", [[0], [1]] * 20, strata=2)
    first = call("compare", "a", "b", "--json", "j.json")
    lines = {m["metric"]: m for m in json.loads(Path("j.json").read_text())["metrics"]}
    assert first.code == 0
    assert (lines["s0"]["verdict"], lines["s1"]["verdict"]) == ("worse", "better")
    assert call("compare", "a", "b", "--every-metric").code == 1


def test_a_true_loss_does_not_pass_as_no_worse_on_few_samples(call: Call, made_run: Made) -> None:
    """12 questions, none of which changed: a loss of 0.2 is not ruled out."""
    made_run("a", GOOD[:12])
    made_run("b", GOOD[:12], model="other")
    assert call("compare", "a", "b").code == 0
    asked = call("compare", "a", "b", "--no-worse-than", "0.1", "--json", "j.json")
    assert asked.code == 2 and "cannot be told" in asked.out
    line = json.loads(Path("j.json").read_text())["metrics"][0]
    # p is that of the test that decides: 0.9 ** 12, not the 1 of a loss that did not happen.
    assert f"{line['p_no_worse']:.4f}" == "0.2824" and line["p"] > 0.9
    told = call("compare", "a", "b", "--no-worse-than", "0.1", "--summary", "s.md").code
    assert told == 2 and "| 0.2824 (Gaffke) |" in Path("s.md").read_text()
    # 29 would do if nothing changes in them either (0.9 ** 29 < 0.05).
    assert line["interval"][0] < -0.1 < line["interval"][1] and 29 <= line["groups_needed"] < 50
    assert "12 groups; it takes about" in line["reason"]
    made_run("a", [[1]] * line["groups_needed"])
    made_run("b", [[1]] * line["groups_needed"], model="other")
    assert call("compare", "a", "b", "--no-worse-than", "0.1").code == 0
    made_run("c", [[0]] * 40 + [[1]] * (line["groups_needed"] - 40))
    worse = call("compare", "a", "c", "--no-worse-than", "0.1")
    assert worse.code == 1 and "worse than the baseline" in worse.out


def test_every_gate_takes_the_same_options(call: Call, made_run: Made) -> None:
    ask = ("--model", "toy_talker", "--tasks", "toy_ask")
    call(*ask, "--output", "a")
    gated = (*ask, "--output", "b", "--seed", 1, "--baseline", "a", "--gate")
    assert call(*gated).code == 0
    assert call(*gated, "--no-worse-than", "0.05").code == 2
    assert call(*gated, "--effect", "0.05").code == 2
    assert call(*gated, "--any-settings", "--tolerance", "0.05").code == 0
    for option in ("--effect", "--no-worse-than", "--tolerance"):
        alone = call(*ask, "--output", "c", option, "0.1")
        assert alone.code == 2 and f"{option} needs a run to compare with" in alone.err
        typo = call(*gated, option, "toy_aks=0.1")
        assert typo.code == 2 and "did you mean 'toy_ask'?" in typo.err
        assert "asking" not in typo.err, "before anything is asked"
        huge = call(*gated, option, "1e9")
        assert huge.code == 2 and "goes from 0 to 1, so no loss is as large" in huge.err


def test_options_that_contradict_each_other_are_refused(call: Call, made_run: Made) -> None:
    made_run("a", GOOD)
    margin = ("compare", "a", "a", "--no-worse-than")
    for option in ("--effect", "--tolerance"):
        both = call(*margin, "0.1", option, "0.1")
        assert both.code == 2 and "give one of them" in both.err
    assert "give the loss that would matter" in call(*margin, "0").err
    assert "this task is not compared" in call(*margin, "toy_draw=0.1").err
    less = call("compare", "a", "a", "--effect", "0.1", "--tolerance", "0.2")
    assert less.code == 2 and "more than its --tolerance" in less.err


def test_seeds_that_both_were_drawn_with_are_pooled(call: Call, made_run: Made) -> None:
    rng = np.random.default_rng(3)
    for seed in (0, 1):
        before = (rng.random((60, 4)) < 0.7).astype(int)
        made_run(f"a{seed}", before.tolist(), seed=seed)
        lost = rng.random((60, 4)) < 0.25
        made_run(f"b{seed}", (before * ~lost).astype(int).tolist(), seed=seed, model="other")
    lines = []
    for more in ((), ("--pool", "a1", "b1")):
        call("compare", "a0", "b0", *more, "--json", "j.json")
        lines.append(json.loads(Path("j.json").read_text())["metrics"][0])
    one, two = lines
    assert one["groups"] == two["groups"] == 60, "a prompt stays one group"
    width = [line["interval"][1] - line["interval"][0] for line in lines]
    assert width[1] < width[0]
    call("compare", "a1", "b1", "--json", "j.json")
    other = json.loads(Path("j.json").read_text())["metrics"][0]
    assert two["difference"] == pytest.approx((one["difference"] + other["difference"]) / 2)
    assert "only seeds can be pooled" in call("compare", "a0", "b0", "--pool", "b1", "a1").err
    assert "same seed" in call("compare", "a0", "b0", "--pool", "a0", "b0").err
    told = " ".join(call("compare", "a0", "b0", "--pool", "a0", "b1").err.split())
    assert "--pool: a0 and a0 have the same seed, 0: pool runs with new ones" in told


def test_a_run_is_not_pooled_on_both_sides(call: Call, made_run: Made) -> None:
    """It would cancel itself: any loss would be halved or gone."""
    made_run("a0", GOOD, seed=0)
    made_run("a1", BAD, seed=1)
    done = call("compare", "a0", "a1", "--pool", "a1", "a0")
    assert done.code == 2 and "--pool: a1 is both baseline and candidate" in done.err


def test_a_gate_that_could_not_pass_is_refused_before_anything_is_drawn(
    call: Call, made_run: Made, tmp_path: Path
) -> None:
    made_run("a", GOOD)
    run = ("--model", "scripted", "--tasks", "toy_ask,toy_draw", "--limit", 2, "--output", "b")
    done = call(*run, "--gate", "--baseline", "a")
    assert done.code == 2 and not (tmp_path / "b").exists()
    assert "a has no results of toy_draw" in done.err and "--tasks toy_draw too" in done.err


@pytest.mark.parametrize("text", ["toy_ask=0.3,toy_ask=0.4", "0.3,0.4"])
def test_a_task_has_one_margin(call: Call, made_run: Made, text: str) -> None:
    made_run("a", GOOD)
    made_run("b", BAD)
    done = call("compare", "a", "b", "--no-worse-than", text)
    assert done.code == 2 and "two values for" in done.err


def test_one_margin_for_different_scales_is_spoken_of() -> None:
    """0.05 is a twentieth of GenEval's scale, and nothing on POPE's."""
    tops = {"pope": 100.0, "geneval": 1.0}
    (note,) = Settings({}, {}, no_worse_than={"": 0.05}).scales(tops)
    assert "--no-worse-than 0.05" in note and "pope to 100, geneval to 1" in note
    assert not Settings({}, {}, no_worse_than={"pope": 5, "geneval": 0.05}).scales(tops)
    assert not Settings({}, {}, no_worse_than={"": 0.05, "pope": 5}).scales(tops)
    assert not Settings({"": 0.05}, {}).scales({"a": 1.0, "b": 1.0, "c": None})
