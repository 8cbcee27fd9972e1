"""Whole options scored by an endpoint that gives the log-probabilities of a prompt's tokens.

The server on loopback renders a chat template, splits the text into tokens and gives each a
log-probability that depends on all before it, in the form of vLLM's chat completions."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from judge_server import Act, Server, completion, serving
from PIL import Image

from harmon_eval.adapters._completions import NoCompletion
from harmon_eval.adapters._endpoint import EndpointError, Patience
from harmon_eval.adapters._whole_options import read_prompt
from harmon_eval.adapters.openai import OpenAIResponder
from harmon_eval.core import Score, Unscorable, UserError
from harmon_eval.replies.probabilities import Whole, read

PIECES = re.compile(rb"<\|\w+\|>| ?[A-Za-z]{1,3}|.", re.DOTALL)
END = "<|im_end|>"


def tokens(text: str) -> list[bytes]:
    """Control tokens whole, words in pieces of three letters, other letters byte by byte."""
    return PIECES.findall(text.encode())


def logprob(before: bytes, token: bytes) -> float:
    return -(zlib.crc32(before + b"|" + token) % 4000) / 1000


class Template:
    """``opening``: before the model's turn that the question alone ends with. ``before``: what
    stands before a given reply. ``after``: what closes it."""

    def __init__(self, before: str = "", after: str = f"{END}\n") -> None:
        self.before, self.after = before, after

    def question(self, messages: list[dict[str, Any]]) -> str:
        parts = [
            part.get("text", "<|image|>")
            for message in messages
            if message["role"] != "assistant"
            for part in message["content"]
        ]
        return f"<|im_start|>user\n{''.join(parts)}{END}\n<|im_start|>assistant\n"

    def prompt(self, body: Mapping[str, Any]) -> str:
        text = self.question(body["messages"])
        last = body["messages"][-1]
        if body.get("add_generation_prompt", True):
            assert last["role"] == "user" and not body.get("continue_final_message")
            return text
        text += self.before + last["content"] + self.after
        if body["continue_final_message"]:  # as transformers finds the end of an open turn
            text = text[: text.rindex(last["content"]) + len(last["content"])]
        return text


def vllm(template: Template) -> Callable[[int, dict[str, Any]], Act]:
    def act(number: int, body: dict[str, Any]) -> Act:
        assert (body["prompt_logprobs"], body["max_tokens"], body["temperature"]) == (0, 1, 0)
        before, entries = b"", []
        for token in tokens(template.prompt(body)):
            given = {
                "logprob": logprob(before, token),
                "rank": 3,
                "decoded_token": token.decode(errors="replace"),
            }
            entries.append({str(zlib.crc32(token)): given} if before else None)
            before += token
        answer = json.loads(completion("Sure"))
        return Act(json.dumps({**answer, "prompt_logprobs": entries}).encode())

    return act


def expected(question: str, option: str, between: str = "") -> list[float]:
    """The option's tokens and the end of the turn, each after all before it."""
    before = Template().question([{"role": "user", "content": [{"text": question}]}]) + between
    found, text = [], before.encode()
    for token in (*tokens(option), END.encode()):
        found.append(logprob(text, token))
        text += token
    return found


def score(server: Server, *requests: Score) -> list[str | Exception]:
    patience = Patience(backoff=0.0)
    return OpenAIResponder(server.url, "m", patience=patience).score(requests)


def which(question: str, *options: str, images: tuple[Path, ...] = ()) -> Score:
    return Score(question, tuple((text,) for text in options), images, kind="whole")


def test_each_option_has_the_log_probabilities_of_its_tokens_and_of_its_end() -> None:
    """ "m" is in the template's own <|im_end|>, and "größer" has letters of two tokens."""
    options = ("red", "a dark red brick wall", "m", "größer", "10 - 3.5")
    with serving(vllm(Template())) as server:
        (reply,) = score(server, which("Which wall?", *options))
    found = read(str(reply), len(options))
    assert isinstance(found, Whole)
    for option, own in zip(options, found.with_ends(), strict=True):
        assert own == pytest.approx(expected("Which wall?", option)), option


