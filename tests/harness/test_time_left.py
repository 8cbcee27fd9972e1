"""How much time a run says that it has left."""

from __future__ import annotations

import pytest

from harmon_eval.running.overall import Overall, duration


def test_the_time_that_is_left_comes_from_what_was_measured() -> None:
    drawn = {"drawing": 10, "marking": 10}
    overall = Overall({"a": drawn, "b": drawn, "c": drawn}, {"a": "shapes", "b": "shapes"})
    overall.begin("a")
    assert str(overall) == "task 1 of 3"
    overall.note("drawing", 5, 50.0)
    # 25 to draw at 10 s, and what marking takes is not known.
    assert str(overall) == "task 1 of 3, more than 4 min left" and overall.seconds_left() == 250
    overall.note("drawing", 5, 50.0)
    overall.expect("marking", 10)
    overall.note("marking", 10, 10.0)
    # The third task is marked by other instruments.
    assert str(overall) == "task 1 of 3, more than 4 min left" and overall.seconds_left() == 210
    overall.begin("b")
    overall.note("drawing", 5, 20.0)  # a task's own speed counts before that of others
    assert overall.seconds_left() == pytest.approx(5 * 4 + 10 + 10 * 120 / 15)
    overall.begin("c")
    overall.expect("drawing", 0)  # all stored
    overall.expect("marking", 10)
    assert str(overall) == "task 3 of 3, more than 1 s left"
    overall.note("marking", 5, 20.0)
    assert str(overall) == "task 3 of 3, 20 s left"


def test_no_time_is_said_before_each_kind_of_request_was_seen() -> None:
    """ "1 s left" was said before 46 s of drawing."""
    asked, drawn = {"asking": 100, "marking": 100}, {"drawing": 4, "marking": 4}
    overall = Overall({"pope": asked, "geneval": drawn, "mme": asked})
    overall.begin("pope")
    overall.note("asking", 99, 3.0)
    assert str(overall) == "task 1 of 3" and overall.seconds_left() is None
    overall.expect("marking", 100)
    overall.note("marking", 100, 0.1)
    overall.begin("geneval")
    assert str(overall) == "task 2 of 3"
    overall.note("drawing", 1, 12.0)
    assert str(overall) == "task 2 of 3, more than 39 s left", "36 s and 100 questions"
    overall.expect("drawing", 5)  # with those of a second round
    assert overall.seconds_left() == pytest.approx(60 + 3 * 100 / 99 + 0.1)
    assert [duration(s) for s in (0.2, 99, 720, 7800)] == ["1 s", "99 s", "12 min", "2 h 10 min"]
