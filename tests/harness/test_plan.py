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
    # (1.960 + 0.842)^2 * 0.5 / 0.1^2 = 392.4, for one mark a group.
    assert plan("toy_ask", 0.1, 1, load("mini")).needed == 393
    # Two drawings a prompt halve the variance within prompts.
    assert plan("toy_draw", 0.1, 1, load("mini")).needed == 197
    assert plan("toy_ask", 0.1, 3, load("mini")).needed > 393, "more tasks, stricter tests"


def test_pilots_say_what_marks_vary(made_run: Made) -> None:
    rng = np.random.default_rng(0)
    first = (rng.random((200, 1)) < 0.9).astype(int)
    flips = rng.random((200, 1)) < 0.1
    runs = made_run("a", first.tolist()), made_run("b", np.where(flips, 1 - first, first).tolist())
    two = plan("toy_ask", 0.05, 1, load("mini"), runs)
    share = float(flips.mean())
    assert two.needed == pytest.approx(2.8016**2 * share / 0.05**2, rel=0.2)
    one = plan("toy_ask", 0.05, 1, load("mini"), runs[:1])
    assert two.needed < one.needed < plan("toy_ask", 0.05, 1, load("mini")).needed
    assert math.isfinite(one.detectable)


def test_what_is_planned_is_said(call: Call) -> None:
    done = call("plan", "--effect", "0.1", "--tasks", "toy_ask")
    assert done.code == 0 and "393" in done.out and "toy_ask has only 10" in done.out
    assert "give a --pilot RUN" in call("plan", "--effect", "1", "--tasks", "mjhq").err
    assert "must be more than 0" in call("plan", "--effect", "0", "--tasks", "toy_ask").err
    assert "has no value for" in call("plan", "--effect", "x=1", "--tasks", "toy_ask").err
