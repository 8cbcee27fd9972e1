"""The gate stops a checkpoint that is worse, and passes nothing that it cannot judge."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from harmon_eval.store.run_folder import RunFolder

Call = Callable[..., Any]
Made = Callable[..., Path]
GOOD, BAD = [[1]] * 40, [[0]] * 12 + [[1]] * 28


def test_a_run_is_gated_against_its_baseline(call: Call) -> None:
    call("--model", "toy_talker", "--tasks", "toy_ask", "--output", "a")
    again = ("--model", "toy_talker", "--tasks", "toy_ask", "--output", "b", "--baseline", "a")
    done = call(*again, "--gate", "--tolerance", "0.01")
    assert done.code == 0 and "passed" in done.out
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
