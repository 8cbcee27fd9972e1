"""Probabilities of whole options from a server that gives those of a prompt's tokens, as vLLM does.

The option stands in the prompt as the model's own turn. Its tokens are what the prompt has beyond
the question alone, up to where the chat template closes the turn. The prompt's log-probabilities
are those of raw logits at temperature 0 (``prompt_logprobs`` of vLLM's chat completions).
"""

from __future__ import annotations

import json
import math
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from harmon_eval.adapters._completions import NoCompletion, raise_error
from harmon_eval.adapters._endpoint import EndpointError
from harmon_eval.core import Score, Unscorable, UserError
from harmon_eval.replies.probabilities import Whole

# Shows once how the template closes a turn. A template may hold a short option itself ("m" in
# <|im_end|>), and servers look for the text of an open turn in the whole prompt.
SAMPLE = "Seven green boats"
# An error that names what is asked is of the server; another may be of the one request.
# llama.cpp speaks of a prefill where a chat ends with the model's own turn.
OUR_FIELDS = re.compile(
    "prompt.logprobs|add_generation_prompt|continue_final_message|response prefill", re.I
)
CONTROL = re.compile(r"<.+>|\[.+\]", re.DOTALL)  # </s>, <|im_end|>, <end_of_turn>, [EOS]


@dataclass(frozen=True)
class Token:
    """A token of a prompt with its log-probability after those before it."""

    id: str
    logprob: float
    text: str


# All tokens of a prompt but the first, which comes after nothing.
Prompt = tuple[Token, ...]


def asking(body: Mapping[str, Any], turn: str | None = None, closed: bool = True) -> dict[str, Any]:
    """The body of a request for the prompt's log-probabilities: of the question, or of the question
    and the model's own ``turn``, which the template closes or leaves open."""
    own = {k: v for k, v in body.items() if k not in ("max_tokens", "max_completion_tokens")}
    found = {**own, "max_tokens": 1, "temperature": 0.0, "prompt_logprobs": 0}
    if turn is None:
        return found
    return {
        **found,
        "messages": [*body["messages"], {"role": "assistant", "content": turn}],
        "add_generation_prompt": False,
        "continue_final_message": not closed,
    }


def read_prompt(content: bytes) -> Prompt:
    """The tokens of the prompt; none where the server does not give them.

    Raises ErrorBody and NoCompletion."""
    try:
        answer = json.loads(content)
        raise_error(answer)
        entries = answer.get("prompt_logprobs")
        if not entries and answer["choices"]:
            return ()
        # One entry a place: the prompt's own token, and no other for 0 alternatives.
        pairs = [pair for entry in entries[1:] for (pair,) in [entry.items()]]
        return tuple(
            Token(str(token), _finite(given["logprob"]), str(given.get("decoded_token") or ""))
            for token, given in pairs
        )
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        named = f"no log-probabilities of a prompt ({type(error).__name__}: {error})"
        raise NoCompletion(named) from None


def _finite(logprob: float) -> float:
    if not math.isfinite(logprob):
        raise ValueError(f"a log-probability of {logprob}")
    return min(0.0, float(logprob))


class WholeOptions:
    """``read`` asks the server for the tokens of a prompt by the body of a request."""

    def __init__(self, url: str, read: Callable[[dict[str, Any]], Prompt | Exception]) -> None:
        self._url, self._ask = url, read
        self._lock = threading.Lock()
        # By whether the chat holds images, as some servers fail there: how turns are closed, or
        # why the server cannot be used.
        self._closings: dict[bool, Prompt | str] = {}

    def score(self, request: Score, body: Mapping[str, Any]) -> str | Exception:
        """The answer to ``request``, whose question is asked by ``body``.

        The question is read once for all its options, and each option once."""
        try:
            closing = self._closing(bool(request.images), body)
            question = self._read(asking(body))
            options = [
                _option(forms[0], question, self._read(asking(body, forms[0])), closing)
                for forms in request.options
            ]
        except (Unscorable, EndpointError, UserError) as error:
            return error
        return Whole(tuple(own for own, _ in options), tuple(end for _, end in options)).written()

    def _closing(self, images: bool, body: Mapping[str, Any]) -> Prompt:
        """What the template puts behind a turn; asked for once. Raises UserError for a server that
        gives no log-probabilities of prompts."""
        with self._lock:
            if images not in self._closings:
                self._closings[images] = self._asked_closing(images, body)
            found = self._closings[images]
        if isinstance(found, str):
            way = "serve the model with a newer vLLM, or give it as vlm:PATH"
            raise UserError(f"{self._url} {found}: {way}")
        return found

    def _asked_closing(self, images: bool, body: Mapping[str, Any]) -> Prompt | str:
        refused = (
            "gives no log-probabilities of a prompt's tokens"
            f"{' for chats with images' if images else ''}, which scores of whole options need"
        )
        try:
            opened = self._answered(asking(body, SAMPLE, closed=False))
        except EndpointError as error:
            if OUR_FIELDS.search(str(error)):
                return f"{refused} ({error})"
            raise
        if not opened:
            return f"{refused} (OpenAI's own API gives those of generated tokens only)"
        closed = self._read(asking(body, SAMPLE))
        if not _begins(closed, opened):
            return (
                "does not leave the model's own turn open (continue_final_message), so its end "
                "cannot be told from an option"
            )
        return closed[len(opened) :]

    def _read(self, body: dict[str, Any]) -> Prompt:
        if found := self._answered(body):
            return found
        raise EndpointError("no log-probabilities of the prompt's tokens in this reply")

    def _answered(self, body: dict[str, Any]) -> Prompt:
        found = self._ask(body)
        if isinstance(found, Exception):
            raise found
        return found


def _option(
    option: str, question: Prompt, closed: Prompt, closing: Prompt
) -> tuple[tuple[float, ...], float | None]:
    """Log-probabilities of the option's tokens and of the end of the turn, None where the template
    closes it with another token than one of control.

    Raises Unscorable where the tokens between question and end do not spell the option."""
    stop = len(closed) - len(closing)
    own, rest = closed[len(question) : stop], closed[stop:]
    apart = _begins(closed, question) and _begins(rest, closing)
    if not apart or not _spells(own, option):
        raise Unscorable(
            f"the option {option!r} cannot be told from the rest of the prompt: between the "
            f"question and the end of the turn stands {''.join(t.text for t in own)[:80]!r}"
        )
    end = rest[0].logprob if rest and CONTROL.fullmatch(rest[0].text.strip()) else None
    return tuple(token.logprob for token in own), end


def _begins(prompt: Prompt, start: Prompt) -> bool:
    return [token.id for token in prompt[: len(start)]] == [token.id for token in start]


def _spells(tokens: Prompt, text: str) -> bool:
    """Whether the tokens say ``text``. Decoded one by one, some lose their space, and a part of a
    letter is a replacement mark."""
    said = "".join("".join(token.text for token in tokens).split())
    pattern = ".+".join(re.escape(part) for part in re.split("\ufffd+", said))
    return bool(said) and re.fullmatch(pattern, "".join(text.split()), re.DOTALL) is not None
