"""A page for raters on 127.0.0.1, from the standard library's HTTP server.

Nobody else can use it: it listens on the loopback address only, its address holds a random token,
the Host header must name it (so that no other site's page can reach it by DNS rebinding), and marks
are accepted as JSON from the page itself only. Images are named by numbers, decoded and written
anew; what a model or a prompt says is text, never markup.
"""

from __future__ import annotations

import hmac
import io
import json
import secrets
import threading
from collections.abc import Mapping, Sequence
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from typing import Any

from harmon_eval.core import Unscorable, UserError
from harmon_eval.files.images import read_picture
from harmon_eval.metrics.text import counted
from harmon_eval.people.marks import HumanMarks, Scale, rater_name
from harmon_eval.people.questions import Shown
from harmon_eval.report.escaping import visible

HOST = "127.0.0.1"
LONGEST = 10_000  # bytes of a mark
NO_STORE = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
}


class Session:
    """Questions in their order, the scale, and where marks go."""

    def __init__(
        self, questions: Sequence[Shown], scale: Scale, marks: HumanMarks, title: str
    ) -> None:
        self.questions, self.scale, self.marks, self.title = questions, scale, marks, title
        self.hashes = {question.sample: question.response for question in questions}
        self.lock = threading.Lock()

    def state(self, rater: str) -> dict[str, Any]:
        """What this rater has marked: the key for each question, or null."""
        with self.lock:
            own = {m.sample: m.value for m in self.marks.marks(self.hashes) if m.rater == rater}
        keys = {value: key for key, _, value in self.scale.keys}
        marked = []
        for question in self.questions:
            value = own.get(question.sample)
            if value is not None and question.swapped:
                value = 1 - value
            marked.append(None if value is None else keys.get(value))
        return {"rater": rater, "marked": marked}

    def _at(self, number: int) -> Shown:
        """Raises LookupError, in words for a person, for a question that there is not."""
        if number >= (count := len(self.questions)):
            raise LookupError(
                f"there is no question {number}: this page has {counted(count, 'question')}, "
                "numbered from 0"
            )
        return self.questions[number]

    def question(self, number: int) -> dict[str, Any]:
        """Raises LookupError for a question that there is not."""
        found = self._at(number)
        places = {path: place for place, path in enumerate(found.images)}
        return {
            "text": visible(found.text),
            "asked": [places[path] for path in found.asked],
            "responses": [
                {"image": places[r]} if isinstance(r, Path) else {"reply": visible(r)}
                for r in found.responses
            ],
        }

    def mark(self, number: int, rater: str, key: str) -> None:
        """Raises UserError for a key that the scale does not have, and LookupError."""
        question, value = self._at(number), self.scale.value(key)
        if value is None:
            known = ", ".join(own for own, _, _ in self.scale.keys)
            raise UserError(f"{key[:20]!r} is no key of this scale: {known}")
        if question.swapped:
            value = 1 - value
        with self.lock:
            self.marks.add(question.sample, rater, value, question.response)

    def image(self, number: int, place: int) -> bytes:
        """PNG. Raises LookupError, and Unscorable for an image that cannot be read."""
        images = self._at(number).images
        if place >= len(images):
            own = counted(len(images), "image")
            raise LookupError(f"question {number} has {own}, numbered from 0: no image {place}")
        buffer = io.BytesIO()
        read_picture(images[place]).save(buffer, "PNG")
        return buffer.getvalue()


