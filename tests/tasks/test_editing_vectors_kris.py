"""KRIS-Bench's readers and averages against the original's and Bagel's, on the vectors."""

from __future__ import annotations

from typing import Any

import pytest

from harmon_eval.tasks.kris import rules

SHORT = {"consistency": "VC", "quality": "VQ", "instruction": "IF", "knowledge": "KP"}


def test_the_reader_of_one_score(kris_consistency_parse: Any) -> None:
    reply = kris_consistency_parse["reply"]
    expected = kris_consistency_parse["consistency"]
    assert rules.original_score(reply, "consistency") == expected
    found = rules.parse(reply, ("consistency",))
    if found is not None:
        assert found == {"consistency": expected}


def test_the_reader_of_two_scores(kris_dual_parse: Any) -> None:
    reply = kris_dual_parse["reply"]
    expected = (kris_dual_parse["instruction"], kris_dual_parse["knowledge"])
    assert rules.original_pair(reply) == expected
    found = rules.parse(reply, ("instruction", "knowledge"))
    if found is not None and None not in expected:
        assert tuple(found.values()) == expected


def test_no_digit_of_the_prose_is_a_score() -> None:
    reply = "There are 2 chairs; the score would be 4."
    assert rules.original_score(reply, "consistency") == 2
    assert rules.parse(reply, ("consistency",)) is None
    assert rules.parse('{"consistency_score": 9}', ("consistency",)) is None


def test_the_mean_is_over_all_scores_of_a_group(kris_aggregate: Any) -> None:
    scores = kris_aggregate["scores"]
    flat = [
        (category, name, item[f"{name}_score"])
        for category, items in scores.items()
        for item in items.values()
        for name in SHORT
        if item.get(f"{name}_score") is not None
    ]
    for group, expected in kris_aggregate["categories"].items():
        own = [(n, s) for c, n, s in flat if rules.GROUP_OF[c] == group]
        if "AVG" in expected:
            assert rules.mean(s for _, s in own) == pytest.approx(expected["AVG"], abs=1e-5)
        for name, short in SHORT.items():
            found = rules.mean(s for n, s in own if n == name)
            assert found == (
                pytest.approx(expected[short], abs=1e-5) if short in expected else None
            )
    for kind, expected in kris_aggregate["meta"].items():
        name = kind.removesuffix(" Knowledge")
        own = [s for c, _, s in flat if rules.KIND_OF[rules.GROUP_OF[c]] == name]
        assert rules.mean(own) == pytest.approx(expected["AVG"], abs=1e-5)
    overall = rules.mean(s for _, _, s in flat)
    assert overall == pytest.approx(kris_aggregate["overall"]["AVG"], abs=1e-5)