def test_a_question_is_read_once_for_its_options_and_the_server_is_probed_once() -> None:
    with serving(vllm(Template())) as server:
        replies = score(server, *(which(f"Which of {n}?", "red", "blue") for n in range(5)))
    assert not any(isinstance(reply, Exception) for reply in replies)
    bodies = server.requests
    assert len(bodies) == 2 + 5 * (1 + 2)
    assert sum(body.get("continue_final_message", False) for body in bodies) == 1
    assert sum(body["messages"][-1]["role"] == "user" for body in bodies) == 5


def test_a_server_without_them_is_asked_once_and_refused_in_one_line() -> None:
    """As OpenAI's own API, which gives log-probabilities of generated tokens only."""
    with (
        serving(lambda n, _: Act(completion("Sure"))) as server,
        pytest.raises(UserError, match="no log-probabilities of a prompt's tokens") as caught,
    ):
        score(server, *[which("Which?", "a", "b")] * 12)
    assert "\n" not in str(caught.value) and len(server.requests) == 1


def test_a_server_that_does_not_know_the_fields_is_refused() -> None:
    said = json.dumps({"error": {"message": "Unrecognized argument: prompt_logprobs"}}).encode()
    with (
        serving(lambda n, _: Act(said, 400)) as server,
        pytest.raises(UserError, match=r"options need \(HTTP 400 \(.*Unrecognized"),
    ):
        score(server, *[which("Which?", "a", "b")] * 12)
    assert len(server.requests) == 1


# As vLLM's chat completions reply (vllm/entrypoints/openai/chat_completion/protocol.py): a list
# beside the choices, null for the first token, then {id: {logprob, rank, decoded_token}}. What has
# no probability is -9999.0 there, as JSON has no infinity.
OF_VLLM = """{
 "id": "chatcmpl-7d3a", "object": "chat.completion", "created": 1764374400, "model": "qwen",
 "choices": [{"index": 0, "message": {"role": "assistant", "reasoning_content": null,
   "content": "Yes", "tool_calls": []}, "logprobs": null, "finish_reason": "length",
   "stop_reason": null}],
 "usage": {"prompt_tokens": 4, "total_tokens": 5, "completion_tokens": 1,
   "prompt_tokens_details": null},
 "prompt_logprobs": [null,
  {"872": {"logprob": -12.4375, "rank": 9021, "decoded_token": "user"}},
  {"198": {"logprob": -0.0003, "rank": 1, "decoded_token": "\\n"}},
  {"9454": {"logprob": -9999.0, "rank": 151643, "decoded_token": null}}],
 "prompt_token_ids": null, "kv_transfer_params": null
}"""
# As llama.cpp's server replies (tools/server/README.md): fields that it does not know are ignored,
# and its log-probabilities are those of generated tokens.
OF_LLAMA_CPP = """{
 "choices": [{"finish_reason": "length", "index": 0, "message": {"role": "assistant",
   "content": " boats"}, "logprobs": {"content": [{"id": 33564, "token": " boats",
   "bytes": [32, 98, 111, 97, 116, 115], "logprob": -0.41, "top_logprobs": []}]}}],
 "created": 1764374400, "model": "qwen.gguf", "system_fingerprint": "b7150-1",
 "object": "chat.completion", "id": "chatcmpl-x1",
 "usage": {"completion_tokens": 1, "prompt_tokens": 21, "total_tokens": 22},
 "timings": {"cache_n": 0, "prompt_n": 21, "prompt_ms": 70.1, "predicted_n": 1}
}"""
PREFILL = """{"error": {"code": 400, "type": "invalid_request_error",
 "message": "Assistant response prefill is incompatible with enable_thinking."}}"""


def test_a_reply_in_the_form_of_vllm_is_read() -> None:
    found = read_prompt(OF_VLLM.encode())
    assert [(token.id, token.logprob, token.text) for token in found] == [
        ("872", -12.4375, "user"),
        ("198", -0.0003, "\n"),
        ("9454", -9999.0, ""),
    ]
    with pytest.raises(NoCompletion, match="no log-probabilities of a prompt"):
        read_prompt(OF_VLLM.replace("[null,", "[null, null,").encode())
    assert read_prompt(OF_LLAMA_CPP.encode()) == ()


