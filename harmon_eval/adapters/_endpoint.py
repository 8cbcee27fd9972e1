"""The connection to an endpoint: its address, proxies, and replies bounded in size and time."""

from __future__ import annotations

import ipaddress
import os
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx2

from harmon_eval.core import UserError

KEY = "OPENAI_API_KEY"
CONNECTING = 5.0  # seconds that a server may take to accept a connection, when looked for


class EndpointError(RuntimeError):
    """This one request got no answer; others may."""


class Transient(Exception):
    """Try again; ``wait`` seconds if the endpoint says so."""

    def __init__(self, reason: str, wait: float | None = None, reached: bool = True) -> None:
        super().__init__(reason)
        self.wait, self.reached = wait, reached


@dataclass(frozen=True)
class Patience:
    """``timeout`` of a request and ``backoff`` before the second attempt (it doubles), in seconds.

    An endpoint that asks for more than ``longest_wait`` seconds is not waited for, and ``total``
    seconds after the first attempt no other begins. A reply of more than ``largest`` bytes is not
    read to its end."""

    attempts: int = 5
    timeout: float = 300.0
    backoff: float = 1.0
    longest_wait: float = 600.0
    total: float = 1200.0
    largest: int = 2**24
    concurrency: int = 8


@dataclass(frozen=True)
class Received:
    status: int
    headers: Mapping[str, str]
    content: bytes


# The name of a form's field, and the file's name, bytes and media type.
Upload = tuple[str, tuple[str, bytes, str]]


class Connection:
    """``POST`` to the addresses below ``url``. Raises UserError where nothing can be sent."""

    def __init__(self, url: str, headers: Mapping[str, str], patience: Patience) -> None:
        self.url, self.patience = checked_url(url), patience
        limits = httpx2.Limits(max_connections=patience.concurrency)
        self._proxy = proxy_for(self.url)
        try:
            own = own_machine(self.url)
            self._client, self._without_key = (
                httpx2.Client(
                    headers=sent, timeout=patience.timeout, limits=limits, trust_env=not own
                )
                for sent in (headers, {})
            )
        except ImportError:
            raise UserError(
                f"{self._proxy or 'the proxy'} is a SOCKS proxy, which needs a package: "
                "pip install socksio, or unset the variable"
            ) from None
        except (ValueError, httpx2.InvalidURL) as error:
            raise UserError(
                f"{self._proxy or 'a proxy in the environment'} cannot be used ({error}): mend or "
                "unset the variable"
            ) from None

    def reach(self) -> None:
        """Raises UserError where nobody listens at the address. No request is sent; what is behind
        a proxy is not looked for."""
        if self._proxy:
            return
        try:
            socket.create_connection(_origin(self.url), CONNECTING).close()
        except OSError as error:
            reason = f"{type(error).__name__}: {error.strerror or error}"
            raise UserError(self.unreachable(reason)) from None

    def post(self, path: str, body: Mapping[str, Any]) -> Received:
        """Raises Transient where no reply came, or it was too long in coming, and EndpointError
        where it is too large."""
        return self._sent("POST", f"{self.url}{path}", json=body)

    def post_form(self, path: str, fields: Mapping[str, str], files: Sequence[Upload]) -> Received:
        """The same as a form with files (multipart/form-data)."""
        return self._sent("POST", f"{self.url}{path}", data=dict(fields), files=list(files))

    def fetch(self, url: str, any_host: bool = False) -> Received:
        """A file that a reply names by its URL; redirects are not followed.

        Raises EndpointError for a URL of another host or port, unless ``any_host`` allows it; that
        gets no key. Raises as ``post`` does."""
        own = _origin(url) == _origin(self.url)
        if not (own or any_host):
            raise EndpointError(
                f"the reply names an image at {urlsplit(url).netloc[:80]!r}, another host than "
                f"{self.url}: allow it with any_host=true, or ask for response_format=b64_json"
            )
        if urlsplit(url).scheme not in ("http", "https"):
            raise EndpointError(f"the reply names an image at {url[:80]!r}, which is no URL")
        return self._sent("GET", url, client=self._client if own else self._without_key)

    def _sent(
        self, method: str, url: str, client: httpx2.Client | None = None, **content: Any
    ) -> Received:
        end = time.monotonic() + self.patience.timeout
        received = bytearray()
        try:
            with (client or self._client).stream(method, url, **content) as response:
                for chunk in response.iter_bytes():
                    received += chunk
                    if len(received) > self.patience.largest:
                        raise EndpointError(
                            f"the reply has more than {self.patience.largest} bytes and is not read"
                        )
                    if time.monotonic() > end:
                        raise Transient(f"Timeout: no end after {self.patience.timeout:g} s")
                return Received(response.status_code, response.headers, bytes(received))
        except httpx2.ConnectError as error:
            raise Transient(self._words(error), reached=False) from None
        except httpx2.RequestError as error:
            raise Transient(self._words(error)) from None
        except (ValueError, httpx2.InvalidURL) as error:
            raise EndpointError(f"{url[:80]!r} cannot be asked ({error})") from None

    def unreachable(self, reason: str) -> str:
        """What to tell people of an endpoint that cannot be reached."""
        if self._proxy:
            host = urlsplit(self.url).hostname
            return (
                f"cannot reach {self.url} through {self._proxy} ({reason}): mend the proxy, or "
                f"put {host} into NO_PROXY"
            )
        asked = f"cannot reach {self.url} ({reason}): start it or mend the URL"
        if own_machine(self.url) and (proxy := proxy_for(self.url, ignore_place=True)):
            asked += f"; {proxy} is not asked for addresses of this machine"
        return asked

    def _words(self, error: Exception) -> str:
        return f"{type(error).__name__}: {error}" + (f", by {self._proxy}" if self._proxy else "")


def _origin(url: str) -> tuple[str, int | None]:
    """Host and port; an impossible one for what is no URL."""
    try:
        parts = urlsplit(url)
        usual = {"http": 80, "https": 443}.get(parts.scheme)
        return (parts.hostname or "").rstrip("."), parts.port or usual
    except ValueError:
        return "", -1


def own_machine(url: str) -> bool:
    """Whether an address is this machine's, which no proxy could reach."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def proxy_for(url: str, ignore_place: bool = False) -> str:
    """The proxy that the environment names for an address, with the variable's name; or nothing."""
    parts = urlsplit(url)
    if not ignore_place and (own_machine(url) or proxy_bypass(parts.hostname or "")):
        return ""
    named = getproxies()
    for scheme in (parts.scheme, "all"):
        if proxy := named.get(scheme):
            lower = f"{scheme}_proxy"
            variable = lower if os.environ.get(lower) else lower.upper()
            _, at, place = proxy.rpartition("@")  # never the password
            place = f"{proxy.partition('://')[0]}://{place}" if at and "://" in proxy else place
            return f"the proxy {place} of {variable}"
    return ""


def checked_url(url: str) -> str:
    """The base of an endpoint, such as ``http://localhost:8000/v1``. Raises UserError."""
    try:
        parts = urlsplit(url)
        port_is_one = parts.port is None or parts.port > 0
    except ValueError:
        parts, port_is_one = urlsplit(""), False
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_is_one:
        raise UserError(f"{url[:80]!r} is no URL: give one such as http://localhost:8000/v1")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise UserError(f"a URL must hold no key or password: put it into {KEY}")
    return url.rstrip("/").removesuffix("/chat/completions")
