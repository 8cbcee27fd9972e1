"""What a judge says is stored as it arrives, asked once, parsed strictly, and within a budget."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from judge_server import GOOD, Act, completion, serving
from PIL import Image

from harmon_eval import cli
from harmon_eval.core import Ask, Unscorable, UserError
from harmon_eval.instruments.judge._any import PRICES, Settings, open_instrument
from harmon_eval.instruments.judging import BudgetSpent, Judge, estimate
from harmon_eval.store.durable import read_json
from harmon_eval.store.judge_log import JUDGE_LOG, JudgeLog, request_key
from harmon_eval.store.log import append
from harmon_eval.tasks.wise.rules import parse_legacy

SECRET = "sk-very-secret"
PRICE = (1000.0, 0.0)  # a thousand tokens in cost a dollar


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("JUDGE_API_KEY", SECRET)
    monkeypatch.setenv("HARMON_EVAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def judge(url: str, folder: Path, **options: Any) -> Judge:
    return open_instrument(f"openai:m@{url}", Settings(**options)).bound_to(folder)


def asks(count: int, tokens: int = 8) -> list[Ask]:
    return [Ask(f"question {n}", max_new_tokens=tokens) for n in range(count)]


def test_an_answer_is_asked_for_once_also_by_a_later_process(tmp_path: Path) -> None:
    with serving(lambda n, body: Act()) as server:
        requests = [*asks(5), *asks(5)]
        first = judge(server.url, tmp_path).verdicts(requests, parse_legacy)
        again = judge(server.url, tmp_path).verdicts(requests, parse_legacy)
    assert len(server.requests) == 5, "equal requests are asked once"
    assert first == again
    assert first[0].value == {"consistency": 2, "realism": 1, "aesthetic_quality": 0}
    assert (first[0].model, first[0].attempts) == ("judge-2024", 1)


def test_what_does_not_parse_is_asked_again_then_unscored_and_never_paid_for_again(
    tmp_path: Path,
) -> None:
    with serving(lambda n, body: Act(completion("hm" if n < 2 else GOOD))) as server:
        (found,) = judge(server.url, tmp_path / "a").verdicts(asks(1), parse_legacy)
        assert found.attempts == 3 and len(server.requests) == 3
    with serving(lambda n, body: Act(completion("Consistency: 5"))) as server:
        for _ in range(2):
            (found,) = judge(server.url, tmp_path / "b").verdicts(asks(1), parse_legacy)
            assert isinstance(found, Unscorable) and "does not parse (3 attempts)" in str(found)
        assert len(server.requests) == 3


def test_a_failed_request_leaves_its_sample_unscored_and_is_asked_next_time(
    tmp_path: Path,
) -> None:
    with serving(lambda n, body: Act(b"no", 400) if n == 0 else Act()) as server:
        (failed,) = judge(server.url, tmp_path).verdicts(asks(1), parse_legacy)
        assert isinstance(failed, Unscorable) and "the judge failed: HTTP 400" in str(failed)
        (found,) = judge(server.url, tmp_path).verdicts(asks(1), parse_legacy)
        assert found.attempts == 1


def test_what_an_answer_is_kept_under(tmp_path: Path) -> None:
    red, blue = tmp_path / "red.png", tmp_path / "blue.png"
    Image.new("RGB", (4, 4), "red").save(red)
    Image.new("RGB", (4, 4), "blue").save(blue)
    ask = Ask("?", (red,))
    key = request_key("judge", ask)
    others = [
        replace(ask, question="!"),
        replace(ask, images=(blue,)),
        replace(ask, system="x"),
        replace(ask, max_new_tokens=1),
    ]
    assert len({key, request_key("other", ask), *(request_key("judge", a) for a in others)}) == 6
    red.rename(tmp_path / "moved.png")
    assert request_key("judge", Ask("?", (tmp_path / "moved.png",))) == key


def test_a_torn_and_a_garbled_line_are_answers_that_never_came(tmp_path: Path) -> None:
    file = tmp_path / JUDGE_LOG
    log = JudgeLog(file)
    log.add("a", "j", "first")
    log.add("b", "j", "second")
    file.write_bytes(b"\xff{garbled\n" + file.read_bytes()[:-9])
    JudgeLog(file).add("c", "j", "third")
    found = JudgeLog(file)
    assert [found.replies(key) for key in "abc"] == [["first"], [], ["third"]]


def test_answers_from_before_lines_had_a_checksum_are_kept(tmp_path: Path) -> None:
    file = tmp_path / JUDGE_LOG
    old = {"key": "a", "judge": "j", "reply": "old", "model": "m", "tokens_in": 3, "tokens_out": 2}
    file.write_text(json.dumps(old) + "\n" + json.dumps(old)[:-1])
    JudgeLog(file).add("b", "j", "new")
    found = JudgeLog(file)
    assert [found.replies(key) for key in "ab"] == [["old"], ["new"]]
    assert (found.replies("a")[0].model, found.replies("a")[0].tokens_in) == ("m", 3)


def test_a_line_with_a_wrong_checksum_is_an_answer_that_never_came(tmp_path: Path) -> None:
    file = tmp_path / JUDGE_LOG
    JudgeLog(file).add("a", "j", "Consistency: 1")
    line = file.read_bytes()
    for place in range(len(line) - 1):  # any one byte, the field of the checksum included
        file.write_bytes(line[:place] + bytes([line[place] ^ 1]) + line[place + 1 :])
        assert JudgeLog(file).replies("a") == [], line[place : place + 1]


def test_answers_of_several_threads_and_judges_all_arrive(tmp_path: Path) -> None:
    file = tmp_path / "new" / JUDGE_LOG
    logs = [JudgeLog(file) for _ in range(4)]
    with ThreadPoolExecutor(8) as pool:
        for number in range(80):
            pool.submit(logs[number % 4].add, str(number), "j", "x" * 5000)
    assert all(JudgeLog(file).replies(str(number)) for number in range(80))


def test_a_log_that_is_a_link_is_neither_read_nor_written(tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    target.write_text("")
    (tmp_path / JUDGE_LOG).symlink_to(target)
    with pytest.raises(UserError, match="is a link"):
        JudgeLog(tmp_path / JUDGE_LOG)
    with pytest.raises(UserError, match="is a link"):
        append(tmp_path / JUDGE_LOG, [{}])
    assert target.read_text() == ""


def test_a_budget_stops_before_it_is_exceeded_and_a_larger_one_goes_on(tmp_path: Path) -> None:
    with serving(lambda n, body: Act()) as server:
        options = {"price": PRICE, "concurrency": 1}
        with pytest.raises(BudgetSpent, match="larger --budget"):
            judge(server.url, tmp_path / "t", budget=3.5, **options).verdicts(asks(9), parse_legacy)
        assert len(server.requests) == 3
        other = judge(server.url, tmp_path / "u", budget=3.5, **options)
        with pytest.raises(BudgetSpent):
            other.verdicts(asks(9), parse_legacy)
        assert len(server.requests) == 3, "the budget is the run folder's, not the task's"
        rest = judge(server.url, tmp_path / "t", budget=99, **options)
        assert len(rest.verdicts(asks(9), parse_legacy)) == 9 and len(server.requests) == 9


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_a_budget_counts_on_the_longest_reply_that_the_request_allows(
    tmp_path: Path, field: str
) -> None:
    """A judge that thinks is allowed 8,000 tokens, not the benchmark's few."""
    with serving(lambda n, body: Act()) as server:
        options = {"price": (0.0, 1000.0), "budget": 7.0, "body": {field: 8000}}
        with pytest.raises(BudgetSpent, match=r"8\.000 needed at most"):
            judge(server.url, tmp_path / "t", **options).verdicts(asks(1), parse_legacy)
        assert not server.requests


