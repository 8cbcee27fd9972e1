"""The number of samples is known before any is drawn."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harmon_eval.comparing.planning import plan
from harmon_eval.suites import load

Call = Callable[..., Any]
Made = Callable[..., Path]


def test_the_worst_case_is_the_textbook_number(plugin: Path) -> None:
    # One-sided: (1.645 + 0.842)^2 * 0.5 / 0.1^2 = 309.1, for one mark a group.
    assert plan("toy_ask", 0.1, 1, load("mini")).needed == 310
    # Two drawings a prompt halve the variance within prompts.
    assert plan("toy_draw", 0.1, 1, load("mini")).needed == 155
    assert plan("toy_ask", 0.1, 3, load("mini")).needed > 310, "more tasks, stricter tests"


def test_pilots_say_what_marks_vary(made_run: Made) -> None:
    rng = np.random.default_rng(0)
    first = (rng.random((200, 1)) < 0.9).astype(int)
    flips = rng.random((200, 1)) < 0.1
    runs = made_run("a", first.tolist()), made_run("b", np.where(flips, 1 - first, first).tolist())
    two = plan("toy_ask", 0.05, 1, load("mini"), runs)
    share = float(flips.mean())
    assert two.needed == pytest.approx(2.4865**2 * share / 0.05**2, rel=0.2)
    one = plan("toy_ask", 0.05, 1, load("mini"), runs[:1])
    assert two.needed < one.needed < plan("toy_ask", 0.05, 1, load("mini")).needed
    assert math.isfinite(one.detectable)


def test_what_is_planned_is_said(call: Call) -> None:
    done = call("plan", "--effect", "0.1", "--tasks", "toy_ask")
    assert done.code == 0 and "310" in done.out and "toy_ask has only 10" in done.out
    # A loss of 0.15 where 0.05 is tolerated, and a margin of 0.1: the distance is 0.1.
    for options in (("--effect", "0.15", "--tolerance", "0.05"), ("--no-worse-than", "0.1")):
        assert "310" in call("plan", *options, "--tasks", "toy_ask").out
    refused = call("plan", "--effect", "0.1", "--tolerance", "0.1", "--tasks", "toy_ask")
    assert refused.code == 2 and "more than its --tolerance" in refused.err
    assert "say what must be seen" in call("plan", "--tasks", "toy_ask").err
    assert "give a --pilot RUN" in call("plan", "--effect", "1", "--tasks", "mjhq").err
    assert "must be more than 0" in call("plan", "--effect", "0", "--tasks", "toy_ask").err
    assert "has no value for" in call("plan", "--effect", "x=1", "--tasks", "toy_ask").err
