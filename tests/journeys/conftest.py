"""Whole ways through the command line, as a user goes them."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from harmon_eval import cli, plugins

ROOT = Path(__file__).resolve().parents[2]
# A server that answers as told, shared with the tests of judges.
FILE = ROOT / "tests" / "judges" / "judge_server.py"
if "judge_server" not in sys.modules:
    spec = importlib.util.spec_from_file_location("judge_server", FILE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["judge_server"] = module
    spec.loader.exec_module(module)


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The mini suite's data, made once for all journeys."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def call(
    cache: Path,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., Outcome]:
    """The command line in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HARMON_EVAL_CACHE", str(cache))
    monkeypatch.setattr(plugins, "_included", {})

    def call(*arguments: object) -> Outcome:
        capsys.readouterr()
        try:
            code = cli.main([str(argument) for argument in arguments])
        except SystemExit as leaving:  # argparse
            code = int(leaving.code or 0)
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err
        return Outcome(code, printed.out, printed.err)

    return call


@pytest.fixture
def start(cache: Path, tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """The command line in a process of its own."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))

    def start(*arguments: object, **environment: str) -> subprocess.Popen[str]:
        own = {"PYTHONPATH": path, "HARMON_EVAL_CACHE": str(cache), **environment}
        return subprocess.Popen(
            [sys.executable, "-m", "harmon_eval", *map(str, arguments)],
            cwd=tmp_path,
            env={**os.environ, **own},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start
