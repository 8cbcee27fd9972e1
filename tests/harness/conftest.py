"""A plug-in package as another project would install it, and ways to call the command line."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harmon_eval import cli

from .whole_runs import TASKS, content

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
    plugin: Path,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., Outcome]:
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


@pytest.fixture(scope="session")
def wholes() -> dict[str, Any]:
    return {}


@pytest.fixture
def whole(call: Callable[..., Outcome], wholes: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    """What an undisturbed run of the toy tasks comes to; made once."""
    if not wholes:
        assert call("--model", "scripted", *TASKS, "--output", "whole").code in (0, 1)
        wholes |= content(tmp_path / "whole")
    return wholes


@pytest.fixture
def start(plugin_folder: Path, tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """The command line in a process of its own, to be killed."""

    def start(
        *arguments: object, program: tuple[str, ...] = ("-m", "harmon_eval"), **environment: str
    ) -> subprocess.Popen[str]:
        path = os.pathsep.join(filter(None, [str(plugin_folder), os.environ.get("PYTHONPATH")]))
        return subprocess.Popen(
            [sys.executable, *program, *map(str, arguments)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": path, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # A job in the background of a shell ignores Ctrl-C, and so would its children.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    return start


@pytest.fixture
def made_run(call: Callable[..., Outcome], tmp_path: Path) -> Callable[..., Path]:
    """A finished run of ``toy_draw`` or ``toy_ask`` whose marks are those given, a group a list.

    Folders, provenance and metrics are the harness's own; only the marks are made up."""
    from harmon_eval import registry
    from harmon_eval.core import Ask, Sample
    from harmon_eval.running.jobs import Job
    from harmon_eval.running.results import store_result, summarize
    from harmon_eval.store.run_folder import RunFolder

    def made(
        name: str,
        marks: Sequence[Sequence[Any]],
        strata: int = 1,
        seed: int = 0,
        model: str = "model",
        settings: dict[str, Any] | None = None,
        suite: str = "mini",
        total: int | None = None,
        task: str = "toy_ask",
        version: str = "1",
        replies: bool = True,
    ) -> Path:
        import pandas as pd

        run = RunFolder(tmp_path / name)
        identity = {
            "model": {"name": model, "fingerprint": f"{model}-1", "settings": settings or {}},
            "suite": suite,
            "seed": seed,
        }
        rows = []
        for group, own in enumerate(marks):
            for number, mark in enumerate(own):
                reason = mark if isinstance(mark, str) else None
                row = {
                    "id": f"{group:04d}-{number}",
                    "group": f"{group:04d}",
                    "stratum": f"s{group % strata}",
                    "response": "",
                    "unscored": reason,
                    "question": f"question {group}",
                }
                rows.append(row | ({} if reason else {"correct": mark}))
        known = registry.task(task)
        samples = [Sample(f"x{i}", Ask("?"), {}, "x") for i in range(total or len(rows))]
        with run.locked():
            run.start(identity, fresh=True)
            run.start_task(task, version, "data", None)
            provenance = {
                **identity,
                "limit": None,
                "data": "data",
                "version": version,
                "instruments": {},
            }
            frame = pd.DataFrame(rows).astype({"unscored": object})
            folder = run.task(task)
            if replies:
                folder.record({row["id"]: f"reply of {name}" for row in rows})
            folder.finish_marks({}, frame)
            result = summarize(Job(task, known, samples, samples, None), frame, provenance)
            store_result(folder, known, result)
            run.update_task(task, state="done")
        return run.path

    return made