def test_options_that_say_too_little_are_refused() -> None:
    with pytest.raises(UserError, match="a budget needs the price"):
        open_instrument("openai:m@http://h/v1", Settings(budget=1.0))
    for body in ({"max_tokens": None}, {"max_tokens": None, "max_completion_tokens": None}):
        with pytest.raises(UserError, match="a budget needs a limit of tokens"):
            open_instrument("openai:m@http://h/v1", Settings((1, 1), 1.0, body))
    with pytest.raises(UserError, match="budget is for an endpoint"):
        open_instrument("scripted", Settings(budget=1.0))
    with pytest.raises(ValueError, match="at least 1"):
        Settings(concurrency=0)
    with pytest.raises(UserError, match="needs a model"):
        open_instrument("openai:", Settings())


def test_a_thousand_images_of_wise_cost_the_7_to_8_dollars_its_authors_say() -> None:
    found = estimate([Ask("x" * 2600)] * 1000, PRICES["gpt-4o-2024-05-13"])
    assert (found.requests, found.tokens_in) == (1000, 1_415_000)
    assert found.dollars is not None and 7 < found.dollars < 8


def run(*arguments: object) -> int:
    return cli.main([str(a) for a in ("--model", "scripted", "--tasks", "wise", *arguments)])


def test_a_dry_run_says_what_judging_will_take_and_asks_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with serving(lambda n, body: Act()) as server:
        named = ("--judge-url", server.url, "--judge-model", "m", "--judge-price", 5, 15)
        assert run("--dry-run", "--output", "r", *named) == 0
        said = " ".join(capsys.readouterr().out.split())
        assert "to judge" in said and "USD" in said and " 80 " in said
        assert not server.requests
        assert run("--output", "r", "--limit", 6, *named) == 0
        assert len(server.requests) == 6
        run("--dry-run", "--output", "r", *named)
        assert " 74 " in " ".join(capsys.readouterr().out.split())


