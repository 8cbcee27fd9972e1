"""The command itself: a process, a port, signals, and a store that outlives a kill."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

import harmon_eval
from harmon_eval import cli
from harmon_eval.serving import start
from harmon_eval.serving.pictures import PREFIX
from harmon_eval.store.run_folder import RunFolder
from harmon_eval.tasks.geneval import prompts

from .servers import b64, circle, picture

SLOW = """
import time
from harmon_eval.suites.mini.detector import ShapeDetector

class Slow(ShapeDetector):
    def __call__(self, images):
        time.sleep(2)
        return super().__call__(images)

def open_instrument():
    return Slow()
"""


@dataclass
class Started:
    process: subprocess.Popen[str]
    url: str

    def compute(self, count: int = 1, first: int = 0) -> httpx2.Response:
        images = [b64(picture(circle("red", 16 + first + i))) for i in range(count)]
        body = {"prompt": ["a photo of a circle"] * count, "image": images}
        return httpx2.post(f"{self.url}/compute", json=body, timeout=60)

    def end(self, number: int) -> tuple[int, str]:
        self.process.send_signal(number)
        _, said = self.process.communicate(timeout=60)
        return self.process.returncode, said


@contextmanager
def started(tmp_path: Path | None, *options: str) -> Iterator[Started]:
    """``tmp_path``: where it has its pictures."""
    command = [sys.executable, "-m", "harmon_eval", "serve", "--port", "0", *options]
    temporary = {**os.environ, **({"TMPDIR": str(tmp_path)} if tmp_path else {})}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=temporary)
    assert process.stderr is not None
    try:
        said = [process.stderr.readline()]
        while said[-1] and not said[-1].startswith("serving "):
            said.append(process.stderr.readline())
        assert said[-1], said
        yield Started(process, said[-1].split()[-1])
    finally:
        process.kill()
        process.communicate()


def test_a_stop_finishes_what_is_in_flight_and_the_store_is_shown_and_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Killed first: what it answered is there when the next server starts, and goes on."""
    store, slow = tmp_path / "store", tmp_path / "slow.py"
    slow.write_text(SLOW)
    options = ("geneval,geneval:share", "--store", str(store))
    with started(tmp_path, *options) as server:
        assert server.compute(3).json() == {"rewards": [1.0] * 3}
        assert cli.main(["serve", "--port", "0", "--store", str(store)]) == 2
        assert "another process is writing" in capsys.readouterr().err
        server.end(signal.SIGKILL)
    assert cli.main(["show", str(store)]) == 0
    assert "added up when the server stops, or starts again" in capsys.readouterr().err
    assert list(tmp_path.glob(f"{PREFIX}*"))  # what a kill leaves ...
    detector = ("--include", str(slow), "--detector", "slow")
    other = slow.with_name("other.py")
    other.write_text(SLOW.replace("    def __call__", "    identity = 'other'\n    def __call__"))
    command = [sys.executable, "-m", "harmon_eval", "serve", *options, "--port", "0"]
    command += ["--include", str(other), "--detector", "other"]
    refused = subprocess.run(command, capture_output=True, text=True)
    assert refused.returncode == 2
    assert "holds marks of geneval by other means" in refused.stderr
    with started(tmp_path, *options, *detector) as server:
        assert len(list(tmp_path.glob(f"{PREFIX}*"))) == 1  # ... is gone at the next start
        answers: list[httpx2.Response] = []
        asking = threading.Thread(target=lambda: answers.append(server.compute(2, first=8)))
        asking.start()
        time.sleep(1)
        code, said = server.end(signal.SIGTERM)
        asking.join(30)
    assert [answer.json() for answer in answers] == [{"rewards": [1.0, 1.0]}]
    assert code == 0 and "5 of geneval, 5 of geneval:share" in said
    assert not list(tmp_path.glob(f"{PREFIX}*"))
    official = ["serve", "ocr", "--port", "0", "--store", str(store), "--suite", "official"]
    assert cli.main(official) == 2  # another suite, whose marks never lie beside these
    assert "holds a run with other settings" in capsys.readouterr().err
    run = harmon_eval.load(store)
    assert run["geneval:share"].score == 1.0 and run["geneval"].n == 5
    assert RunFolder(store).manifest["tasks"]["geneval"]["state"] == "done"
    assert cli.main(["show", str(store)]) == 0
    assert cli.main(["report", str(store)]) == 0
    page = (store / "report.html").read_text()
    assert "a photo of a circle" in page and "not at hand" not in page
    assert len(list(store.glob("geneval/images/**/*.png"))) == 1  # of 1,000 one is kept


def said_by(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert cli.main(["serve", *arguments]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def test_a_port_in_use_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        said = said_by(capsys, "--port", port)
    assert said.startswith(f"error: port {port} of 127.0.0.1 is in use: give another --port")


def test_of_two_that_start_at_once_on_one_port_the_later_says_so_in_a_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    taken, bound = [], start._bound

    def both(settings: start.Settings) -> socket.socket:
        found = bound(replace(settings, port=0))
        taken.append(bound(replace(settings, port=found.getsockname()[1])))
        taken[0].listen()
        return found

    monkeypatch.setattr(start, "_bound", both)
    try:
        said = said_by(capsys, "geneval")
    finally:
        taken[0].close()
    assert said.endswith("is in use: give another --port, or 0 for any")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["genevl"], "unknown reward 'genevl': did you mean 'geneval'?"),
        (["geneval:shar"], "did you mean 'share'?"),
        (["mjhq"], "mjhq has no number for a single response"),
        ([","], "no reward was named"),
        (["geneval", "--suite", "official", "--data", "."], "743b7d99"),  # missing weights
        (["ocr", "--instrument", "raeder=mini"], "raeder"),
        (["clipscore", "--instrument", "measure=pickscore"], "serve pickscore"),
        (["geneval", "--host", "256.1.1.1"], "cannot serve on 256.1.1.1"),
        (["geneval", "--pickle", "--host", "0.0.0.0"], "--pickle"),
        (["geneval", "--max-pixels", "65"], "--max-pixels 65: give more than 0, at most 64"),
        (["geneval", "--timeout", "nan"], "--timeout nan"),
    ],
)
def test_what_cannot_be_served_is_one_line(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said in said_by(capsys, "--port", "0", *arguments)


def test_without_its_packages_it_says_which_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in list(sys.modules):
        if name.startswith(("harmon_eval.serving", "fastapi")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "fastapi", None)
    said = said_by(capsys)
    assert 'pip install "harmon-eval[serve]"' in said and "fastapi" in said


def test_workers_mark_as_this_process_does() -> None:
    pytest.importorskip("ray")
    item: Any = prompts.counting("circle", 2)
    # Ray's sockets need a short path.
    with started(None, "geneval,geneval:share", "--workers", "1") as server:
        body = {
            "samples": [{"image": b64(picture(circle())), "metadata": item}] * 2,
            "rewards": ["geneval:share"],
        }
        found = httpx2.post(f"{server.url}/mark", json=body, timeout=120).json()
        assert [m["scores"]["geneval:share"]["share"] for m in found["marks"]] == [0.5, 0.5]
        assert server.end(signal.SIGTERM)[0] == 0
