"""An OpenAI-compatible endpoint over real HTTP: well, slow, limited, broken, dying, gone."""

from __future__ import annotations

import base64
import json
import math
import socket
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from judge_server import Act, completion, serving
from PIL import Image

from harmon_eval import registry
from harmon_eval.adapters._endpoint import checked_url
from harmon_eval.adapters._image_endpoint import data_url
from harmon_eval.adapters.openai import (
    EndpointError,
    OpenAIResponder,
    Patience,
    Settings,
    open_model,
    retry_after,
)
from harmon_eval.core import Ask, Score, Unscorable, UserError
from harmon_eval.replies.probabilities import First, read

SECRET = "sk-very-secret"


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    Image.new("RGB", (8, 8), "red").save(tmp_path / "red.png")
    return tmp_path / "red.png"


def endpoint(url: str, waits: list[float] | None = None, **patience: float) -> OpenAIResponder:
    slept = [] if waits is None else waits
    return OpenAIResponder(url, "judge", patience=Patience(**patience), sleep=slept.append)


def test_a_request_is_a_chat_completion_with_the_image_in_it(picture: Path) -> None:
    with serving(lambda n, body: Act(completion("yes"))) as server:
        ask = Ask("Is it red?", (picture,), max_new_tokens=7, system="Be strict.")
        (reply,) = endpoint(server.url).ask([ask])
        OpenAIResponder(server.url, "judge", text_first=True).ask([ask])
    assert (reply, reply.model, reply.tokens_in, reply.tokens_out) == (
        "yes",
        "judge-2024",
        1000,
        15,
    )
    body, second = server.requests
    assert {k: body[k] for k in ("model", "temperature", "max_tokens")} == {
        "model": "judge",
        "temperature": 0.0,
        "max_tokens": 7,
    }
    assert "seed" not in body
    assert body["messages"][0] == {
        "role": "system",
        "content": [{"type": "text", "text": "Be strict."}],
    }
    image, text = body["messages"][1]["content"]
    assert text == {"type": "text", "text": "Is it red?"}
    sent = image["image_url"]["url"].removeprefix("data:image/png;base64,")
    assert base64.b64decode(sent) == picture.read_bytes()
    assert [part["type"] for part in second["messages"][1]["content"]] == ["text", "image_url"]
    assert server.headers[0]["Authorization"] == f"Bearer {SECRET}"


def test_each_image_stands_in_the_place_of_its_marker(picture: Path, tmp_path: Path) -> None:
    """MMMU's way of writing; a judge's protocol has the text first whatever it holds."""
    other = tmp_path / "other.png"
    Image.new("RGB", (4, 4), "blue").save(other)
    text = "Is <image 2> before\n<image 1>? (A) <image 2>"
    with serving(lambda n, body: Act(completion("yes"))) as server:
        for first in (False, True):
            responder = OpenAIResponder(server.url, "m", text_first=first)
            responder.ask([Ask(text, (other, picture)), Ask("See <image 1>", (other, picture))])
    bodies = [request["messages"][0]["content"] for request in server.requests]
    shown = {
        tuple(part.get("text") or part["image_url"]["url"] for part in content)
        for content in bodies
    }
    one, two = map(data_url, (other, picture))
    assert shown == {
        ("Is ", one, " before\n", two, "? (A) ", one),
        (one, two, "See <image 1>"),  # no marker for each: before the text
        (text, one, two),
        ("See <image 1>", one, two),
    }


def test_further_fields_are_sent_and_null_leaves_one_out() -> None:
    extra = {"temperature": None, "chat_template_kwargs": {"enable_thinking": False}}
    with serving(lambda n, body: Act()) as server:
        OpenAIResponder(server.url, "judge", body=extra).ask([Ask("?")])
    assert "temperature" not in server.requests[0]
    assert server.requests[0]["chat_template_kwargs"] == {"enable_thinking": False}


