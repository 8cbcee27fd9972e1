"""Any OpenAI-compatible endpoint (OpenAI, vLLM, SGLang, llama.cpp ...): ``openai:MODEL@URL``.

A model under test that answers questions, draws and edits, and the usual judge. The key is read
from the environment, is sent in the header of a request, and stands nowhere else.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

from PIL import Image

from harmon_eval.adapters._completions import ErrorBody, NoCompletion, read_reply
from harmon_eval.adapters._endpoint import (
    KEY,
    Connection,
    EndpointError,
    Patience,
    Received,
    Transient,
)
from harmon_eval.adapters._first_tokens import asking, read_first
from harmon_eval.adapters._image_endpoint import (
    EDIT,
    GENERATE,
    OF_CHATS,
    ImageSettings,
    as_form,
    data_url,
    read_image,
    uploads,
)
from harmon_eval.adapters._retrying import RETRIED, Failures, retry_after
from harmon_eval.adapters._whole_options import Prompt, WholeOptions, read_prompt
from harmon_eval.core import Ask, Draw, Edit, Reply, Responder, Score, Unscorable, UserError
from harmon_eval.settings import check_range
from harmon_eval.store.redact import shown

R = TypeVar("R")
T = TypeVar("T")
DEFAULT_URL = "https://api.openai.com/v1"
REFUSED = frozenset({401, 402, 403, 404})
# Fields that the adapter itself fills in, or that would give another kind of answer.
OWN_FIELDS = ("model", "messages", "stream", "n", "tools", "functions")
LARGEST = 2**26  # bytes of a reply that may hold an image


class OpenAIResponder(Responder):
    """Answers by ``POST URL/chat/completions``, a bounded number of requests at a time.

    ``body`` holds further fields of the request (None leaves a field out); ``settings`` are those
    as they are written, ``fields`` as they are sent. ``text_first`` puts the
    question before the images, as judges' protocols do. ``option`` is how people give a field, for
    messages."""

    def __init__(
        self,
        url: str,
        model: str,
        *,
        keys: Sequence[str] = (KEY,),
        temperature: float | None = 0.0,
        body: Mapping[str, Any] | None = None,
        text_first: bool = False,
        patience: Patience | None = None,
        images: ImageSettings | None = None,
        option: str = "?body={}",
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Raises UserError for a URL that cannot be one, and for fields that are not to be set."""
        if own := [name for name in OWN_FIELDS if name in (body or {})]:
            raise UserError(f"the field {own[0]!r} of the request is not to be set: leave it out")
        self.name = model
        self.fields = {"temperature": temperature, **(body or {})}
        self.image_settings = images or ImageSettings()
        self.settings = {**shown(self.fields), **self.image_settings.given()}
        self.text_first, self.option = text_first, option
        self.patience = patience or Patience()
        self._key = next((os.environ[name] for name in keys if os.environ.get(name)), "")
        self._keys = " or ".join(keys)
        self._sleep = sleep
        self._lock = threading.Lock()
        self._resume = 0.0
        self._failures = Failures()
        if not self._key.isascii() or not self._key.isprintable():
            raise UserError(f"the key in {self._keys} holds characters no key has")
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        self._connection = Connection(url, headers, self.patience)
        self.url = self._connection.url
        self._whole_options = WholeOptions(self.url, self._prompt)
        # Another server may serve other weights under the same name.
        self.fingerprint = f"served at {self.url}"

    def reach(self) -> None:
        self._connection.reach()

    def ask(self, requests: Sequence[Ask]) -> list[str | Exception]:
        """Replies in order, with an exception where one failed.

        Raises UserError where nothing was answered because nothing could be."""
        return self._all(requests, self._reply)

    def draw(self, requests: Sequence[Draw]) -> list[Image.Image | Exception]:
        """As ``ask``, by ``POST URL/images/generations``."""
        return self._all(requests, self._drawn)

    def edit(self, requests: Sequence[Edit]) -> list[Image.Image | Exception]:
        """As ``ask``, by ``POST URL/images/edits``, a form with the source images and the mask."""
        return self._all(requests, self._edited)

    def score(self, requests: Sequence[Score]) -> list[str | Exception]:
        """As ``ask``, from the listed log-probabilities of a reply's first token, or from those of
        the prompt's tokens where whole options are scored and the server gives them (vLLM)."""
        return self._all(requests, self._scored)

    def _scored(self, request: Score) -> str | Exception:
        if self._failures.uniform():
            return EndpointError(self._failures.said)
        asked = Ask(request.question, request.images, seed=request.seed, system=request.system)
        try:
            body = self._body(asked)
        except Unscorable as error:
            return error
        if request.kind == "whole":
            reply = self._whole_options.score(request, body)
        else:
            reply = self._sent(asking(body), partial(read_first, options=request.options))
        self._failures.note(reply)
        return reply

    def _prompt(self, body: dict[str, Any]) -> Prompt | Exception:
        return self._sent(body, read_prompt)

    def _sent(self, body: dict[str, Any], read: Callable[[bytes], T]) -> T | Exception:
        """What ``read`` makes of the chat completion."""
        return self._attempts(
            lambda: self._read(self._connection.post("/chat/completions", body), read)
        )

    def _all(
        self, requests: Sequence[R], answer: Callable[[R], T | Exception]
    ) -> list[T | Exception]:
        workers = max(1, min(self.patience.concurrency, len(requests)))
        with ThreadPoolExecutor(workers) as pool:
            replies = list(pool.map(answer, requests))
        if not all(isinstance(reply, Exception) for reply in replies):
            return replies
        for reply in replies:
            if isinstance(reply, UserError):
                raise reply
        if said := self._failures.uniform(len(replies)):
            raise UserError(self._refuses(said))
        return replies

    def _drawn(self, request: Draw) -> Image.Image | Exception:
        body = self._image_fields(request.prompt, request.seed)
        return self._image(lambda: self._connection.post(GENERATE, body))

    def _edited(self, request: Edit) -> Image.Image | Exception:
        try:
            files = uploads(request)
        except Unscorable as error:
            return error
        fields = as_form(self._image_fields(request.instruction, request.seed))
        return self._image(lambda: self._connection.post_form(EDIT, fields, files))

    def _image(self, send: Callable[[], Received]) -> Image.Image | Exception:
        if self._failures.uniform():
            return EndpointError(self._failures.said)
        image = self._attempts(lambda: self._read(send(), self._picture))
        self._failures.note(image)
        return image

    def _picture(self, content: bytes) -> Image.Image:
        return read_image(content, self._fetched)

    def _fetched(self, url: str) -> bytes:
        """The file at a URL that a reply names. Raises Transient and EndpointError."""
        received = self._connection.fetch(url, self.image_settings.any_host)
        if received.status == 200:
            return received.content
        named = f"HTTP {received.status} for the image of the reply"
        raise (Transient if received.status in RETRIED else EndpointError)(named)

    def _image_fields(self, prompt: str, seed: int) -> dict[str, Any]:
        own = self.image_settings
        fields: dict[str, Any] = {
            **{"model": self.name, "prompt": prompt, "n": 1, "size": own.size},
            "response_format": own.response_format,
            "seed": seed & (2**31 - 1) if own.send_seed else None,
            **{name: value for name, value in self.fields.items() if name not in OF_CHATS},
        }
        return {name: value for name, value in fields.items() if value is not None}

    def _refuses(self, said: str) -> str:
        if said.startswith("HTTP 4"):
            way = f"set the fields of the request with {self.option}"
        else:
            way = "mend the server; what was answered is kept"
        return f"{self.url} answers none of the requests to {self.name!r}: {said}; {way}"

    def _reply(self, request: Ask) -> str | Exception:
        if self._failures.uniform():  # of this batch too, no more are sent
            return EndpointError(self._failures.said)
        try:
            body = self._body(request)
        except Unscorable as error:
            return error
        reply = self._sent(body, read_reply)
        self._failures.note(reply)
        if isinstance(reply, Reply) and reply.cut:
            name = "max_completion_tokens" if "max_completion_tokens" in body else "max_tokens"
            limit = f" of {body[name]} tokens" if name in body else ""
            reply.flaw = (
                f"the reply was cut at the token limit{limit}: allow more, {name} in {self.option}"
            )
        return reply

    def _attempts(self, send: Callable[[], T]) -> T | Exception:
        problem = Transient("")
        begun = time.monotonic()
        for attempt in range(self.patience.attempts):
            if attempt:
                if time.monotonic() - begun > self.patience.total:
                    return EndpointError(f"{problem}, given up after {self.patience.total:.0f} s")
                self._sleep(self._pause(problem, attempt))
            elif (left := self._resume - time.monotonic()) > 0:
                self._sleep(left)
            try:
                return send()
            except Transient as error:
                problem = error
            except (EndpointError, UserError) as error:
                return error
            if (problem.wait or 0) > self.patience.longest_wait:
                return EndpointError(f"{problem}; it asks to wait for {problem.wait:.0f} s")
        reason = f"{problem}, after {self.patience.attempts} attempts"
        if not problem.reached:
            return UserError(self._connection.unreachable(reason))
        return EndpointError(reason)

    def _pause(self, problem: Transient, attempt: int) -> float:
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
        body = {"model": self.name, "messages": messages, "max_tokens": request.max_new_tokens}
        if self.fields.get("max_completion_tokens") is not None:
            del body["max_tokens"]  # the newer name of the same limit: no server takes both
        body |= self.fields
        if body.get("temperature"):
            body.setdefault("seed", request.seed & (2**31 - 1))
        return {name: value for name, value in body.items() if value is not None}

    def _read(self, received: Received, read: Callable[[bytes], T]) -> T:
        """Raises Transient, EndpointError, or UserError for what no request could change."""
        status, said = received.status, self._said(received.content)
        try:
            if status == 200:
                return read(received.content)
        except ErrorBody as error:
            # What HTTP calls a success is an error by its own words.
            status, said = error.status, self._said(str(error).encode())
        except NoCompletion as error:
            if not error.again:
                raise EndpointError(f"{error} ({said})") from None
            raise Transient(str(error)) from None
        named = f"HTTP {status} ({said})" if status else f"an error in its reply ({said})"
        if status in REFUSED or "insufficient_quota" in said:
            raise UserError(
                f"{self.url} refuses {self.name!r} with {named}: check the key in "
                f"{self._keys} and the names of URL and model"
            )
        if status in RETRIED:
            raise Transient(named, retry_after(received.headers))
        raise EndpointError(named)

    def _said(self, content: bytes) -> str:
        """The beginning of an error's text in one line, without the key."""
        text = " ".join(content[:2000].decode(errors="replace").split())
        return (text.replace(self._key, "...") if self._key else text)[:200]


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
    """Fields of each request, and how long its reply is waited for.

    ``temperature`` 0 is greedy, ``none`` leaves it out. ``max_tokens`` or its newer name
    ``max_completion_tokens`` stand in for the benchmark's own limit, for models that think first.
    ``enable_thinking`` is the switch of chat templates (vLLM, SGLang). ``body``: any further
    fields, as JSON; null leaves one out. ``timeout``: seconds for one reply.

    For images: ``size`` such as 1024x1024, ``response_format``, ``send_seed`` (the endpoint must
    know the field ``seed``) and ``any_host``, which lets URLs in replies lead to other hosts."""

    REFUSES: ClassVar[str] = "the server sets it"

    temperature: float | None = 0.0
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    enable_thinking: bool | None = None
    body: Mapping[str, Any] = field(default_factory=dict)
    timeout: float = 300.0
    size: str | None = None
    response_format: Literal["b64_json", "url"] | None = None
    send_seed: bool = False
    any_host: bool = False

    def __post_init__(self) -> None:
        check_range("temperature", self.temperature, 0)
        check_range("max_tokens", self.max_tokens, 1)
        check_range("max_completion_tokens", self.max_completion_tokens, 1)
        check_range("timeout", self.timeout, 1, 86_400)
        if self.max_tokens and self.max_completion_tokens:
            raise ValueError("max_tokens and max_completion_tokens are one limit: give one of them")
        given = [name for name in self.fields() if name in self.body]
        if given:
            raise ValueError(f"{given[0]} is given twice, by itself and in body: give it once")

    def fields(self) -> dict[str, Any]:
        """What was given beside ``body``, as fields of the request."""
        found: dict[str, Any] = {
            "max_tokens": self.max_tokens,
            "max_completion_tokens": self.max_completion_tokens,
        }
        if self.enable_thinking is not None:
            found["chat_template_kwargs"] = {"enable_thinking": self.enable_thinking}
        return {name: value for name, value in found.items() if value is not None}


def open_model(argument: str, settings: Settings) -> OpenAIResponder:
    """``openai:MODEL`` or ``openai:MODEL@URL``. Raises UserError."""
    url, model = place(argument)
    return OpenAIResponder(
        url,
        model,
        temperature=settings.temperature,
        body={**settings.fields(), **settings.body},
        patience=Patience(timeout=settings.timeout, largest=LARGEST),
        images=ImageSettings(
            settings.size, settings.response_format, settings.send_seed, settings.any_host
        ),
        option=f"--model 'openai:{model}@{url}?max_completion_tokens=N&temperature=none&body=JSON'",
    )
