"""Killed anywhere, lost nothing: the same command then comes to the same result."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

Call = Callable[..., Any]
Start = Callable[..., "subprocess.Popen[str]"]
TOTAL = 72


def images(run: Path) -> dict[str, bytes]:
    folder = run / "toy_draw" / "images"
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*.png")}


def assert_same_result(run: Path, undisturbed: Path) -> None:
    ours, theirs = run / "toy_draw", undisturbed / "toy_draw"
    assert images(run) == images(undisturbed)
    rows = [pd.read_parquet(folder / "rows.parquet") for folder in (ours, theirs)]
    pd.testing.assert_frame_equal(*rows)
    for name in ("metrics.json", "marks.txt", "prompts.txt"):
        assert (ours / name).read_bytes() == (theirs / name).read_bytes()
    assert (run / "table.md").read_bytes() == (undisturbed / "table.md").read_bytes()
    assert not list(run.rglob("*.tmp"))
    assert not list(ours.glob("rows-*")) and not list(run.glob(".session-*"))


def answered(log: Path) -> int:
    return log.read_text().count('{"id": ')


def wait_for(condition: Callable[[], bool], process: object) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, process
        time.sleep(0.005)


@pytest.fixture
def undisturbed(call: Call, tmp_path: Path) -> Path:
    assert call("--model", "scripted:0", "--tasks", "toy_draw", "--output", "whole").code == 0
    return tmp_path / "whole"


def test_killed_while_drawing_then_the_same_command_asks_only_what_is_missing(
    call: Call, start: Start, undisturbed: Path, tmp_path: Path
) -> None:
    arguments = ("--tasks", "toy_draw", "--output", "killed", "--batch-size", 3)
    process = start("--model", "scripted:0.02", *arguments)
    log = tmp_path / "killed" / "toy_draw" / "responses.jsonl"
    wait_for(lambda: log.exists() and answered(log) >= 9, process)
    process.kill()
    process.communicate()
    stored = answered(log)
    assert stored < TOTAL
    finished = call("--model", "scripted:0", *arguments)
    assert finished.code == 0
    assert f"reused {stored} of {TOTAL} stored responses" in finished.err
    assert f"drawing {TOTAL - stored}/{TOTAL - stored}" in finished.err
    assert answered(log) == TOTAL
    assert_same_result(tmp_path / "killed", undisturbed)


def test_killed_while_marking_then_the_same_command_marks_only_what_is_missing(
    call: Call, start: Start, undisturbed: Path, tmp_path: Path
) -> None:
    arguments = ("--model", "scripted", "--tasks", "toy_draw", "--output", "killed")
    process = start(*arguments, TOY_MARK_DELAY="0.04")
    task = tmp_path / "killed" / "toy_draw"
    wait_for(lambda: bool(list(task.glob("rows-*/0*.parquet"))), process)
    process.kill()
    process.communicate()
    marked = sum(len(pd.read_parquet(part)) for part in task.glob("rows-*/0*.parquet"))
    assert 0 < marked < TOTAL
    finished = call(*arguments)
    assert finished.code == 0
    assert f"reused {TOTAL} of {TOTAL} stored responses" in finished.err
    assert f"reused {marked} of {TOTAL} marks" in finished.err
    assert_same_result(tmp_path / "killed", undisturbed)


def test_ctrl_c_ends_with_one_line_that_says_how_to_go_on(start: Start, tmp_path: Path) -> None:
    process = start(
        "--model", "scripted:0.05", "--tasks", "toy_draw", "--batch-size", 2, "--output", "stopped"
    )
    log = tmp_path / "stopped" / "toy_draw" / "responses.jsonl"
    wait_for(lambda: log.exists() and log.stat().st_size > 0, process)
    os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert errors.rstrip().endswith("run the same command again to resume")
    assert "Traceback" not in errors


def test_two_runs_in_one_folder_the_second_is_refused_and_nothing_is_mixed(
    call: Call, start: Start, undisturbed: Path, tmp_path: Path
) -> None:
    arguments = ("--tasks", "toy_draw", "--output", "shared")
    first = start("--model", "scripted:0.05", "--batch-size", 2, *arguments)
    log = tmp_path / "shared" / "toy_draw" / "responses.jsonl"
    wait_for(log.exists, first)
    second = call("--model", "scripted", *arguments)
    assert second.code == 2
    assert "another process is writing into shared" in second.err
    first.communicate(timeout=30)
    assert first.returncode == 0
    assert_same_result(tmp_path / "shared", undisturbed)


@pytest.mark.parametrize("damage", ["flipped", "truncated", "empty", "gone"])
def test_a_damaged_image_is_found_said_and_drawn_again(
    call: Call, undisturbed: Path, tmp_path: Path, damage: str
) -> None:
    arguments = ("--model", "scripted", "--tasks", "toy_draw", "--output", "damaged")
    call(*arguments)
    victim = tmp_path / "damaged/toy_draw/images/red-1/samples/0001.png"
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    if damage == "gone":
        victim.unlink()
    else:
        content = {"flipped": bytes(data), "truncated": bytes(data[:20]), "empty": b""}
        victim.write_bytes(content[damage])
    again = call(*arguments)
    assert again.code == 0
    assert "1 stored responses were damaged and are made again" in again.err
    assert f"reused {TOTAL - 1} of {TOTAL} stored responses" in again.err
    assert_same_result(tmp_path / "damaged", undisturbed)


def test_a_torn_last_line_and_a_garbled_line_of_the_log_are_asked_again(
    call: Call, undisturbed: Path, tmp_path: Path
) -> None:
    arguments = ("--model", "scripted", "--tasks", "toy_draw", "--output", "torn")
    call(*arguments)
    log = tmp_path / "torn" / "toy_draw" / "responses.jsonl"
    lines = log.read_bytes().split(b"\n")
    lines[4] = b"\xff{not json"
    lines[7] = lines[7].replace(b"sha256", b"sha257")
    log.write_bytes(b"\n".join(lines[:74])[:-90])
    again = call(*arguments)
    assert f"reused {TOTAL - 3} of {TOTAL} stored responses" in again.err
    assert_same_result(tmp_path / "torn", undisturbed)
    assert f"reused {TOTAL} of {TOTAL} stored responses" in call(*arguments).err


def test_damaged_rows_are_marked_again(call: Call, undisturbed: Path, tmp_path: Path) -> None:
    arguments = ("--model", "scripted", "--tasks", "toy_draw", "--output", "damaged")
    call(*arguments)
    rows = tmp_path / "damaged" / "toy_draw" / "rows.parquet"
    rows.write_bytes(rows.read_bytes()[:100])
    assert call(*arguments).code == 0
    assert_same_result(tmp_path / "damaged", undisturbed)


@pytest.mark.parametrize("content", ["", "{", '{"identity": {}, "tasks": {}, "checksum": "0"}'])
def test_a_damaged_manifest_is_restored_from_its_copy_and_said(
    call: Call, undisturbed: Path, tmp_path: Path, content: str
) -> None:
    arguments = ("--model", "scripted", "--tasks", "toy_draw", "--output", "damaged")
    call(*arguments)
    manifest = tmp_path / "damaged" / "manifest.json"
    manifest.write_text(content)
    again = call(*arguments)
    assert again.code == 0
    assert "manifest.json was damaged and is restored" in again.err
    assert f"reused {TOTAL} of {TOTAL} stored responses" in again.err
    assert json.loads(manifest.read_text())["state"] == "done"
    assert_same_result(tmp_path / "damaged", undisturbed)


def test_a_manifest_damaged_with_its_copy_is_one_line_and_fresh_starts_over(
    call: Call, undisturbed: Path, tmp_path: Path
) -> None:
    arguments = ("--model", "scripted", "--tasks", "toy_draw", "--output", "damaged")
    call(*arguments)
    for name in ("manifest.json", ".manifest-copy.json"):
        (tmp_path / "damaged" / name).write_text('{"identity"')
    refused = call(*arguments)
    assert refused.code == 2
    assert "is damaged" in refused.err and "--fresh" in refused.err
    assert call(*arguments, "--fresh").code == 0
    assert_same_result(tmp_path / "damaged", undisturbed)


@pytest.mark.parametrize("name", ["rows.parquet", "marks.json", "metrics.json", "responses.jsonl"])
@pytest.mark.parametrize("damage", ["flipped", "truncated", "empty"])
def test_any_damaged_file_of_a_run_is_found_and_made_again(
    call: Call, undisturbed: Path, tmp_path: Path, name: str, damage: str
) -> None:
    arguments = ("--model", "scripted", "--tasks", "toy_draw", "--output", "damaged")
    call(*arguments)
    victim = tmp_path / "damaged" / "toy_draw" / name
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 4
    content = {"flipped": bytes(data), "truncated": bytes(data[: len(data) // 2]), "empty": b""}
    victim.write_bytes(content[damage])
    if name == "metrics.json":
        shown = call("show", "damaged")
        assert shown.code == 2 and "damaged" in shown.err and "mark" in shown.err
    assert call(*arguments).code == 0
    assert_same_result(tmp_path / "damaged", undisturbed)
