"""A server that wants other fields: they can be given, and what refuses everything ends the run."""

from __future__ import annotations

import json
from typing import Any

import pytest
from judge_server import Act, completion, serving

from harmon_eval import cli, registry
from harmon_eval.adapters.openai import EndpointError, OpenAIResponder, Patience
from harmon_eval.core import Ask, UserError
from harmon_eval.store.durable import read_json


def picky(number: int, body: dict[str, Any]) -> Act:
    if "max_tokens" in body:
        return Act(error("'max_tokens' is not supported: use 'max_completion_tokens'"), 400)
    if body.get("temperature", 1) != 1:
        return Act(error("'temperature' must be 1 for this model"), 400)
    return Act(completion("yes"))


def error(words: str, **more: Any) -> bytes:
    return json.dumps({"error": {"message": words, **more}}).encode()


def run(url: str, settings: str = "", *more: str) -> int:
    model = ("--model", f"openai:m@{url}{settings}", "--tasks", "pope")
    return cli.main([*model, "--limit", "2", "--output", "run", *more])


@pytest.mark.parametrize(
    ("settings", "sent", "noted"),
    [
        (
            "?max_completion_tokens=2048&temperature=1",
            {"max_completion_tokens": 2048, "temperature": 1.0},
            {"max_completion_tokens": 2048, "temperature": 1.0},
        ),
        (
            '?temperature=none&body={"max_tokens": null, "reasoning_effort": "low"}',
            {"reasoning_effort": "low"},
            {"temperature": None, "max_tokens": None, "reasoning_effort": "low"},
        ),
        (
            '?body={"max_completion_tokens": 99, "temperature": 1}&enable_thinking=false',
            {
                "max_completion_tokens": 99,
                "temperature": 1,
                "chat_template_kwargs": {"enable_thinking": False},
            },
            {
                "max_completion_tokens": 99,
                "temperature": 1,
                "chat_template_kwargs": {"enable_thinking": False},
            },
        ),
    ],
)
def test_fields_of_the_request_are_settings_of_the_model(
    settings: str, sent: dict[str, Any], noted: dict[str, Any], in_folder: Any
) -> None:
    with serving(picky) as server:
        assert run(server.url, settings) == 0
    body = {k: v for k, v in server.requests[0].items() if k not in ("model", "messages", "seed")}
    assert body == sent
    model = read_json(in_folder("run/manifest.json"))["identity"]["model"]
    assert model["settings"] == noted and model["fingerprint"] == f"served at {server.url}"


def test_more_tokens_than_the_benchmark_allows_can_be_given() -> None:
    with serving(lambda n, body: Act(completion("yes"))) as server:
        registry.model(f"openai:m@{server.url}?max_tokens=4000").ask([Ask("?", max_new_tokens=8)])
    assert server.requests[0]["max_tokens"] == 4000


def test_what_is_refused_as_a_whole_ends_after_the_first_batch_with_the_servers_words(
    in_folder: Any, capsys: Any
) -> None:
    with serving(picky) as server:
        assert run(server.url, "", "--batch-size", "8") == 2
        assert len(server.requests) <= 8
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert "use 'max_completion_tokens'" in said and "max_completion_tokens=N" in said


@pytest.mark.parametrize("size", ["1", "3"])
def test_small_batches_end_after_a_few(size: str, in_folder: Any, capsys: Any) -> None:
    with serving(lambda n, body: Act(error(f"request {n:08x} is bad"), 422)) as server:
        assert run(server.url, "", "--batch-size", size) == 2
        assert len(server.requests) == 3, "the same words but for the request's number"
    assert "HTTP 422" in capsys.readouterr().err


def test_a_judge_that_refuses_everything_ends_the_marking_with_its_option(
    in_folder: Any, capsys: Any
) -> None:
    with serving(picky) as server:
        judge = ("--judge-url", server.url, "--judge-model", "m", "--judge-concurrency", "1")
        wise = ("--model", "scripted", "--tasks", "wise", "--limit", "12", "--output", "run")
        assert cli.main([*wise, *judge]) == 1
        assert len(server.requests) == 3
        said = " ".join(capsys.readouterr().err.split())
        assert "use 'max_completion_tokens'" in said and "--judge-body" in said


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (error("no such model", code=404), "check the key"),
        (error("invalid key", code="401"), "check the key"),
        (error("image too large", type="invalid_request_error"), "image too large"),
        (json.dumps({"object": "error", "message": "context", "code": 400}).encode(), "HTTP 400"),
        (
            json.dumps({"choices": [{"error": {"message": "provider", "code": 400}}]}).encode(),
            "pro",
        ),
        (b'{"error": "model is loading"}', "model is loading"),
        (b'{"detail": "Not Found"}', "Not Found"),
        (b"<!doctype html><title>Portal</title>", "does the URL end in /v1"),
    ],
)
def test_an_error_in_a_200_is_an_error_and_not_tried_again(
    body: bytes, reason: str, in_folder: Any, capsys: Any
) -> None:
    with serving(lambda n, request: Act(body)) as server:
        assert run(server.url, "", "--batch-size", "4") == 2
        assert len(server.requests) <= 4
    assert reason in capsys.readouterr().err


def test_a_passing_error_in_a_200_is_tried_again() -> None:
    busy = Act(error("overloaded", code=529))
    with serving(lambda n, body: busy if n < 2 else Act(completion("yes"))) as server:
        responder = OpenAIResponder(server.url, "m", sleep=lambda seconds: None)
        assert responder.ask([Ask("?")]) == ["yes"]


def test_a_server_that_fails_later_ends_the_run_too_and_what_was_answered_is_kept() -> None:
    def act(number: int, body: dict[str, Any]) -> Act:
        return Act(completion("yes")) if number < 5 else Act(b"out of memory", 400)

    with serving(act) as server:
        responder = OpenAIResponder(server.url, "m", patience=Patience(concurrency=1))
        first = responder.ask([Ask(str(n)) for n in range(8)])
        assert first[:5] == ["yes"] * 5
        assert all(isinstance(reply, EndpointError) for reply in first[5:])
        with pytest.raises(UserError, match=r"answers none of the requests.*out of memory"):
            responder.ask([Ask(str(n)) for n in range(100)])
        assert len(server.requests) == 15, "ten failures in a row are enough"


def test_a_reply_without_end_is_bounded_in_size_and_time() -> None:
    huge = Act(completion("x" * 5000))
    with serving(lambda n, body: huge) as server:
        responder = OpenAIResponder(server.url, "m", patience=Patience(largest=4000))
        (failure,) = responder.ask([Ask("?")])
    assert isinstance(failure, EndpointError) and "more than 4000 bytes" in str(failure)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ("?body={", "JSON"),
        ("?body=[1]", "give a JSON object"),
        ('?body={"stream": true}', "'stream' of the request is not to be set"),
        ('?body={"model": "x"}', "'model' of the request is not to be set"),
        ('?max_tokens=9&body={"max_tokens": 8}', "max_tokens is given twice"),
        ("?max_tokens=9&max_completion_tokens=9", "give one of them"),
        ("?max_tokens=0", "give at least 1"),
        ("?max_token=9", "did you mean 'max_tokens'"),
    ],
)
def test_fields_that_cannot_be_are_refused(settings: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        registry.model(f"openai:m@http://127.0.0.1:9/v1{settings}")
