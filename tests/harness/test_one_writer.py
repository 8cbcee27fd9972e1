"""One process writes a run folder: who holds it, how signals end it, what a dead one leaves."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harmon_eval.core import UserError
from harmon_eval.store.lock import only_writer
from harmon_eval.store.run_folder import RunFolder

from .whole_runs import (
    KILLS,
    TASKS,
    assert_clean,
    content,
    times_asked,
    wait_for_any,
    wait_for_moment,
)

Call = Callable[..., Any]
Start = Callable[..., "subprocess.Popen[str]"]


# -- the lock ----------------------------------------------------------------------------------


def test_a_second_writer_is_refused_while_the_first_lives(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    with run.locked():
        refused = pytest.raises(UserError, match="another process is writing into")
        with refused, RunFolder(tmp_path / "run").locked():
            pass
    assert not run.path.exists(), "a run that never began leaves nothing"


def test_a_job_that_slurm_requeues_on_another_node_goes_on_at_once(
    start: Start, whole: dict[str, Any], tmp_path: Path
) -> None:
    """Killed with its node; what tells of the old one, its lock file too, still lies there."""
    arguments = ("--model", "scripted:0.05:asked.txt", *TASKS, "--batch-size", 2, "--output", "run")
    first = start(*arguments, SLURM_JOB_ID="4711")
    wait_for_any(tmp_path / "run", "toy_draw/responses.jsonl", first)
    first.kill()
    first.communicate()
    old = tmp_path / "run" / ".processes"  # of a version that had several writers
    old.mkdir()
    (old / "0000-ab12").write_text(json.dumps({"host": "node-a", "rank": 0, "pid": 1}))
    (tmp_path / "run" / ".lock").write_text("node-a 4711")
    began = time.monotonic()
    again = start(*arguments, SLURM_JOB_ID="4711")
    _, errors = again.communicate(timeout=60)
    assert again.returncode == 0, errors
    assert time.monotonic() - began < 50
    assert content(tmp_path / "run") == whole


def test_a_link_in_place_of_the_lock_is_refused_and_of_old_files_never_followed(
    call: Call, tmp_path: Path
) -> None:
    arguments = ("--model", "scripted", "--tasks", "toy_ask", "--output", "run")
    assert call(*arguments).code in (0, 1)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "thesis.txt").write_text("chapter one")
    (tmp_path / "run" / ".processes").symlink_to(outside)
    (tmp_path / "run" / ".session-1").symlink_to(outside)
    assert call("mark", "run").code in (0, 1)
    (tmp_path / "run" / ".lock").unlink()
    (tmp_path / "run" / ".lock").symlink_to(outside / "thesis.txt")
    refused = call("mark", "run")
    assert refused.code == 2 and "is a link" in refused.err
    assert (outside / "thesis.txt").read_text() == "chapter one"
    assert [p.name for p in outside.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_where_locks_do_not_work_it_says_so_and_goes_on(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: int,
) -> None:
    def flock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    with only_writer(tmp_path / "run"):
        (tmp_path / "run" / "file").touch()
    said = capsys.readouterr().err
    assert "file system without locks" in said and said.count("\n") == 1


def test_a_run_of_several_processes_of_an_earlier_version_is_still_read(
    call: Call, whole: dict[str, Any], tmp_path: Path
) -> None:
    """Its second process had a log of its own."""
    arguments = ("--model", "scripted:0:asked.txt", *TASKS, "--output", "run")
    call(*arguments)
    for log in (tmp_path / "run").glob("*/responses.jsonl"):
        lines = log.read_bytes().splitlines(keepends=True)
        log.write_bytes(b"".join(lines[::2]))
        log.with_name("responses.1.jsonl").write_bytes(b"".join(lines[1::2]))
    assert call(*arguments).code in (0, 1)
    assert max(times_asked(tmp_path / "asked.txt").values()) == 1
    assert content(tmp_path / "run") == whole


@pytest.mark.parametrize("command", ["run", "mark", "track", "probe"])
def test_launchers_of_several_processes_are_told_what_to_type_instead(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "4")
    needed = {"mark": ["run"], "track": ["folder", "--output", "out"]}.get(command, [])
    refused = call(command, *needed)
    assert refused.code == 2 and f"{command} --workers 4" in refused.err
    assert refused.err.count("\n") == 1 and not list(tmp_path.iterdir())


# -- signals -----------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_ends_the_run_with_its_batch_stored_and_one_line(
    start: Start, tmp_path: Path, number: signal.Signals
) -> None:
    arguments = ("--model", "scripted:0.1:asked.txt", "--tasks", "toy_draw", "--batch-size", 4)
    process = start(*arguments, "--output", "run")
    wait_for_any(tmp_path / "run", "toy_draw/responses.jsonl", process)
    process.send_signal(number)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 128 + number
    assert errors.rstrip().endswith(f"{number.name}: run the same command again to resume")
    assert "Traceback" not in errors
    stored = (tmp_path / "run/toy_draw/responses.jsonl").read_text().count('{"id": ')
    asked = len((tmp_path / "asked.txt").read_text().splitlines())
    assert 0 < stored == asked < 72


def test_a_second_signal_ends_it_at_once(start: Start, tmp_path: Path) -> None:
    arguments = ("--model", "scripted:0.3:asked.txt", "--tasks", "toy_draw", "--batch-size", 72)
    process = start(*arguments, "--output", "run")
    wait_for_any(tmp_path, "asked.txt", process)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 143 and time.monotonic() - began < 10
    assert "Traceback" not in errors


def test_a_run_in_the_background_of_nohup_lives_on(start: Start, tmp_path: Path) -> None:
    code = "import signal, runpy; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
    program = ("-c", code + "runpy.run_module('harmon_eval', run_name='__main__')")
    arguments = ("--model", "scripted:0.02", "--tasks", "toy_draw", "--output", "run")
    process = start(*arguments, program=program)
    wait_for_any(tmp_path / "run", "manifest.json", process)
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=60)
    assert process.returncode == 0


# -- kills -------------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", range(3))
def test_killed_at_random_moments_the_same_command_comes_to_the_same_result(
    start: Start, whole: dict[str, Any], tmp_path: Path, phase: int
) -> None:
    """While drawing, marking, adding up; ``make faults`` does it thirty times. Moments are chosen
    by what lies in the folder, so that they fall into every phase."""
    dice = random.Random(phase)
    per_phase = KILLS // 3
    for turn in range(-(-per_phase // 4)):
        run = tmp_path / f"run{turn}"
        asked = tmp_path / f"asked{turn}.txt"
        model = ("--model", f"scripted:0.01:{asked}")
        arguments = (*model, *TASKS, "--batch-size", 4, "--output", run.name)
        lost = 0
        for _ in range(min(4, per_phase - 4 * turn)):
            process = start(*arguments, TOY_MARK_DELAY="0.01")
            wait_for_moment(run, process, dice, phase)
            process.kill()
            lost += 8  # a batch that was being stored, and the one that was being answered
            process.communicate(timeout=120)
        last = start(*arguments)
        last.communicate(timeout=120)
        assert last.returncode == 0
        counts = times_asked(asked)
        assert sum(counts.values()) - len(counts) <= lost, "asked again: what was not stored yet"
        assert content(run) == whole
        assert_clean(run)
