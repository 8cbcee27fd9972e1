"""GEdit-Bench against its own scripts: every reply, dialogue and table of scores in the vectors."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

import pandas as pd
import pytest

from harmon_eval.core import Ask, Responder, Unscorable
from harmon_eval.instruments.judging import Judge
from harmon_eval.replies.viescore import Unread, fate, original, parse
from harmon_eval.tasks.gedit import rules
from harmon_eval.tasks.gedit.task import summarize
from tests.vectors import check

WORDS = {Unread.AGAIN: "unparsable", Unread.GUESS: "random", Unread.RATE_LIMIT: "rate limit"}


def told(reply: str, last_try: bool) -> Any:
    """What the original's reader gives, in the words of the vectors."""
    try:
        found = original(reply, last_try)
    except ValueError as error:
        return {"raises": type(error).__name__}
    if found is Unread.RATE_LIMIT:
        return "rate_limit_exceeded"
    if isinstance(found, Unread):
        return WORDS[found]
    if not isinstance(found, dict):
        return {"other": str(found)}
    score = found.get("score", "(missing)")
    if isinstance(score, list):
        score = ["nan" if isinstance(n, float) and math.isnan(n) else n for n in score]
    return {"score": score}


def test_the_original_reader(viescore_parse: Any) -> None:
    reply = viescore_parse["reply"]
    check(viescore_parse, {"first_try": told(reply, False), "last_try": told(reply, True)})


def is_sound(score: Any) -> bool:
    numbers = isinstance(score, list) and all(type(n) in (int, float) for n in score)
    return bool(score) and numbers and all(0 <= n <= 10 for n in score)


def test_what_the_original_reads_is_read_and_nothing_off_the_scale(viescore_parse: Any) -> None:
    first = viescore_parse["first_try"]
    score = first.get("score") if isinstance(first, dict) else None
    found = parse(viescore_parse["reply"])
    if is_sound(score):
        assert found is not None and list(found.values) == score
    if found is not None:
        assert found.values and all(0 <= value <= 10 for value in found.values)
    if isinstance(score, list) and any(type(n) in (int, float) and not 0 <= n <= 10 for n in score):
        assert found is None
    if fate(viescore_parse["reply"]) is None and is_sound(score):
        assert first == told(viescore_parse["reply"], False)


# -- dialogues -----------------------------------------------------------------------------------

MOST = 20  # tries: the vectors stop after 40 calls


def dialogue(replies: Sequence[Sequence[str]], seed: int | None = None) -> tuple[Any, int]:
    """The original's loop: both calls again until both give something; and the calls it makes.

    With a seed the guesses are those of the local judge, which seeds before each call."""
    for tried in range(MOST):
        pair = replies[min(tried, len(replies) - 1)]
        found = [original(reply, last_try=tried > 0) for reply in pair]
        if Unread.AGAIN in found:
            continue
        calls = 2 * (tried + 1)
        if Unread.RATE_LIMIT in found:
            return {"raises": "ValueError"}, calls
        if Unread.GUESS in found:
            if seed is None:
                return "random", calls
            draw = random.Random(seed)
            guessed = ({"score": [draw.randint(0, 10)]} if f is Unread.GUESS else f for f in found)
            found = list(guessed)
        try:
            least = [min(each["score"]) for each in found]
            result = [*map(float, least), round(math.sqrt(least[0] * least[1]), 6)]
        except (TypeError, ValueError, KeyError) as error:
            return {"raises": type(error).__name__}, calls
        return result, calls
    return "never_ends", 2 * MOST


def test_the_original_dialogue(viescore_evaluate: Any) -> None:
    result, calls = dialogue(viescore_evaluate["replies"])
    if viescore_evaluate.get("calls", calls) is None:  # the recording gave up counting
        calls = None
    guessed, _ = dialogue(viescore_evaluate["replies"], seed=42)
    check(viescore_evaluate, {"gpt": result, "calls": calls, "qwen_seed_42": guessed})


