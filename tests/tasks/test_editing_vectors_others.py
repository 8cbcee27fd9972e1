"""The readers of RISEBench's and OmniContext's replies against the originals', on the vectors."""

from __future__ import annotations

import math
from typing import Any

import pytest

from harmon_eval.replies import final_score, viescore
from harmon_eval.tasks.rise import rules
from tests.vectors import check


def test_the_final_scores_of_risebench(rise_parse: Any) -> None:
    reply, expected = rise_parse["reply"], rise_parse["expected"]
    assert final_score.original(reply) == expected
    found = final_score.parse(reply)
    if found is not None and expected is not None and reply.lower().count("final score") == 1:
        assert found == expected[0]


def test_the_last_final_score_counts_and_nothing_off_the_scale() -> None:
    """The original takes the first, the whole part of 5.5, and a list that follows."""
    assert final_score.parse("Final Score: 3\nFinal Score: 5") == 5
    assert final_score.parse("Final Score: [4]") == 4
    assert final_score.parse("Final Score: 4/5") == 4
    for reply in ("Final Score: 5.5", "Final Score: 6", "Final Score: 0", "Score: 5", "five"):
        assert final_score.parse(reply) is None


def test_the_scores_of_risebench_as_published_and_as_meant(rise_scores: Any) -> None:
    names = ("ApprConsistency", "Reasoning", "VisualPlausibility")
    given = [math.nan if rise_scores[name] is None else float(rise_scores[name]) for name in names]
    category, free = rise_scores["category"], bool(rise_scores.get("consistency_free"))
    meant = [math.nan if free else given[0], *given[1:]]
    found = {
        "official_score": pytest.approx(rules.original_score(category, *given), abs=1e-6),
        "complete": rules.complete(*given),
        "meant_score": pytest.approx(rules.score(category, *meant), abs=1e-6),
    }
    check(rise_scores, found)


def omnicontext(reply: str) -> Any:
    """The value of ``score``, or the kind of the exception, as the vectors have them."""
    try:
        found = viescore.original_omnicontext(reply)
    except ValueError as error:
        kind = type(error).__name__
        return {"raises": "Exception" if kind == "ValueError" else kind}
    return found.get("score", "(missing)") if isinstance(found, dict) else {"other": found}


def test_the_reader_of_omnicontext(omnicontext_parse: Any) -> None:
    reply, expected = omnicontext_parse["reply"], omnicontext_parse["expected"]
    assert omnicontext(reply) == expected
    ours = viescore.parse(reply)
    if ours is not None and not isinstance(expected, dict):
        assert list(ours.values) == (expected if isinstance(expected, list) else [expected])
