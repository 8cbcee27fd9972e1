"""Labelled scores: read in every usual form, and no other number is taken for one."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harmon_eval.replies.numbers import bare, labelled
from harmon_eval.tasks.wise.rules import parse_legacy, parse_verified

MANY = settings(max_examples=300)
FORMS = (
    "Consistency: {}",
    "**Consistency:** {}",
    "**Consistency**: {}",
    "- **Consistency**: **{}**",
    "Consistency：{}",
    "consistency = {}",
    "Consistency {}",
    "Consistency - {}",
    "Consistency -> {}",
    "| Consistency | {} |",
    '{{"consistency": {}}}',
    '{{"consistency": "{}"}}',
    '```json\n{{\n  "Consistency": {{\n    "score": {},\n    "why": "so"}}}}\n```',
    "Consistency score: {}",
    "Consistency (0-2): {}",
    "Consistency [0, 2]: {}",
    "### Consistency\n{}",
    "Consistency: {}/2",
    "Consistency: {} out of 2",
    "Consistency: {}, because of 3 dogs",
    "Consistency: {}.",
    "Consistency: {} (good)",
    "Consistency: {}.0",
    "Consistency is {}.",
    "Consistency: [{}]",
    "Consistency: {}\n1. a list",
    "Consistency: 0-2\nConsistency: {}",
)
NONE = (
    "Consistency: 10",
    "Consistency: 1.5",
    "Consistency: 1,5",
    "Consistency: 1-2",
    "Consistency: 1–2",
    "Consistency: 1 to 2",
    "Consistency: 1 or 2",
    "Consistency: 1~2",
    "Consistency: -1",
    "Consistency: −1",
    "Consistency: 1%",
    "Consistency: 1 percent",
    "Consistency: 1/10",
    "Consistency: 2/10",
    "Consistency: 1 of 10",
    "Consistency: ½",
    "Consistency: 1½",
    "Consistency: 1e1",
    "Consistency: 1st",
    "Consistency: 2-point",
    "Consistency: 3",
    "Consistency: １０",
    "Consistency: 2 1",
    "Consistency: 1^2",
)
NO_PLACE = (
    "Inconsistency: 2",
    "self-consistency: 2",
    "style_consistency: 2",
    "Consistency of 2 objects",
    "Consistency is 1 of its strengths",
    "1. Consistency\n2. Realism",
    "Consistency: two",
    "2",
    "",
    "Consistency: the 2 dogs",
    "Consistency 2 dogs",
)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("score", [0, 1, 2])
def test_a_score_in_its_forms(form: str, score: int) -> None:
    assert labelled(form.format(score), ["consistency"], 0, 2) == {"consistency": score}


@pytest.mark.parametrize("reply", NONE)
def test_another_number_is_no_score(reply: str) -> None:
    assert labelled(reply, ["consistency"], 0, 2) == {"consistency": None}


@pytest.mark.parametrize("reply", NO_PLACE)
def test_what_is_not_the_labels_is_not_read(reply: str) -> None:
    assert labelled(reply, ["consistency"], 0, 2) == {}


@MANY
@given(st.floats(-1000, 1000) | st.integers(-1000, 1000).map(float), st.sampled_from(FORMS[:11]))
def test_only_a_number_of_the_scale_is_a_score(number: float, form: str) -> None:
    text = f"{number:g}"
    found = labelled(form.format(text), ["consistency"], 0, 2).get("consistency")
    assert found == (number if float(text) in (0, 1, 2) else None), text


@MANY
@given(st.tuples(*[st.integers(0, 12)] * 3), st.sampled_from(["plain", "json", "fence", "table"]))
def test_wise_reads_three_scores_or_none(scores: tuple[int, int, int], form: str) -> None:
    names = ("Consistency", "Realism", "Aesthetic Quality")
    pairs = dict(zip(names, scores, strict=True))
    text = {
        "plain": "\n".join(f"**{name}:** {n}" for name, n in pairs.items()),
        "json": json.dumps(pairs),
        "fence": f"```json\n{json.dumps(pairs, indent=2)}\n```",
        "table": "\n".join(f"| {name} | {n} |" for name, n in pairs.items()),
    }[form]
    found = parse_legacy(text)
    assert (tuple(found.values()) if found else None) == (scores if max(scores) <= 2 else None)


def test_the_last_score_counts_or_the_first() -> None:
    text = "Consistency: 1\nConsistency: 2"
    assert labelled(text, ["consistency"], 0, 2) == {"consistency": 2}
    assert labelled(text, ["consistency"], 0, 2, keep="first") == {"consistency": 1}
    assert labelled("Consistency: 1\nConsistency: 5", ["consistency"], 0, 2) == {
        "consistency": None
    }


def test_scores_alone_on_their_lines() -> None:
    assert bare("2\n**1**\n- no\n 0.\n10\n1 2\n", 0, 2) == [2, 1, 0]
    assert parse_legacy("2\n1\n0\n1") is None, "which three is not said"
    assert parse_verified("Score: 10\n1") is None, "a score off the scale is not passed over"
