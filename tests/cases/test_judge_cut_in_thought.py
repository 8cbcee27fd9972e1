"""A judge's reply breaks off: what it only considered is no verdict."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from judge_server import Act, serving

from harmon_eval import cli
from harmon_eval.store.durable import read_json

REPLIES = {
    "wise": "<think>I would first say Consistency: 2, Realism: 2, Aesthetic Quality: 2, but the",
    "wise_verified": "<think>A careless reader says Score: 1 but I must check",
}
FILES = {"wise": "reply.txt", "wise_verified": "reply_verified.txt"}
CUT = "Consistency: 2\nRealism: 2\nAesthetic Quality: 2"


def completion(content: str | None, finish: str) -> Act:
    usage = {"prompt_tokens": 10, "completion_tokens": 10}
    choices = [{"finish_reason": finish, "message": {"content": content}}]
    return Act(json.dumps({"model": "stub", "choices": choices, "usage": usage}).encode())


def judged(task: str, url: str) -> int:
    judge = ("--judge-url", url, "--judge-model", "stub", "--judge-concurrency", "1")
    return cli.main(
        ["--model", "scripted", "--tasks", task, "--limit", "4", "--output", "r", *judge]
    )


@pytest.mark.parametrize("task", REPLIES)
@pytest.mark.parametrize("finish", ["length", "stop"])
def test_a_thought_that_does_not_end_is_no_verdict(
    task: str, finish: str, in_folder: Any, capsys: Any
) -> None:
    _unscored(task, completion(REPLIES[task], finish), in_folder, capsys)


@pytest.mark.parametrize("task", REPLIES)
def test_the_shared_replies_are_no_verdicts(
    task: str, in_folder: Any, capsys: Any, shared_folder: Path
) -> None:
    reply = (shared_folder / "cases/judge-cut-in-thought" / FILES[task]).read_text()
    _unscored(task, completion(reply, "length"), in_folder, capsys)


def test_a_verdict_that_was_cut_is_none_though_it_reads_well(in_folder: Any, capsys: Any) -> None:
    """The next number could have been a longer one, or all of it a quotation."""
    _unscored("wise", completion(CUT, "length"), in_folder, capsys)


def _unscored(task: str, act: Act, in_folder: Any, capsys: Any) -> None:
    with serving(lambda n, body: act) as server:
        assert judged(task, server.url) == 1
        assert len(server.requests) == 4, "what broke off is not paid for three times"
        assert cli.main(["mark", "r"]) == 1 and len(server.requests) == 4
    metrics = read_json(in_folder(f"r/{task}/metrics.json"))
    assert metrics["n"] == 0 and sum(metrics["unscored"].values()) == 4
    said = " ".join(capsys.readouterr().err.split())
    assert "4 of 4 samples are unscored" in said and "the judge gave no verdict" in said


def test_an_empty_verdict_is_asked_for_again_and_paid_for(in_folder: Any) -> None:
    def act(number: int, body: dict[str, Any]) -> Act:
        return completion(None if number < 4 else CUT, "stop")

    with serving(act) as server:
        assert judged("wise", server.url) == 0
        assert len(server.requests) == 8
    lines = in_folder("r/wise/judge.jsonl").read_text().splitlines()
    assert [json.loads(line)["reply"] for line in lines].count("") == 4, "they count in the budget"


def test_a_finished_thought_is_no_part_of_the_verdict(in_folder: Any) -> None:
    thought = f"<think>{CUT}</think>Consistency: 0\nRealism: 0\nAesthetic Quality: 0"
    with serving(lambda n, body: completion(thought, "stop")) as server:
        assert judged("wise", server.url) == 0
    assert read_json(in_folder("r/wise/metrics.json"))["metrics"]["consistency"] == 0