def test_the_key_stands_nowhere_and_marking_again_asks_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(lambda n, body: Act()) as server:
        named = ("--judge-url", server.url, "--judge-model", "m")
        assert run("--output", "r", "--limit", 6, *named) == 0
        (tmp_path / "r/wise/rows.parquet").unlink()
        assert cli.main(["mark", "r"]) == 0, "the judge is the run's"
        assert len(server.requests) == 6
        assert server.headers[0]["Authorization"] == f"Bearer {SECRET}"
    printed = capsys.readouterr()
    assert SECRET not in printed.out + printed.err
    files = [path for path in (tmp_path / "r").rglob("*") if path.is_file()]
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]
    metrics = read_json(tmp_path / "r/wise/metrics.json")
    assert metrics["headline"] == "wiscore[m]" and round(metrics["metrics"]["wiscore[m]"], 9) == 0.8
    assert "m served" in str(metrics["provenance"]["instruments"]["judge"])


def test_a_spent_budget_leaves_a_run_that_mark_finishes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with serving(lambda n, body: Act()) as server:
        named = (
            "--judge-url",
            server.url,
            "--judge-model",
            "m",
            "--judge-price",
            *PRICE,
            "--judge-concurrency",
            1,
        )
        assert run("--output", "r", "--limit", 6, *named, "--budget", 6) == 1
        paid = len(server.requests)
        assert 0 < paid < 6 and "the budget of 6.00 USD is used up" in capsys.readouterr().err
        assert cli.main(["mark", "r", "--judge-url", server.url, "--budget", "99"]) == 0
        assert len(server.requests) == 6


def test_killed_while_judging_then_only_what_is_missing_is_asked(tmp_path: Path) -> None:
    log = tmp_path / "r/wise" / JUDGE_LOG
    with serving(lambda n, body: Act(seconds=0.1)) as server:
        command = [
            "--model",
            "scripted",
            "--tasks",
            "wise",
            "--output",
            "r",
            "--limit",
            "24",
            "--judge-url",
            server.url,
            "--judge-model",
            "m",
            "--judge-concurrency",
            "1",
        ]
        process = subprocess.Popen(
            [sys.executable, "-m", "harmon_eval", *command],
            cwd=tmp_path,
            env=dict(os.environ),
            stderr=subprocess.PIPE,
        )
        end = time.monotonic() + 60
        while not (log.exists() and log.read_bytes().count(b"\n") >= 4):
            assert process.poll() is None and time.monotonic() < end
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        stored = JudgeLog(log)
        paid = log.read_bytes().count(b"\n")
        known = [json.loads(line)["key"] for line in log.read_bytes().splitlines()[:paid]]
        assert 4 <= paid < 24 and all(stored.replies(key) for key in known)
        before = len(server.texts())
        assert cli.main(command) == 0
        asked_again = set(server.texts()[before:]) & set(server.texts()[:paid])
        assert not asked_again, "what is stored is not asked twice"
        assert len(server.texts()) - before == 24 - paid
