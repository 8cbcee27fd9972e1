"""A plug-in package as another project would install it, and ways to call the command line."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from harmon_eval import cli

ENTRY_POINTS = """[harmon_eval.tasks]
toy_draw = toy_benchmark:DRAWING
toy_ask = toy_benchmark:QUESTIONS
toy_weird = toy_benchmark:HOSTILE
toy_unsafe = toy_benchmark:UNSAFE
toy_unmarkable = toy_benchmark:UNMARKABLE
toy_broken = no_such_module:TASK

[harmon_eval.models]
toy_flaky = toy_benchmark:open_flaky
toy_talker = toy_benchmark:open_talker
toy_broken_model = toy_benchmark:no_such_function
"""


@pytest.fixture(scope="session")
def plugin_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    shutil.copy(Path(__file__).with_name("toy_benchmark.py"), folder)
    info = folder / "toy_benchmarks-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-benchmarks\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    return folder


@pytest.fixture
def plugin(plugin_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(plugin_folder)
    return plugin_folder


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


@pytest.fixture
def call(
    plugin: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., Outcome]:  # fmt: skip
    """The command line in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)

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
def start(plugin_folder: Path, tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """The command line in a process of its own, to be killed."""

    def start(*arguments: object, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "harmon_eval", *map(str, arguments)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(plugin_folder), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # A job in the background of a shell ignores Ctrl-C, and so would its children.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    return start