def test_replies_keep_the_order_of_the_requests_and_only_so_many_run_at_once() -> None:
    def echo(number: int, body: dict) -> Act:
        text = body["messages"][-1]["content"][0]["text"]
        return Act(completion(text), seconds=0.02 if int(text) % 2 else 0.0)

    with serving(echo) as server:
        replies = endpoint(server.url, concurrency=3).ask([Ask(str(n)) for n in range(12)])
    assert replies == [str(n) for n in range(12)]
    assert server.most_at_once <= 3


@pytest.mark.parametrize(
    "trouble",
    [
        Act(b"too many", 429),
        Act(b"oops", 500),
        Act(b"\x00\xffgarbage"),
        Act(completion("yes")[:40]),
        Act(b'{"choices": []}'),
        Act(b"[]"),
        Act(dies=True),
    ],
)
def test_what_passes_is_tried_again(trouble: Act) -> None:
    waits: list[float] = []
    with serving(lambda n, body: trouble if n < 2 else Act(completion("yes"))) as server:
        assert endpoint(server.url, waits, backoff=2.0).ask([Ask("?")]) == ["yes"]
    assert len(server.requests) == 3
    assert 1.5 <= waits[0] <= 2.5 and 3.0 <= waits[1] <= 5.0, "the wait doubles"


def test_retry_after_is_honoured_and_a_wait_too_long_is_not_waited_for() -> None:
    waits: list[float] = []
    limited = Act(b"", 429, {"Retry-After": "7"})
    with serving(lambda n, body: limited if n == 0 else Act(completion("yes"))) as server:
        assert endpoint(server.url, waits).ask([Ask("?")]) == ["yes"]
    assert waits == [7.0]
    with serving(lambda n, body: Act(b"", 429, {"Retry-After": "7200"})) as server:
        (failure,) = endpoint(server.url, waits).ask([Ask("?")])
    assert isinstance(failure, EndpointError) and "wait for 7200 s" in str(failure)
    assert len(server.requests) == 1


def test_retry_after_may_be_a_date() -> None:
    soon = datetime.now(UTC) + timedelta(seconds=90)
    assert retry_after({"Retry-After": format_datetime(soon)}) == pytest.approx(90, abs=5)
    assert retry_after({"Retry-After": "soon"}) is None and retry_after({}) is None


def test_a_slow_endpoint_times_out_and_the_others_are_answered() -> None:
    def slow(number: int, body: dict) -> Act:
        text = body["messages"][-1]["content"][0]["text"]
        return Act(completion(text), seconds=1.0 if text == "slow" else 0.0)

    with serving(slow) as server:
        replies = endpoint(server.url, timeout=0.3, attempts=2).ask([Ask("slow"), Ask("fast")])
    assert isinstance(replies[0], EndpointError) and "Timeout" in str(replies[0])
    assert replies[1] == "fast"


def test_a_request_that_is_refused_for_itself_fails_alone_and_once() -> None:
    def act(number: int, body: dict) -> Act:
        bad = body["messages"][-1]["content"][0]["text"] == "bad"
        return Act(b"content policy", 400) if bad else Act(completion("yes"))

    with serving(act) as server:
        replies = endpoint(server.url).ask([Ask("bad"), Ask("good")])
    assert isinstance(replies[0], EndpointError) and "HTTP 400 (content policy)" in str(replies[0])
    assert replies[1] == "yes" and len(server.requests) == 2


def test_a_wrong_key_ends_the_run_in_one_line_that_does_not_show_it() -> None:
    said = json.dumps({"error": f"bad key {SECRET}"}).encode()
    with (
        serving(lambda n, body: Act(said, 401)) as server,
        pytest.raises(UserError, match="check the key in OPENAI_API_KEY") as caught,
    ):
        endpoint(server.url).ask([Ask("a"), Ask("b")])
    assert SECRET not in str(caught.value)
    assert SECRET not in repr(vars(caught.value))


