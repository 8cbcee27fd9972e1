"""A run folder names a judge: no key and no picture goes there before the user says so."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from harmon_eval import cli
from harmon_eval.store.durable import read_json, write_json

KEY = "sk-of-the-user"
SAID = "Consistency: 1\nRealism: 1\nAesthetic Quality: 1"


class Endpoint(ThreadingHTTPServer):
    """Answers every request alike and keeps what came."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.keys: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Endpoint

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.keys.append(self.headers.get("Authorization"))
        choice = {"message": {"content": SAID}, "finish_reason": "stop"}
        body = json.dumps({"model": "stub", "choices": [choice]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Silent."""


@pytest.fixture
def endpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HARMON_EVAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("JUDGE_API_KEY", KEY)
    with Endpoint() as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def run(endpoint: Endpoint, tmp_path: Path) -> Path:
    """A run of four pictures that this endpoint judged."""
    named = ["--judge-url", endpoint.url, "--judge-model", "stub"]
    drawn = ["--model", "scripted", "--tasks", "wise", "--limit", "4", "--output", "run"]
    assert cli.main([*drawn, *named]) == 0
    assert endpoint.keys == [f"Bearer {KEY}"] * 4
    endpoint.keys.clear()
    return tmp_path / "run"


def unjudged(run: Path) -> None:
    for name in ("judge.jsonl", "rows.parquet"):
        (run / "wise" / name).unlink()


def line(capsys: pytest.CaptureFixture[str]) -> str:
    errors = [text for text in capsys.readouterr().err.splitlines() if text.startswith("error:")]
    assert len(errors) == 1
    return errors[0]


def test_nothing_is_sent_to_an_address_that_only_the_manifest_names(
    endpoint: Endpoint, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unjudged(run)
    files = [run / "wise/metrics.json", run / "manifest.json"]
    before = [file.read_bytes() for file in files]
    capsys.readouterr()
    for more in ([], ["--budget", "9", "--judge-price", "1", "1"], ["--tasks", "wise"]):
        assert cli.main(["mark", "run", *more]) == 2
        said = line(capsys)
        assert endpoint.url in said and "--judge-url" in said and "--instrument judge=" in said
    assert not endpoint.keys
    assert before == [file.read_bytes() for file in files]


@pytest.mark.parametrize("way", ["url", "url and model", "instrument"])
def test_what_the_user_names_goes_on(endpoint: Endpoint, run: Path, way: str) -> None:
    unjudged(run)
    named = {
        "url": ["--judge-url", endpoint.url],
        "url and model": ["--judge-url", endpoint.url, "--judge-model", "stub"],
        "instrument": ["--instrument", f"judge=openai:stub@{endpoint.url}"],
    }
    assert cli.main(["mark", "run", *named[way]]) == 0
    assert endpoint.keys == [f"Bearer {KEY}"] * 4


def test_an_address_beside_the_manifests_own_is_the_one_that_is_asked(
    endpoint: Endpoint, run: Path
) -> None:
    """The user names another server: the stranger's hears nothing."""
    unjudged(run)
    with Endpoint() as other:
        threading.Thread(target=other.serve_forever, args=(0.02,), daemon=True).start()
        assert cli.main(["mark", "run", "--judge-url", other.url]) == 0
        other.shutdown()
    assert len(other.keys) == 4 and not endpoint.keys


def test_replies_that_are_here_are_marked_again_without_a_connection(
    endpoint: Endpoint, run: Path
) -> None:
    (run / "wise/rows.parquet").unlink()
    assert cli.main(["mark", "run"]) == 0
    assert not endpoint.keys
    (run / "wise/judge.jsonl").unlink()
    assert cli.main(["mark", "run"]) == 0, "all is marked: nobody is asked"
    assert not endpoint.keys


@pytest.mark.parametrize(
    "spec",
    [
        "openai:gpt-4o",  # OpenAI itself: the user's money
        "vlm:someone/some-model",
        "someone/some-model",
        "diffusers:someone/some-model",
    ],
)
def test_a_judge_that_would_be_paid_or_fetched_is_named_by_the_user(
    endpoint: Endpoint,
    run: Path,
    spec: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    unjudged(run)
    manifest: dict[str, Any] = read_json(run / "manifest.json")
    manifest["instruments"] = {"judge": spec}
    write_json(run / "manifest.json", manifest)
    monkeypatch.setenv("OPENAI_BASE_URL", endpoint.url)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    capsys.readouterr()
    assert cli.main(["mark", "run"]) == 2
    assert spec in (said := line(capsys)) and "name it yourself" in said
    assert not endpoint.keys


def test_a_program_is_opened_only_where_the_user_states_its_digest(
    endpoint: Endpoint, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The manifest could name a program in the run folder itself, with its digest."""
    assert (
        cli.main(["--model", "scripted", "--tasks", "mjhq", "--limit", "4", "--output", "f"]) == 0
    )
    manifest = read_json(Path("f/manifest.json"))
    manifest["instruments"] = {"features": "inception?sha256=" + "0" * 64}
    write_json(Path("f/manifest.json"), manifest)
    capsys.readouterr()
    assert cli.main(["mark", "f"]) == 2
    assert "--instrument features=inception" in line(capsys)
