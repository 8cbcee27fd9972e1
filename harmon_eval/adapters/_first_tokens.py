"""Probabilities of a reply's first token, as chat completions list them (``top_logprobs``)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from harmon_eval.adapters._completions import NoCompletion, raise_error
from harmon_eval.replies.probabilities import LISTED, First

FIELDS = {"logprobs": True, "top_logprobs": LISTED, "max_tokens": 1}


def asking(body: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a request for one token and its alternatives."""
    own = {k: v for k, v in body.items() if k not in ("max_tokens", "max_completion_tokens")}
    if "max_completion_tokens" in body:
        fields = {name: value for name, value in FIELDS.items() if name != "max_tokens"}
        return {**own, **fields, "max_completion_tokens": 1}
    return {**own, **FIELDS}


def read_first(content: bytes, options: Sequence[Sequence[str]]) -> str:
    """The answer to a ``Score`` request of kind "first": masses are lower ends, as only the
    likeliest tokens are listed.

    Raises ErrorBody, or NoCompletion for a reply without log-probabilities."""
    try:
        answer = json.loads(content)
        raise_error(answer)
        choice = answer["choices"][0]
        listed = ((choice.get("logprobs") or {}).get("content") or [{}])[0].get("top_logprobs")
        if not listed:
            raise NoCompletion("the endpoint gives no log-probabilities of first tokens", False)
        found = [(_text(entry), math.exp(min(0.0, float(entry["logprob"])))) for entry in listed]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise NoCompletion(f"no list of first tokens ({type(error).__name__}: {error})") from None
    seen = min(1.0, math.fsum(p for _, p in found))
    masses = [math.fsum(p for text, p in found if text in own) for own in options]
    # In the order of the list, as the published rules read it.
    best = max(found, key=lambda pair: pair[1])[0]
    return First(tuple(min(1.0, mass) for mass in masses), seen, best, tuple(found)).written()


def _text(entry: Mapping[str, Any]) -> str:
    """The text of a token, by its bytes where they are given: some servers mark spaces."""
    given = entry.get("bytes")
    if isinstance(given, list):
        return bytes(given).decode(errors="replace")
    return str(entry["token"])
