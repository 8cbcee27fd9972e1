"""Any OpenAI-compatible endpoint (OpenAI, vLLM, SGLang, llama.cpp ...): ``openai:MODEL@URL``.

A model under test that answers questions, and the usual judge. The key is read from the
environment, is sent in the header of a request, and stands nowhere else.
"""

from __future__ import annotations

import base64
import json
import os
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import httpx2

from harmon_eval.core import Ask, Reply, Responder, Unscorable, UserError
from harmon_eval.files.images import open_image, plain, upright
from harmon_eval.settings import check_range

DEFAULT_URL = "https://api.openai.com/v1"
KEY = "OPENAI_API_KEY"
# Worth another attempt; anything else would only fail again.
RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
REFUSED = frozenset({401, 402, 403, 404})
SENT_AS_THEY_ARE = ("PNG", "JPEG", "GIF", "WEBP")


class EndpointError(RuntimeError):
    """This one request got no answer; others may."""


class _Transient(Exception):
    """Try again; ``wait`` seconds if the endpoint says so."""

    def __init__(self, reason: str, wait: float | None = None, reached: bool = True) -> None:
        super().__init__(reason)
        self.wait, self.reached = wait, reached


@dataclass(frozen=True)
class Patience:
    """``timeout`` of a request and ``backoff`` before the second attempt (it doubles), in seconds.

    An endpoint that asks for more than ``longest_wait`` seconds is not waited for."""

    attempts: int = 5
    timeout: float = 300.0
    backoff: float = 1.0
    longest_wait: float = 600.0
    concurrency: int = 8


