"""The number of samples is known before any is drawn."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harmon_eval.comparing.planning import plan
from harmon_eval.metrics.text import rounded_up
from harmon_eval.suites import load

Call = Callable[..., Any]
Made = Callable[..., Path]


def test_the_worst_case_is_near_the_textbook_number(plugin: Path) -> None:
    # One-sided: (1.645 + 0.842)^2 * 0.5 / 0.1^2 = 309.1, for one mark a group. The gate's test
    # assumes no normal distribution, which costs about a group in twelve here.
    assert plan("toy_ask", 0.1, 1, load("mini")).needed == 338
    # Two drawings a prompt halve the variance within prompts.
    assert plan("toy_draw", 0.1, 1, load("mini")).needed == 185
    assert plan("toy_ask", 0.1, 3, load("mini")).needed > 338, "more tasks, stricter tests"


def test_plan_and_gate_say_the_same_number(call: Call, made_run: Made) -> None:
    """Normal theory said 24 where the gate asked for 63."""
    rng = np.random.default_rng(1)
    first = (rng.random((14, 2)) < 0.8).astype(int)
    made_run("a", first.tolist())
    for name, flips in (("b", rng.random((14, 2)) < 0.1), ("c", np.zeros((14, 2), bool))):
        made_run(name, np.where(flips, 1 - first, first).tolist(), model=name)
        for margin in (0.05, 0.1):
            call("compare", "a", name, "--no-worse-than", margin, "--json", "j.json")
            (line, *_) = json.loads(Path("j.json").read_text())["metrics"]
            assert "if both are equally good" in line["reason"]
            found = plan("toy_ask", margin, 1, load("mini"), [Path("a"), Path(name)])
            assert found.needed == line["groups_needed"]
            assert found.needed >= math.log(0.05) / math.log(1 - margin), "if nothing ever changes"
            said = call(
                "plan", "--no-worse-than", margin, "--tasks", "toy_ask", "--pilot", "a", name
            )
            assert f" {found.needed} " in said.out


def test_no_plan_is_below_what_can_show_anything(plugin: Path) -> None:
    """Five groups: half to the power of four is above 5 %, whatever is found."""
    assert plan("toy_ask", 0.99, 1, load("mini"), tolerance=0.0).needed >= 5
    huge = plan("toy_ask", 0.001, 1, load("mini"), tolerance=0.0)
    assert huge.needed > 3_000_000 and huge.detectable is not None and huge.detectable < 1


def test_pilots_say_what_marks_vary(made_run: Made) -> None:
    rng = np.random.default_rng(0)
    first = (rng.random((200, 1)) < 0.9).astype(int)
    flips = rng.random((200, 1)) < 0.1
    runs = made_run("a", first.tolist()), made_run("b", np.where(flips, 1 - first, first).tolist())
    two = plan("toy_ask", 0.05, 1, load("mini"), runs)
    share = float(flips.mean())
    normal = 2.4865**2 * share / 0.05**2
    assert normal < two.needed < 1.3 * normal
    one = plan("toy_ask", 0.05, 1, load("mini"), runs[:1])
    assert two.needed < one.needed < plan("toy_ask", 0.05, 1, load("mini")).needed
    assert one.detectable is not None


def test_one_run_given_twice_is_no_pair_of_pilots(call: Call, made_run: Made) -> None:
    """Its difference is 0 everywhere, and the plan would be far too small."""
    made_run("a", [[1]] * 30 + [[0]] * 10)
    done = call("plan", "--effect", 0.1, "--tasks", "toy_ask", "--pilot", "a", "a")
    assert done.code == 2 and "do not show what would differ" in done.err


@pytest.mark.parametrize("value", [10.03, 0.058801, 0.1, 0.99999, 36.4, 1.0, 234.5])
def test_the_margin_that_is_enough_is_rounded_up(value: float) -> None:
    """'64 are too few for a margin of 10, or accept a margin of 10' helps nobody."""
    assert value <= float(rounded_up(value)) <= 1.01 * value


def test_what_is_planned_is_said(call: Call) -> None:
    done = call("plan", "--effect", "0.1", "--tasks", "toy_ask")
    assert done.code == 0 and "338" in done.out and "toy_ask has only 10" in done.out
    # A loss of 0.15 where 0.05 is tolerated, and a margin of 0.1: the distance is 0.1.
    for options in (("--effect", "0.15", "--tolerance", "0.05"), ("--no-worse-than", "0.1")):
        assert "338" in call("plan", *options, "--tasks", "toy_ask").out
    refused = call("plan", "--effect", "0.1", "--tolerance", "0.1", "--tasks", "toy_ask")
    assert refused.code == 2 and "more than its --tolerance" in refused.err
    assert "say what must be seen" in call("plan", "--tasks", "toy_ask").err
    assert "give a --pilot RUN" in call("plan", "--effect", "1", "--tasks", "mjhq").err
    assert "no loss is as large" in call("plan", "--effect", "1e9", "--tasks", "toy_ask").err
    assert "must be more than 0" in call("plan", "--effect", "0", "--tasks", "toy_ask").err
    assert "has no value for" in call("plan", "--effect", "x=1", "--tasks", "toy_ask").err


def test_how_many_samples_people_have_to_mark(call: Call) -> None:
    said = call("plan", "--human", "0.1", "--tasks", "geneval").out
    assert " 385 " in said and " 1,108 " in said
    said = call("plan", "--human", "0.01", "--tasks", "geneval").out
    assert "more than there are" in said and "all 1,108 samples give a width of 0.059" in said
    refused = call("plan", "--human", "0.1", "--effect", "0.1", "--tasks", "geneval")
    assert refused.code == 2 and "ask for one at a time" in refused.err
    assert "no mean of marks" in call("plan", "--human", "1", "--tasks", "mjhq").err