def test_used_up_credit_is_not_tried_again() -> None:
    with (
        serving(lambda n, body: Act(b'{"code": "insufficient_quota"}', 429)) as server,
        pytest.raises(UserError, match="insufficient_quota"),
    ):
        endpoint(server.url).ask([Ask("a")])
    assert len(server.requests) == 1


def test_an_endpoint_that_is_not_there_is_named() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    with pytest.raises(UserError, match=f"cannot reach {url}"):
        endpoint(url, attempts=2).ask([Ask("a")])


def test_an_image_that_is_none_fails_alone(picture: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no image")
    with serving(lambda n, body: Act(completion("yes"))) as server:
        asks = [Ask("?", (tmp_path / "broken.png",)), Ask("?", (picture,))]
        broken, sound = endpoint(server.url).ask(asks)
    assert isinstance(broken, Unscorable) and sound == "yes"


@pytest.mark.parametrize(
    "url",
    [
        "localhost:8000",
        "ftp://x",
        "http://",
        "http://u:p@h/v1",
        "http://h/v1?key=1",
        "http://h/v1#key",
        "http://h:port/v1",
        "http://[::1/v1",
    ],
)
def test_what_is_no_url_or_holds_a_key_is_refused(url: str) -> None:
    with pytest.raises(UserError):
        checked_url(url)


def test_names_on_the_command_line() -> None:
    local = open_model("Qwen/VL:7b@http://localhost:8000/v1/", Settings())
    assert (local.name, local.url) == ("Qwen/VL:7b", "http://localhost:8000/v1")
    assert open_model("gpt", Settings(temperature=0.5)).settings == {"temperature": 0.5}
    assert local.fingerprint == "served at http://localhost:8000/v1"
    with pytest.raises(UserError, match=r"no setting 'cfg' \(the server sets it\)"):
        registry.model("openai:gpt", {"cfg": 2.0})
    with pytest.raises(UserError, match="needs a model"):
        open_model("", Settings())


def listed(*pairs: tuple[str, float], spaces: bool = False) -> bytes:
    """A completion of one token with its alternatives; ``spaces``: as some servers mark them."""
    entries = [
        {
            "token": text.replace(" ", "Ġ") if spaces else text,
            "logprob": math.log(p),
            **({"bytes": list(text.encode())} if spaces else {}),
        }
        for text, p in pairs
    ]
    content = [{**entries[0], "top_logprobs": entries}]
    choice = {
        "message": {"content": pairs[0][0]},
        "finish_reason": "length",
        "logprobs": {"content": content},
    }
    return json.dumps({"model": "m", "choices": [choice]}).encode()


YES_NO = (("Yes", "yes", " Yes"), ("No", "no", " No"))


@pytest.mark.parametrize("spaces", [False, True])
def test_first_tokens_are_scored_with_what_was_seen(spaces: bool) -> None:
    """A third of the distribution is not listed: both ends of a mass are known."""
    body = listed(("Yes", 0.4), (" Yes", 0.05), ("No", 0.3), spaces=spaces)
    with serving(lambda n, _: Act(body)) as server:
        (reply,) = endpoint(server.url).score([Score("Is there a dog?", YES_NO)])
    found = read(str(reply), 2)
    assert isinstance(found, First) and found.likeliest == "Yes"
    assert found.masses == pytest.approx((0.45, 0.3)) and found.seen == pytest.approx(0.75)
    (request,) = server.requests
    assert (request["logprobs"], request["top_logprobs"], request["max_tokens"]) == (True, 20, 1)


def test_an_endpoint_without_log_probabilities_leaves_samples_unscored() -> None:
    with (
        serving(lambda n, _: Act(completion("Yes"))) as server,
        pytest.raises(UserError, match="no log-probabilities"),
    ):
        endpoint(server.url).score([Score("Is there a dog?", YES_NO)] * 12)
