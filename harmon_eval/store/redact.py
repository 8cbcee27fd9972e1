"""Keys and tokens never reach a file or a terminal.

Three nets: what stands in an environment variable with a key's name, what has the form of a known
key (``FORMS``) or is given under a key's name, and for free fields of a request a list of those
that are written (``shown``); all others are hashed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar, cast

T = TypeVar("T")
HIDDEN = "[hidden]"
# A name with one of these words is a key's: AWS_ACCESS_KEY_ID, x-api-key, AccountKey. "tokens" is
# none: it counts what a model reads and writes.
SECRET_WORDS = {
    *("key", "apikey", "token", "secret", "password", "passwd", "passphrase", "pwd"),
    *("credential", "credentials", "authorization", "auth", "bearer", "cookie", "signature"),
    *("sig", "sas", "pat", "jwt", "dsn"),
}
FORMS = re.compile(
    "|".join(
        (
            r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----[^-]*(?:-----END [A-Z ]{0,30}KEY-----)?",
            r"(?<=[Bb]earer )[\w.~+/=-]{8,}",
            r"(?<=Basic )(?=[A-Za-z+/]*[0-9A-Z])[A-Za-z0-9+/]{8,}={0,2}",
            r"(?<=://)[^/\s@\"']+(?=@)",  # user and password, or a token alone
            r"(?<=hooks\.slack\.com/services/)[\w/]{8,}",
            r"\b(?:sk|pk|rk)[-_][\w-]{12,}",  # OpenAI, Anthropic, OpenRouter, Stripe
            r"\b(?:hf|api_org|gh[opsur]|github_pat|npm|gsk|r8|fw|dop_v1|lin_api|ntn|whsec)_\w{12,}",
            r"\b(?:dckr_pat|wandb_v\d|lsv2_(?:pt|sk)|tgp_v\d|sbp|shp(?:at|ss|ca|pa))_[\w-]{12,}",
            r"\b(?:gl[a-z]{2,5}|pypi|xox[a-z]|xapp|nvapi|xai|pplx|tvly|csk|GOCSPX)-[\w.-]{10,}",
            r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{12,}\b",
            r"\bAIza[\w-]{20,}",
            r"\b(?:ya29|SG|hvs|hvb)\.[\w.-]{12,}",
            r"\b(?:ATATT|ATCTT)[\w=-]{16,}",
            r"\bdapi[0-9a-f]{16,}\b",
            r"\b\d{8,10}:AA[\w-]{30,}",  # Telegram
            r"\beyJ[\w-]{8,}\.[\w-]{4,}(?:\.[\w-]*)?",  # JSON web tokens
        )
    )
)
# NAME=value, "name": "value", ?name=value
GIVEN = re.compile(
    r"(?<![\w-])([\w-]{2,80})([\"']?\s{0,3}[=:]\s{0,3}[\"']?)((?!//)[^\s\"'&?,;{}\[\]]{6,})"
)
# "Incorrect API key provided: 1a2b3c...", as servers say it
SAID = re.compile(
    r"((?:api[ _-]?key|token|secret|password)s?\W{1,3}(?:provided|is|was|given)?\W{0,3})"
    r"(?=[A-Za-z_*.-]{0,60}\d)([\w*+/=.-]{12,})",
    re.IGNORECASE,
)
# Fields of a request that are known, and none of them a key's.
WRITTEN = {
    *("temperature", "top_p", "top_k", "min_p", "typical_p", "seed", "n", "stop", "stop_token_ids"),
    *("max_tokens", "max_completion_tokens", "max_new_tokens", "min_tokens", "thinking_budget"),
    *("presence_penalty", "frequency_penalty", "repetition_penalty", "length_penalty"),
    *("reasoning", "reasoning_effort", "reasoning_format", "thinking", "enable_thinking"),
    *("chat_template_kwargs", "include_reasoning", "separate_reasoning", "verbosity"),
    *("response_format", "guided_json", "guided_regex", "guided_choice", "structured_outputs"),
    *("logprobs", "top_logprobs", "logit_bias", "ignore_eos", "skip_special_tokens"),
    *("do_sample", "use_beam_search", "best_of", "mm_processor_kwargs", "modalities", "detail"),
    *("service_tier", "stream", "stream_options", "store", "truncation", "model", "type"),
}


def redacted(value: T) -> T:
    """Text, or a tree of JSON values, without what looks like a key (see above)."""
    return cast(T, _hidden(value, _secrets()))


@lru_cache(maxsize=4096)  # the same few names, for every text that is written
def is_secret_name(name: str) -> bool:
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)
    lowered = [word.lower() for word in words]
    return lowered[-1:] != ["error"] and any(word in SECRET_WORDS for word in lowered)


def shown(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a request as they are written: known ones, numbers and switches as they are; of
    any other, whose content nobody here knows, a hash, so that another value is another setting."""
    found: dict[str, Any] = {}
    for name, value in fields.items():
        if name in WRITTEN or value is None or isinstance(value, int | float):
            found[name] = redacted(value)
        elif is_secret_name(name) or (isinstance(value, str) and value.startswith("[hidden")):
            found[name] = value if str(value).startswith("[hidden") else HIDDEN
        else:
            digest = hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
            found[name] = f"[hidden sha256:{digest[:12]}]"
    return found


def plain(text: str) -> str:
    """Text for a terminal: without keys, and without control characters that would act there."""
    return _one_line(redacted(text))


def _one_line(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)


def _hidden(value: Any, secrets: Sequence[str]) -> Any:
    if isinstance(value, str):
        return _hidden_text(value, secrets)
    if isinstance(value, dict):
        found: dict[Any, Any] = {}
        for name, inside in value.items():
            own = _hidden(name, secrets)
            secret = isinstance(inside, str) and isinstance(name, str) and is_secret_name(name)
            new = HIDDEN if secret else _hidden(inside, secrets)
            # Two reasons that differ in a key only are one reason, counted together.
            both = isinstance(found.get(own), int) and isinstance(new, int)
            found[own] = found[own] + new if both else new
        return found
    return [_hidden(item, secrets) for item in value] if isinstance(value, list) else value


def _hidden_text(text: str, secrets: Sequence[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    text = FORMS.sub(HIDDEN, text)
    text = GIVEN.sub(_value_hidden, text)
    return SAID.sub(lambda said: said[1] + HIDDEN, text)


def _value_hidden(given: re.Match[str]) -> str:
    name, between, value = given.groups()
    # A lone "key" before a colon is a word of a sentence more often than a name.
    named = is_secret_name(name) and (name.lower() != "key" or "=" in between)
    if not named or value in ("Bearer", "Basic", "bearer", "hidden"):
        return given[0]
    return f"{name}{between}{HIDDEN}"


def _secrets() -> list[str]:
    """Values of environment variables with a key's name; a path to one is no key."""
    named = (v for name, v in os.environ.items() if is_secret_name(name) or name.endswith("PASS"))
    found = {v for v in named if len(v) >= 8 and not (v.startswith("/") and os.path.exists(v))}
    return sorted(found, key=len, reverse=True)


def printable(text: object) -> str:
    """Text from prompts, models or files without control characters, markup or keys."""
    return all_printable([text])[0]


def all_printable(texts: Iterable[object]) -> list[str]:
    """``printable`` of each, for many at once: the environment is read once."""
    from rich.markup import escape  # the first line of a command comes before it is loaded

    cleaned = map(_one_line, redacted([str(text) for text in texts]))
    return [escape(text if len(text) <= 1000 else text[:1000] + " ...") for text in cleaned]
