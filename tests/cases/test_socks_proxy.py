"""Proxies in the environment: never for this machine, and named where they are in the way."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from judge_server import Act, completion, serving

from harmon_eval import cli
from harmon_eval.adapters._endpoint import Connection, Patience, own_machine, proxy_for
from harmon_eval.core import UserError

SOCKS = "socks5://user:secret@127.0.0.1:9"
FAR = "http://model.example/v1"


def run(url: str) -> int:
    model = ("--model", f"openai:m@{url}", "--tasks", "pope", "--limit", "2", "--output", "run")
    return cli.main([*model])


@pytest.mark.parametrize("variable", ["ALL_PROXY", "all_proxy", "HTTP_PROXY", "http_proxy"])
@pytest.mark.parametrize("proxy", [SOCKS, "http://127.0.0.1:9", "ftp://x"])
def test_an_endpoint_of_this_machine_is_asked_without_a_proxy(
    variable: str, proxy: str, in_folder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, proxy)
    with serving(lambda n, body: Act(completion("yes"))) as server:
        Connection(server.url, {}, Patience()).post("/chat/completions", {})
        assert len(server.requests) == 1


def test_a_whole_run_beside_a_socks_proxy(in_folder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", SOCKS)
    with serving(lambda n, body: Act(completion("yes"))) as server:
        assert run(server.url) == 0


def test_an_endpoint_that_is_not_there_is_not_the_proxys_fault(
    in_folder: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any, quick_retries: None
) -> None:
    monkeypatch.setenv("ALL_PROXY", SOCKS)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    assert run(url) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert f"cannot reach {url}" in said and "of ALL_PROXY is not asked" in said
    assert "secret" not in said and "Traceback" not in said


@pytest.mark.parametrize(
    ("variable", "proxy", "words"),
    [
        ("ALL_PROXY", SOCKS, r"socks5://127.0.0.1:9 of ALL_PROXY is a SOCKS proxy.*pip install"),
        ("http_proxy", SOCKS, "of http_proxy is a SOCKS proxy"),
        ("HTTP_PROXY", "ftp://x", "of HTTP_PROXY cannot be used"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_one_line(
    variable: str,
    proxy: str,
    words: str,
    in_folder: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Any,
) -> None:
    monkeypatch.setenv(variable, proxy)
    monkeypatch.setitem(__import__("sys").modules, "socksio", None)  # as where it is not installed
    with pytest.raises(UserError, match=words) as caught:
        Connection(FAR, {}, Patience())
    assert "secret" not in str(caught.value)
    assert run(FAR) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_a_proxy_that_is_not_there_is_named_and_the_way_around_it(
    in_folder: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any, quick_retries: None
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free.getsockname()[1]}")
    assert run(FAR) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "through the proxy http://127.0.0.1:" in said and "of HTTP_PROXY" in said
    assert "put model.example into NO_PROXY" in said


def test_which_addresses_are_this_machines() -> None:
    own = ("127.0.0.1", "127.9.9.9", "localhost", "LOCALHOST", "a.localhost", "[::1]", "0.0.0.0")
    assert all(own_machine(f"http://{host}:8000/v1") for host in own)
    assert not any(
        own_machine(f"http://{h}/v1") for h in ("localhost.example", "10.0.0.1", "[::2]")
    )


def test_no_proxy_is_followed(in_folder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:3128")
    assert proxy_for(FAR) == "the proxy http://proxy.example:3128 of HTTP_PROXY"
    monkeypatch.setenv("NO_PROXY", "model.example")
    assert proxy_for(FAR) == "" and proxy_for("https://other.example/v1") == ""
