"""A real HTTP server on loopback that answers as told: well, slowly, wrongly, or not at all."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

GOOD = "Consistency: 2\nRealism: 1\nAesthetic Quality: 0"


def completion(text: str | None) -> bytes:
    message = {"role": "assistant", "content": text}
    usage = {"prompt_tokens": 1000, "completion_tokens": 15}
    answer = {"model": "judge-2024", "choices": [{"message": message}], "usage": usage}
    return json.dumps(answer).encode()


@dataclass
class Act:
    """One answer; ``dies`` closes the connection in the middle of the body."""

    body: bytes = completion(GOOD)
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    dies: bool = False


@dataclass
class Server:
    url: str
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    most_at_once: int = 0

    def texts(self) -> list[str]:
        parts = [part for request in self.requests for part in request["messages"][-1]["content"]]
        return [part["text"] for part in parts if part["type"] == "text"]


def fields_of(kind: str, content: bytes) -> dict[str, Any]:
    """A form by its fields' names; of files a list of bytes."""
    head = b"Content-Type: " + kind.encode() + b"\r\n\r\n"
    found: dict[str, Any] = {}
    for part in message_from_bytes(head + content).get_payload():
        name, data = (
            part.get_param("name", header="content-disposition"),
            part.get_payload(decode=True),
        )
        if part.get_filename():
            found.setdefault(name, []).append(data)
        else:
            found[name] = data.decode()
    return found


@contextmanager
def serving(act: Callable[[int, dict[str, Any]], Act]) -> Iterator[Server]:
    """``act`` gives the answer to the n-th request (from 0)."""
    lock = threading.Lock()
    busy = 0

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            form = "multipart/form-data" in self.headers["Content-Type"]
            self._answer(fields_of(self.headers["Content-Type"], content) if form else content)

        def do_GET(self) -> None:
            self._answer({"path": self.path})

        def _answer(self, content: bytes | dict[str, Any]) -> None:
            nonlocal busy
            body = json.loads(content) if isinstance(content, bytes) else content
            with lock:
                number = len(server.requests)
                server.requests.append(body)
                server.headers.append(dict(self.headers))
                busy += 1
                server.most_at_once = max(server.most_at_once, busy)
            answer = act(number, body)
            time.sleep(answer.seconds)
            with lock:
                busy -= 1
            try:
                self._send(answer)
            except OSError:
                self.close_connection = True  # the client gave up

        def _send(self, answer: Act) -> None:
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            if answer.dies:
                self.wfile.write(answer.body[: len(answer.body) // 2])
                self.close_connection = True
            else:
                self.wfile.write(answer.body)

        def log_message(self, *_: object) -> None:
            """Silent."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    server = Server(f"http://127.0.0.1:{http.server_port}/v1")
    threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
