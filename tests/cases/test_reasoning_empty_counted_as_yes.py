"""An endpoint gives no answer, with HTTP 200: nothing of it is scored, and it is said."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import pytest
from judge_server import Act, serving

from harmon_eval import cli
from harmon_eval.core import Reply, Unscorable
from harmon_eval.replies.thoughts import CutOff, answered
from harmon_eval.store.durable import read_json

THOUGHT = "<think>\nThe question asks whether there is no"


def completion(content: Any, finish: str | None = "stop", **message: Any) -> Act:
    choice = {"finish_reason": finish, "message": {"content": content, **message}}
    return Act(json.dumps({"model": "stub", "choices": [choice]}).encode())


NO_ANSWERS = {
    "null, cut": (completion(None, "length", reasoning_content="Let me"), "cut at the token limit"),
    "blank, cut": (completion("", "length", reasoning="Let me look"), "cut at the token limit"),
    "half a word, cut": (completion("ye", "max_tokens"), "cut at the token limit of 16 tokens"),
    "null, filtered": (completion(None, "content_filter"), "held the reply back"),
    "text, filtered": (completion("yes", "SAFETY"), "held the reply back"),
    "refused": (completion(None, refusal="I cannot help"), "the model refused"),
    "null": (completion(None), "the reply is empty"),
    "blank": (completion(" \n"), "the reply is empty"),
    "list without text": (completion([{"type": "thinking", "thinking": "yes"}]), "is empty"),
    "only reasoning": (completion("", reasoning="yes"), "all that came is reasoning"),
    "thought that does not end": (completion(THOUGHT), "ends inside its thought"),
    "thought alone": (completion("<think>yes</think>\n"), "empty after its thought"),
    "no finish": (completion(None, None), "the reply is empty"),
}


def run(url: str, *more: str) -> int:
    model = ("--model", f"openai:m@{url}", "--tasks", "pope")
    return cli.main([*model, "--limit", "2", "--output", "run", *more])


@pytest.mark.parametrize("case", NO_ANSWERS)
def test_no_answer_is_no_score(case: str, in_folder: Any, capsys: Any) -> None:
    act, reason = NO_ANSWERS[case]
    with serving(lambda n, body: act) as server:
        assert run(server.url) == 1
        asked = len(server.requests)
    metrics = read_json(in_folder("run/pope/metrics.json"))
    assert (
        metrics["n"] == 0 and sum(metrics["unscored"].values()) == asked and not metrics["metrics"]
    )
    said = capsys.readouterr().err
    assert f"{asked} of {asked} samples are unscored: {asked} x " in said
    assert reason in " ".join(said.split())
    if "cut" in reason:
        assert "max_tokens" in said, "what to raise is said"


def test_what_was_said_is_kept_and_the_question_asked_again(in_folder: Any) -> None:
    finish = ["length"]
    with serving(lambda n, body: completion("no, there", finish[0])) as server:
        assert run(server.url) == 1
        asked = len(server.requests)
        rows = pd.read_parquet(in_folder("run/pope/rows.parquet"))
        assert set(rows["raw_reply"]) == {"no, there"}
        finish[0] = "stop"
        assert run(server.url) == 0 and len(server.requests) == 2 * asked


def test_a_finished_thought_is_taken_off_and_kept_in_the_rows(in_folder: Any) -> None:
    with serving(lambda n, body: completion("<think>Is it yes?</think>\n\nno")) as server:
        assert run(server.url) == 0
    rows = pd.read_parquet(in_folder("run/pope/rows.parquet"))
    assert set(rows["reply"]) == {"no"} and set(rows["parsed"]) == {"no"}
    assert set(rows["raw_reply"]) == {"<think>Is it yes?</think>\n\nno"}


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        ("yes", "yes"),
        (" yes\n", " yes\n"),
        ("<think>a</think> B", "B"),
        ("thought begun in the prompt</think>B", "B"),
        ("<think>a</think>b<think>c</think>d", "d"),
        ("<THINKING>a</THINKING>B", "B"),
        ("[THINK]a[/THINK]B", "B"),
        ("◁think▷a◁/think▷B", "B"),
        ("<|channel|>analysis<|message|>A<|end|><|channel|>final<|message|>B", "B"),
        ("I think so", "I think so"),
    ],
)
def test_an_answer_is_what_follows_the_last_thought(reply: str, answer: str) -> None:
    assert answered(reply) == answer


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "\u200b\n",
        "<|im_end|>",
        "</s>",
        "<think>",
        "<think>yes",
        "yes <think>no",
        "a</think>",
        "<think>a</think><think>Score: 1",
        "<|channel|>analysis<|message|>yes",
    ],
)
def test_nothing_is_no_answer(reply: str) -> None:
    with pytest.raises(Unscorable) as caught:
        answered(reply)
    assert caught.value.reply == reply


def test_a_flaw_that_its_maker_told_is_the_reason() -> None:
    reply = Reply("yes")
    reply.flaw, reply.cut = "the reply was cut", True
    with pytest.raises(CutOff, match="the reply was cut"):
        answered(reply)