@pytest.mark.parametrize(("reply", "status"), [(OF_LLAMA_CPP, 200), (PREFILL, 400)])
def test_llama_cpp_is_asked_once_and_refused_in_one_line(reply: str, status: int) -> None:
    with (
        serving(lambda n, _: Act(reply.encode(), status)) as server,
        pytest.raises(UserError, match="no log-probabilities of a prompt's tokens") as caught,
    ):
        score(server, *[which("Which?", "a", "b")] * 12)
    assert "give it as vlm:PATH" in str(caught.value) and len(server.requests) == 1


def test_an_error_that_does_not_name_the_fields_is_of_its_request_alone() -> None:
    def act(number: int, body: dict[str, Any]) -> Act:
        long = "long" in body["messages"][0]["content"][0]["text"]
        return Act(b"context is too long", 400) if long else vllm(Template())(number, body)

    with serving(act) as server:
        long, sound = score(server, which("A long one?", "a", "b"), which("Which?", "a", "b"))
    assert isinstance(long, EndpointError) and "too long" in str(long)
    assert isinstance(sound, str)


def test_a_server_that_has_them_for_texts_alone_is_told_apart(tmp_path: Path) -> None:
    """vLLM 0.8.2 failed with images (vllm-project/vllm#16107)."""
    Image.new("RGB", (8, 8), "red").save(tmp_path / "red.png")

    def act(number: int, body: dict[str, Any]) -> Act:
        images = any(part["type"] == "image_url" for part in body["messages"][0]["content"])
        return Act(completion("Sure")) if images else vllm(Template())(number, body)

    with serving(act) as server:
        image = which("Which?", "red", "blue", images=(tmp_path / "red.png",))
        text, shown = score(server, which("Which?", "red", "blue"), image)
    assert isinstance(text, str)
    assert isinstance(shown, UserError) and "for chats with images" in str(shown)


def test_images_are_before_the_option(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8), "red").save(tmp_path / "red.png")
    image = which("Which?", "red", "blue", images=(tmp_path / "red.png",))
    with serving(vllm(Template())) as server:
        (reply,) = score(server, image)
    own = read(str(reply), 2)
    assert isinstance(own, Whole)
    assert own.with_ends()[1] == pytest.approx(expected("<|image|>Which?", "blue"))


def test_what_a_template_puts_before_a_reply_is_not_scored_with_it() -> None:
    with serving(vllm(Template(before="<think> </think>"))) as server:
        (reply,) = score(server, which("Which?", "red", "blue"))
    assert isinstance(reply, Unscorable) and "'red' cannot be told from" in str(reply)
    assert "<think>" in str(reply)


@pytest.mark.parametrize("after", ["", " ", "\nUSER:"])
def test_an_end_that_is_no_control_token_is_not_known(after: str) -> None:
    with serving(vllm(Template(after=after))) as server:
        (reply,) = score(server, which("Which?", "red", "blue"))
    found = read(str(reply), 2)
    assert isinstance(found, Whole) and found.ends == (None, None)
    assert found.logprobs[1] == pytest.approx(expected("Which?", "blue")[:-1])


def test_a_server_that_cannot_leave_a_turn_open_is_refused() -> None:
    """It closes every turn and begins a new one, as where the fields are not known."""

    def act(number: int, body: dict[str, Any]) -> Act:
        template = Template()
        if body.get("continue_final_message"):
            body["continue_final_message"] = False
            template.after += "<|im_start|>assistant\n"
        return vllm(template)(number, body)

    with serving(act) as server, pytest.raises(UserError, match="continue_final_message"):
        score(server, which("Which?", "red", "blue"))


def test_several_tokens_at_a_place_are_not_guessed_among() -> None:
    def act(number: int, body: dict[str, Any]) -> Act:
        answer = json.loads(vllm(Template())(number, body).body)
        answer["prompt_logprobs"][-1]["7"] = {"logprob": -0.1, "decoded_token": "x"}
        return Act(json.dumps(answer).encode())

    with serving(act) as server:
        (reply,) = score(server, which("Which?", "red", "blue"))
    assert isinstance(reply, EndpointError) and "no log-probabilities of a prompt" in str(reply)
