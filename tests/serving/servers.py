"""A server on a free port, in a thread: scripted rewards, or those of the mini suite."""

from __future__ import annotations

import base64
import io
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from PIL import Image

from harmon_eval import suites
from harmon_eval.core import About, Answer, Metric, Reward, Row, Task
from harmon_eval.running.engine import Local
from harmon_eval.serving import rewards
from harmon_eval.serving.line import Line
from harmon_eval.serving.marking import lines
from harmon_eval.serving.pictures import Album
from harmon_eval.serving.rewards import Served
from harmon_eval.serving.service import Limits, Service
from harmon_eval.serving.start import Settings, server
from harmon_eval.suites.mini.scenes import Item, Scene, render

Mark = Callable[[Sequence[Answer]], Sequence[Row]]


def picture(*items: Item, form: str = "PNG") -> bytes:
    """The bytes of a drawing of the mini world."""
    data = io.BytesIO()
    Image.fromarray(render(Scene(items))).save(data, form)
    return data.getvalue()


def circle(color: str = "red", x: float = 32, shape: str = "circle") -> Item:
    return Item(shape, color, x, 32, 10)


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def scripted(name: str, mark: Mark, target: Any = lambda prompt, metadata: metadata) -> Line:
    """A reward whose numbers are the rows of ``mark``; metadata are its target."""
    task = Task(
        samples=lambda data: (),
        mark=lambda answers, instruments: mark(answers),
        summarize=lambda rows: {},
        metrics=(Metric("score"),),
        about=About(paper="", version="1"),
    )
    reward = Reward(lambda row: row["scores"], target)
    one = Served(name, name, task, task, reward, {}, {})
    return Line(name, [one], mark, ThreadPoolExecutor(1), batch_size=8)


@dataclass
class Running:
    url: str
    service: Service
    client: httpx2.Client
    headers: dict[str, str] = field(default_factory=dict)

    def get(self, path: str) -> httpx2.Response:
        return self.client.get(self.url + path, headers=self.headers)

    def post(self, path: str, body: Any) -> httpx2.Response:
        return self.client.post(self.url + path, json=body, headers=self.headers)

    def send(self, path: str, content: Any, **headers: str) -> httpx2.Response:
        both = {"Content-Type": "application/json", **self.headers, **headers}
        return self.client.post(self.url + path, content=content, headers=both)


@contextmanager
def running(
    own: Sequence[Line], folder: Path, limits: Limits | None = None, **settings: Any
) -> Iterator[Running]:
    chosen = Settings(limits=limits or Limits(), **settings)
    folder.mkdir(exist_ok=True)
    service = Service(own, Album(folder, chosen.limits.pixels), chosen.limits)
    listener = socket.create_server(("127.0.0.1", 0))
    ready = threading.Event()
    made = server(chosen, service, ready.set)
    thread = threading.Thread(target=made.run, args=([listener],))
    thread.start()
    assert ready.wait(30)
    try:
        with httpx2.Client(timeout=60) as client:
            yield Running(f"http://127.0.0.1:{listener.getsockname()[1]}", service, client)
    finally:
        made.should_exit = True
        thread.join(30)
        listener.close()


def of_mini(
    names: str, home: Path, instruments: Mapping[str, str] | None = None, batch_size: int = 32
) -> list[Line]:
    """The lines of these rewards of the mini suite, with its real instruments."""
    suite = suites.load("mini", None, instruments or {})
    chosen = rewards.served(names.split(","), suite)
    return lines(chosen, suite, Local(), home, batch_size).lines