class OpenAIResponder(Responder):
    """Answers by ``POST URL/chat/completions``, a bounded number of requests at a time.

    ``body`` holds further fields of the request (None leaves a field out). ``text_first`` puts the
    question before the images, as judges' protocols do."""

    fingerprint = "served"

    def __init__(
        self,
        url: str,
        model: str,
        *,
        keys: Sequence[str] = (KEY,),
        temperature: float = 0.0,
        body: Mapping[str, Any] | None = None,
        text_first: bool = False,
        patience: Patience | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Raises UserError for a URL that cannot be one."""
        self.url = checked_url(url)
        self.name = model
        self.settings = {"temperature": temperature, **(body or {})}
        self.text_first = text_first
        self.patience = patience or Patience()
        self._key = next((os.environ[name] for name in keys if os.environ.get(name)), "")
        self._keys = " or ".join(keys)
        self._sleep = sleep
        self._lock = threading.Lock()
        self._resume = 0.0
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        limits = httpx2.Limits(max_connections=self.patience.concurrency)
        try:
            self._client = httpx2.Client(
                headers=headers, timeout=self.patience.timeout, limits=limits
            )
        except UnicodeEncodeError:
            raise UserError(f"the key in {self._keys} holds characters no key has") from None

    def ask(self, requests: Sequence[Ask]) -> list[str | Exception]:
        """Replies in order, with an exception where one failed.

        Raises UserError where nothing was answered because nothing could be."""
        workers = max(1, min(self.patience.concurrency, len(requests)))
        with ThreadPoolExecutor(workers) as pool:
            replies = list(pool.map(self._reply, requests))
        failures = [reply for reply in replies if isinstance(reply, Exception)]
        if len(failures) == len(replies):
            for failure in failures:
                if isinstance(failure, UserError):
                    raise failure
        return replies

    def _reply(self, request: Ask) -> str | Exception:
        try:
            body = self._body(request)
        except Unscorable as error:
            return error
        problem = _Transient("")
        for attempt in range(self.patience.attempts):
            if attempt:
                self._sleep(self._pause(problem, attempt))
            elif (left := self._resume - time.monotonic()) > 0:
                self._sleep(left)
            try:
                return self._post(body)
            except _Transient as error:
                problem = error
            except (EndpointError, UserError) as error:
                return error
            if (problem.wait or 0) > self.patience.longest_wait:
                return EndpointError(f"{problem}; it asks to wait for {problem.wait:.0f} s")
        reason = f"{problem}, after {self.patience.attempts} attempts"
        if not problem.reached:
            return UserError(f"cannot reach {self.url} ({reason}): start it or mend the URL")
        return EndpointError(reason)

    def _pause(self, problem: _Transient, attempt: int) -> float:
        """Seconds until the next attempt; what the endpoint asks for holds for new requests too."""
        if problem.wait is None:
            return self.patience.backoff * 2.0 ** (attempt - 1) * random.uniform(0.75, 1.25)
        with self._lock:
            self._resume = max(self._resume, time.monotonic() + problem.wait)
        return problem.wait

    def _body(self, request: Ask) -> dict[str, Any]:
        """Raises Unscorable for an image that cannot be read."""
        texts_first: list[str | Path] = [request.question, *request.images]
        content: list[dict[str, Any]] = [
            {"type": "text", "text": part}
            if isinstance(part, str)
            else {"type": "image_url", "image_url": {"url": data_url(part)}}
            for part in (texts_first if self.text_first else request.parts())
        ]
        messages = [{"role": "user", "content": content}]
        if request.system:
            system = [{"type": "text", "text": request.system}]
            messages.insert(0, {"role": "system", "content": system})
        body = {
            "model": self.name,
            "messages": messages,
            "max_tokens": request.max_new_tokens,
            **self.settings,
        }
        if body.get("temperature"):
            body.setdefault("seed", request.seed & (2**31 - 1))
        return {name: value for name, value in body.items() if value is not None}

    def _post(self, body: Mapping[str, Any]) -> Reply:
        try:
            response = self._client.post(f"{self.url}/chat/completions", json=body)
        except httpx2.ConnectError as error:
            raise _Transient(f"{type(error).__name__}: {error}", reached=False) from None
        except httpx2.RequestError as error:
            raise _Transient(f"{type(error).__name__}: {error}") from None
        status = response.status_code
        if status == 200:
            return read_reply(response.content)
        said = self._said(response.content)
        if status in REFUSED or "insufficient_quota" in said:
            raise UserError(
                f"{self.url} refuses {self.name!r} with HTTP {status} ({said}): check the key in "
                f"{self._keys} and the names of URL and model"
            )
        if status in RETRIED:
            raise _Transient(f"HTTP {status} ({said})", retry_after(response.headers))
        raise EndpointError(f"HTTP {status} ({said})")

    def _said(self, content: bytes) -> str:
        """The beginning of an error's text in one line, without the key."""
        text = " ".join(content[:2000].decode(errors="replace").split())
        return (text.replace(self._key, "...") if self._key else text)[:200]


def read_reply(content: bytes) -> Reply:
    """The reply in a chat completion. A refusal is a reply too.

    Raises what leads to another attempt for anything else, such as JSON that breaks off."""
    try:
        answer = json.loads(content)
        message = answer["choices"][0]["message"]
        text = message.get("content") or message.get("refusal") or ""
        if isinstance(text, list):
            text = "".join(part.get("text", "") for part in text)
        reply = Reply(text if isinstance(text, str) else json.dumps(text))
        reply.model = str(answer.get("model") or "")
        usage = answer.get("usage") or {}
        reply.tokens_in = int(usage.get("prompt_tokens") or 0)
        reply.tokens_out = int(usage.get("completion_tokens") or 0)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise _Transient(f"no chat completion ({type(error).__name__}: {error})") from None
    return reply


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that ``Retry-After`` asks for, a number or a date; None where it says nothing."""
    value = headers.get("Retry-After", "").strip()
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


def data_url(path: Path) -> str:
    """The image file in a URL, its bytes unchanged where any endpoint can read them.

    Raises Unscorable for what is no sound picture."""
    image = open_image(path)
    if image.format in SENT_AS_THEY_ARE and plain(image):
        data, kind = path.read_bytes(), image.format
    else:
        buffer = BytesIO()
        upright(image).save(buffer, "PNG")
        data, kind = buffer.getvalue(), "PNG"
    return f"data:image/{kind.lower()};base64,{base64.b64encode(data).decode()}"


def checked_url(url: str) -> str:
    """The base of an endpoint, such as ``http://localhost:8000/v1``. Raises UserError."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UserError(f"{url[:80]!r} is no URL: give one such as http://localhost:8000/v1")
    if parts.username or parts.password or parts.query:
        raise UserError(f"a URL must hold no key or password: put it into {KEY}")
    return url.rstrip("/").removesuffix("/chat/completions")


def place(argument: str) -> tuple[str, str]:
    """URL and model of ``MODEL`` or ``MODEL@URL``. Raises UserError where no model is named."""
    model, at, rest = argument.rpartition("@http")
    if not at:
        model, url = argument, os.environ.get("OPENAI_BASE_URL") or DEFAULT_URL
    else:
        url = "http" + rest
    if not model:
        raise UserError(
            "openai: needs a model, such as --model openai:MODEL@http://localhost:8000/v1"
        )
    return url, model


@dataclass(frozen=True)
class Settings:
    """``temperature`` 0 is greedy."""

    REFUSES: ClassVar[str] = "the server sets it"

    temperature: float = 0.0

    def __post_init__(self) -> None:
        check_range("temperature", self.temperature, 0)


def open_model(argument: str, settings: Settings) -> OpenAIResponder:
    """``openai:MODEL`` or ``openai:MODEL@URL``. Raises UserError."""
    url, model = place(argument)
    return OpenAIResponder(url, model, temperature=settings.temperature)
