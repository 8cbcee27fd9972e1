"""What the body of a chat completion says: a reply, why it is none, or an error."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from harmon_eval.core import Reply

# Values of finish_reason, in the words of several servers.
CUT = frozenset(
    {
        *("length", "max_tokens", "max_output_tokens", "max_completion_tokens", "model_length"),
        *("error_limit", "model_context_window_exceeded", "incomplete", "repetition"),
    }
)
HELD_BACK = frozenset(
    {
        *("content_filter", "content_filtered", "safety", "image_safety", "blocklist", "spii"),
        *("prohibited_content", "recitation", "sensitive", "error_toxic", "guardrail_intervened"),
    }
)
REFUSED = frozenset({"refusal"})
BROKEN = frozenset(
    {
        *("error", "abort", "aborted", "canceled", "cancelled", "timeout", "network_error"),
        "insufficient_system_resource",
    }
)


class NoCompletion(Exception):
    """Not the body of a chat completion. ``again``: another attempt may bring one."""

    def __init__(self, reason: str, again: bool = True) -> None:
        super().__init__(reason)
        self.again = again


class ErrorBody(Exception):
    """The body is an error, whatever the HTTP status says; ``status`` is the error's own, or 0."""

    def __init__(self, words: str, status: int = 0) -> None:
        super().__init__(words)
        self.status = status


def read_reply(content: bytes) -> Reply:
    """The reply in a chat completion; one that is no answer says so in its ``flaw``.

    Raises ErrorBody, or NoCompletion, such as for JSON that breaks off."""
    if content.lstrip()[:1] == b"<":
        raise NoCompletion("a web page and no chat completion: does the URL end in /v1?", False)
    try:
        answer = json.loads(content)
        raise_error(answer)
        choice = answer["choices"][0]
        raise_error(choice)
        finish = str(choice.get("finish_reason") or "").lower()
        if finish in BROKEN:
            raise NoCompletion(f"finish_reason {finish!r}")
        message = choice["message"]
        reply = Reply(_text(message.get("content")) or _text(message.get("refusal")))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise NoCompletion(f"no chat completion ({type(error).__name__}: {error})") from None
    reply.model = str(answer.get("model") or "")
    usage = answer.get("usage")
    reply.tokens_in, reply.tokens_out = (
        _count(usage, "prompt_tokens"),
        _count(usage, "completion_tokens"),
    )
    reply.cut = finish in CUT
    reply.flaw = _flaw(reply, finish, message)
    return reply


def _flaw(reply: str, finish: str, message: Mapping[str, Any]) -> str:
    if finish in CUT:
        return "the reply was cut at the token limit"
    if finish in HELD_BACK:
        return f"the endpoint held the reply back (finish_reason {finish!r})"
    if finish in REFUSED or message.get("refusal"):
        return "the model refused to answer, and the endpoint says so"
    if not reply.strip():
        reasoned = message.get("reasoning_content") or message.get("reasoning")
        return "the reply is empty" + (": all that came is reasoning" if reasoned else "")
    return ""


def _text(content: Any) -> str:
    """Text, or the texts of a list of parts; thoughts among the parts are left out."""
    if content is None:
        return ""
    if isinstance(content, list):
        return "".join(
            part if isinstance(part, str) else str(part.get("text") or "")
            for part in content
            if isinstance(part, str) or part.get("type") in (None, "text", "output_text")
        )
    return content if isinstance(content, str) else json.dumps(content)


def _count(usage: Any, name: str) -> int:
    value = usage.get(name) if isinstance(usage, dict) else None
    return value if isinstance(value, int) and 0 <= value < 2**53 else 0


def raise_error(found: Any) -> None:
    """Raises ErrorBody for the forms that servers give an error."""
    if not isinstance(found, dict):
        return
    error = found.get("error")
    if not error and not found.get("choices") and "message" not in found:
        error = found.get("detail")
    if found.get("object") == "error":
        error = found
    if not error:
        return
    about: Mapping[str, Any] = error if isinstance(error, dict) else {"message": error}
    words = about.get("message") or json.dumps(about)
    codes = (str(about.get("code")), str(about.get("status")))
    status = next((int(code) for code in codes if re.fullmatch(r"[1-5]\d\d", code, re.ASCII)), 0)
    code = about.get("code") or about.get("type") or ""
    said = (
        f"{words} ({code})" if isinstance(code, str) and code not in str(words) and code else words
    )
    raise ErrorBody(str(said), status)