class Scripted(Responder):
    """Gives the replies of a dialogue; each call its own, the last one again and again."""

    name, fingerprint = "scripted-judge", "1"

    def __init__(self, replies: Sequence[Sequence[str]]) -> None:
        self.replies = replies
        self.asked = {"semantic": 0, "quality": 0}

    def ask(self, requests: Sequence[Ask]) -> list[str]:
        return [self.reply(request.question) for request in requests]

    def reply(self, call: str) -> str:
        tried = min(self.asked[call], len(self.replies) - 1)
        self.asked[call] += 1
        return self.replies[tried][call == "quality"]


def test_the_judge_never_guesses_and_asks_only_the_failed_call_again(
    viescore_evaluate: Any,
) -> None:
    script = Scripted(viescore_evaluate["replies"])
    judge = Judge(script, attempts=3)
    semantic, quality = judge.verdicts([Ask("semantic"), Ask("quality")], parse)
    first = [parse(reply) for reply in viescore_evaluate["replies"][0]]
    for found, asked in zip(first, script.asked.values(), strict=True):
        assert asked == 1 if found else asked > 1
    if isinstance(semantic, Unscorable) or isinstance(quality, Unscorable):
        assert max(script.asked.values()) == 3
        return
    marks = rules.scores(semantic.value.least, quality.value.least)
    assert all(0 <= value <= 10 for value in marks.values())
    if isinstance(viescore_evaluate["gpt"], list) and len(viescore_evaluate["replies"]) == 1:
        assert [marks["SC"], marks["PQ"]] == viescore_evaluate["gpt"][:2]
        assert marks["O"] == pytest.approx(viescore_evaluate["gpt"][2], abs=1e-6)


def test_the_worked_dialogue_of_the_specification() -> None:
    """Prose from both calls, then both lists: the original draws numbers, we read the lists."""
    replies = [["no figures here", "no figures here"], ["[8, 9]", "[7, 6]"]]
    assert dialogue(replies)[0] == "random"
    judge = Judge(Scripted(replies), attempts=3)
    found = judge.verdicts([Ask("semantic"), Ask("quality")], parse)
    least = [verdict.value.least for verdict in found if not isinstance(verdict, Unscorable)]
    assert rules.scores(*least) == {"SC": 8.0, "PQ": 6.0, "O": pytest.approx(math.sqrt(48))}


# -- tables of scores ----------------------------------------------------------------------------

SCORES = {"semantics": "SC", "quality": "PQ", "overall": "O"}


def table(vector: Any, vectors: Any) -> pd.DataFrame:
    names = vectors["gedit_groups"]
    return pd.DataFrame(
        {
            "task_type": names[group],
            "language": language,
            "intersection": bool(shared),
            **rules.scores(semantic, quality),
        }
        for group, language, shared, semantic, quality in vector["rows"]
    )


def same(value: float, expected: float | None) -> bool:
    if expected is None:
        return math.isnan(value)
    return value == pytest.approx(expected, abs=1e-6)


def test_means_of_groups_and_the_average_of_the_groups(gedit_aggregate: Any, vectors: Any) -> None:
    rows = table(gedit_aggregate, vectors)
    rows = rows[rows["language"] == gedit_aggregate["language"]]
    for suffix, own in (("", rows), ("_intersection", rows[rows["intersection"]])):
        for name, score in SCORES.items():
            expected = gedit_aggregate["expected"].get(name + suffix, {})
            found = dict(rules.group_means(own, score))
            found[f"avg_{name}"] = rules.published_average(own, score)
            for group in found.keys() & expected.keys():
                assert same(found[group], expected[group]), (suffix, name, group)


def test_the_task_gives_the_same_average_and_names_missing_groups(
    gedit_aggregate: Any, vectors: Any
) -> None:
    rows = table(gedit_aggregate, vectors).assign(judge="j", rubric_kind="given")
    found = summarize(rows)
    language, expected = (
        gedit_aggregate["language"],
        gedit_aggregate["expected"]["overall"]["avg_overall"],
    )
    own = [name for name in found if name.startswith(f"gedit_{language}[")]
    if expected is not None:
        assert own == [f"gedit_{language}[j]"]
        assert found[own[0]] == pytest.approx(expected, abs=1e-6)
        assert found[f"sample_mean_{language}[j]"] == pytest.approx(
            gedit_aggregate["sample_means"]["overall"], abs=1e-6
        )
    else:
        assert all("of 11 groups" in name for name in own)