class Handler(BaseHTTPRequestHandler):
    server: PageServer
    server_version, sys_version = "harmon_eval", ""
    timeout = 30

    def __init__(self, session: Session, *arguments: Any) -> None:
        self.session = session
        super().__init__(*arguments)

    def do_GET(self) -> None:
        if (place := self._place()) is None:
            return
        try:
            if place == [""]:
                self._page()
            elif place[0] == "state" and len(place) == 2:
                self._json(self.session.state(rater_name(_unquoted(place[1]))))
            elif place[0] == "question" and len(place) == 2:
                self._json(self.session.question(_number(place[1])))
            elif place[0] == "image" and len(place) == 3:
                data = self.session.image(_number(place[1]), _number(place[2]))
                self._send(200, data, "image/png")
            else:
                self._refuse(404, "there is nothing here")
        except (LookupError, Unscorable) as error:
            self._refuse(404, str(error))
        except UserError as error:
            self._refuse(400, str(error))

    def do_POST(self) -> None:
        if (place := self._place()) is None:
            return
        origin = self.headers.get("Origin")
        if origin is not None and origin not in {f"http://{host}" for host in self.server.names}:
            return self._refuse(403, "marks come from the page itself only")
        if self.headers.get_content_type() != "application/json" or place != ["mark"]:
            return self._refuse(404, "marks are posted as JSON to mark")
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdecimal()) or int(length) > LONGEST:
            return self._refuse(413, f"a mark has at most {LONGEST} bytes")
        try:
            told = json.loads(self.rfile.read(int(length)))
            number, key = told["number"], told["key"]
            if type(number) is not int or number < 0 or not isinstance(key, str):
                raise UserError("a mark is a question's number and a key")
            self.session.mark(number, rater_name(told["rater"]), key)
        except (ValueError, TypeError, KeyError, RecursionError):
            return self._refuse(400, "a mark is a JSON object: number, key and rater")
        except (LookupError, UserError) as error:
            return self._refuse(400, str(error))
        self._json({"stored": True})

    def _place(self) -> list[str] | None:
        """The path behind the token, or None if the request was refused."""
        if self.headers.get("Host") not in self.server.names:
            self._refuse(403, "this page has another address")
            return None
        token, *place = (self.path.removeprefix("/") + "/").split("/")[:-1] or [""]
        if not place or not hmac.compare_digest(token.encode(), self.server.token.encode()):
            self._refuse(403, "open the address that the command printed")
            return None
        return place

    def _page(self) -> None:
        nonce = secrets.token_urlsafe(16)
        keys = [[key, label] for key, label, _ in self.session.scale.keys]
        settings = {"keys": keys, "count": len(self.session.questions), "title": self.session.title}
        told = json.dumps(settings).replace("<", "\\u003c")
        page = files("harmon_eval.people").joinpath("templates/label.html").read_text("utf-8")
        page = page.replace("NONCE", nonce).replace('"SETTINGS"', told)
        policy = (
            f"default-src 'none'; img-src 'self'; connect-src 'self'; script-src 'nonce-{nonce}'; "
            f"style-src 'nonce-{nonce}'; base-uri 'none'; form-action 'none'"
        )
        self._send(
            200, page.encode(), "text/html; charset=utf-8", {"Content-Security-Policy": policy}
        )

    def _json(self, content: Mapping[str, Any]) -> None:
        self._send(200, json.dumps(content).encode(), "application/json")

    def _refuse(self, code: int, why: str) -> None:
        self.close_connection = True
        self._send(code, json.dumps({"error": visible(why)}).encode(), "application/json")

    def _send(
        self, code: int, data: bytes, kind: str, headers: Mapping[str, str] | None = None
    ) -> None:
        self.send_response(code)
        for name, value in {**NO_STORE, **(headers or {}), "Content-Type": kind}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing: the address holds the token."""


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise LookupError("there is nothing here")
    return int(text)


def _unquoted(text: str) -> str:
    from urllib.parse import unquote

    return unquote(text)


class PageServer(ThreadingHTTPServer):
    """A page about ``task``. Raises OSError if the port is taken; port 0 is any free one."""

    daemon_threads = True

    def __init__(self, session: Session, port: int = 0, task: str = "") -> None:
        self.task = task
        self.token = secrets.token_urlsafe(24)
        super().__init__((HOST, port), partial(Handler, session))
        self.names = {f"{name}:{self.server_port}" for name in (HOST, "localhost")}

    @property
    def address(self) -> str:
        return f"http://{HOST}:{self.server_port}/{self.token}/"
