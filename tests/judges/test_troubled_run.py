"""A whole run of WISE against a server that does everything wrong once, and then goes away."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
from judge_server import Act, completion, serving

from harmon_eval import cli
from harmon_eval.adapters import _endpoint, openai
from harmon_eval.store.durable import read_json
from harmon_eval.store.judge_log import JUDGE_LOG

TROUBLES = (
    Act(b"slow down", 429, {"Retry-After": "0"}),
    Act(b"oops", 500),
    Act(b"\x00\xffgarbage"),
    Act(completion("Consistency: 2")[:50]),
    Act(dies=True),
    Act(b'{"choices": []}'),
    Act(seconds=0.4),
    Act(completion("I would rather not say.")),
)
SAMPLES = 12


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("JUDGE_API_KEY", "sk-secret")
    monkeypatch.setenv("HARMON_EVAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    quick = partial(_endpoint.Patience, backoff=0.0, timeout=0.2)
    monkeypatch.setattr(openai, "Patience", quick)
    monkeypatch.setattr(_endpoint, "Patience", quick)


def run(url: str, *more: str) -> int:
    return cli.main(
        [
            "--model",
            "scripted",
            "--tasks",
            "wise",
            "--limit",
            str(SAMPLES),
            "--output",
            "r",
            "--judge-url",
            url,
            "--judge-model",
            "m",
            *more,
        ]
    )


def paid(folder: Path) -> list[str]:
    lines = (folder / "r" / "wise" / JUDGE_LOG).read_bytes().splitlines()
    return [json.loads(line)["reply"] for line in lines]


def test_every_trouble_passes_and_no_answer_is_paid_for_twice(tmp_path: Path) -> None:
    def act(number: int, body: dict) -> Act:
        return TROUBLES[number // 2 % len(TROUBLES)] if number % 2 == 0 and number < 16 else Act()

    with serving(act) as server:
        assert run(server.url) == 0
        asked = len(server.requests)
        assert run(server.url) == 0, "again: nothing is left to ask"
    assert len(server.requests) == asked
    metrics = read_json(tmp_path / "r/wise/metrics.json")
    assert metrics["n"] == SAMPLES and not metrics["unscored"]
    replies = paid(tmp_path)
    # The reply that does not parse was paid for too, once, and asked again.
    assert len(replies) == SAMPLES + 1 and replies.count("I would rather not say.") == 1


def test_a_server_that_goes_away_leaves_what_it_said_and_bounds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = {"now": True}

    def act(number: int, body: dict) -> Act:
        return Act(b"", 503) if gone["now"] and number >= 7 else Act()

    with serving(act) as server:
        assert run(server.url, "--judge-concurrency", "1") == 1
        before = server.texts()[:7]
        first = read_json(tmp_path / "r/wise/metrics.json")
        assert (first["n"], sum(first["unscored"].values())) == (7, SAMPLES - 7)
        assert "wiscore[m]" not in first["metrics"], "two categories have no score yet"
        low, high = first["bounds"]
        assert 0 < low < 0.8 < high < 1, "0.8 is what each of the seven got"
        assert "if the 5 unscored were all wrong" in capsys.readouterr().out
        asked = len(server.texts())
        gone["now"] = False
        assert cli.main(["mark", "r", "--judge-url", server.url]) == 0
        again = server.texts()[asked:]
    assert len(again) == SAMPLES - 7 and not set(again) & set(before)
    assert "bounds" not in read_json(tmp_path / "r/wise/metrics.json")
