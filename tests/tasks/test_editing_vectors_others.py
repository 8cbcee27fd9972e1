"""The readers of RISEBench's and OmniContext's replies against the originals', on the vectors."""

from __future__ import annotations

from typing import Any

from harmon_eval.replies import final_score, viescore


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
