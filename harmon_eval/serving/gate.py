"""What a request must pass before it is read: its token, its size, and time to arrive."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from harmon_eval.serving.service import Limits
from harmon_eval.serving.statistics import Statistics

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

OPEN = ("/health",)  # for those who only ask whether it is there
# So much of a body that is too long is read away, as its sender reads the answer only then.
DRAINED = 4  # times the limit
AT_LEAST = 2**26


class Refused(Exception):
    def __init__(self, status: int, detail: str, **headers: str) -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class Gate:
    """Around an ASGI application, which gets each body whole."""

    def __init__(self, app: App, limits: Limits, token: str, statistics: Statistics) -> None:
        self.app, self.limits, self.token, self.statistics = app, limits, token, statistics
        self.drained = max(DRAINED * limits.body, AT_LEAST)
        self.held = 0  # bytes of the bodies that are here
        self.closing = asyncio.Event()  # the server stops: it waits for no body that is not here

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        known = {"/score", "/compute", "/mark", "/rewards", "/health", "/metrics", "/"}
        path = scope["path"] if scope["path"] in known else "other"

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.statistics.request(path, message["status"])
            await send(message)

        held = _Held(self)
        try:
            headers = {name.lower(): value for name, value in scope["headers"]}
            self._check_token(scope["path"], headers)
            if headers.get(b"content-encoding", b"identity").lower() != b"identity":
                raise Refused(415, "send the body as it is, without Content-Encoding")
            held.set(self._announced(headers))
            body = await self._body(receive, held)
            await self.app(scope, _again(body, receive), counted)
        except Refused as refusal:
            await _answer(counted, refusal)
        finally:
            held.set(0)

    def _check_token(self, path: str, headers: dict[bytes, bytes]) -> None:
        if not self.token or path in OPEN:
            return
        given = headers.get(b"authorization", b"")
        scheme, _, token = given.partition(b" ")
        sound = hmac.compare_digest(token.strip(), self.token.encode())
        if scheme.lower() != b"bearer" or not sound:
            raise Refused(
                401, "send the header Authorization: Bearer TOKEN", www_authenticate="Bearer"
            )

    def _announced(self, headers: dict[bytes, bytes]) -> int:
        """Bytes that the body will have, by its header; 0 where it does not say."""
        given = headers.get(b"content-length", b"0")
        size = int(given) if given.isdigit() else 0
        if size > self.drained:
            raise self._too_long(size)
        return min(size, self.limits.body)

    async def _body(self, receive: Receive, held: _Held) -> bytes:
        parts: list[bytes] = []
        size = 0
        closing: asyncio.Future[Any] = asyncio.ensure_future(self.closing.wait())
        try:
            async with asyncio.timeout(self.limits.timeout):
                more = True
                while more:
                    message = await _first(receive, closing)
                    if message["type"] == "http.disconnect":
                        raise Refused(400, "the client left before its body was here")
                    part = message.get("body", b"")
                    size += len(part)
                    more = message.get("more_body", False)
                    if size > self.drained:
                        raise self._too_long(size)
                    if size > self.limits.body:
                        parts = []  # what is too long is only read away
                    else:
                        parts.append(part)
                        held.set(max(held.size, size))
        except TimeoutError:
            seconds = f"{self.limits.timeout:g} s"
            raise Refused(408, f"the body did not arrive within {seconds}") from None
        finally:
            closing.cancel()
        if size > self.limits.body:
            raise self._too_long(size)
        return b"".join(parts)

    def _too_long(self, size: int) -> Refused:
        most = self.limits.body / 2**20
        return Refused(
            413,
            f"a body of {size / 2**20:.1f} MiB: at most {most:g} MiB are read (--max-body); send "
            "fewer images in a request",
            connection="close",
        )


class _Held:
    """How much of one request is held. Raises Refused where all together hold too much."""

    def __init__(self, gate: Gate) -> None:
        self.gate, self.size = gate, 0

    def set(self, size: int) -> None:
        if size > self.size and self.gate.held + size - self.size > self.gate.limits.held:
            raise Refused(503, "too many requests at once: try again", retry_after="1")
        self.gate.held += size - self.size
        self.size = size


async def _first(receive: Receive, closing: asyncio.Future[Any]) -> Message:
    """The next part of a body. Raises Refused when the server stops before it is here."""
    coming = asyncio.ensure_future(receive())
    try:
        await asyncio.wait((coming, closing), return_when=asyncio.FIRST_COMPLETED)
        if not coming.done():
            raise Refused(503, "the server stops", connection="close")
        return await coming
    finally:
        coming.cancel()


def _again(body: bytes, receive: Receive) -> Receive:
    """What gives a body that was read, and then what comes after it."""
    given = False

    async def message() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return message


async def _answer(send: Send, refusal: Refused) -> None:
    content = json.dumps({"detail": refusal.detail}).encode()
    headers = {"content-type": "application/json", "content-length": str(len(content))}
    pairs = [(k.encode(), v.encode()) for k, v in (headers | refusal.headers).items()]
    await send({"type": "http.response.start", "status": refusal.status, "headers": pairs})
    await send({"type": "http.response.body", "body": content})
