"""Several processes at one run: the same rows, scores and images, whoever does what and whoever
dies on the way."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harmon_eval.core import UserError
from harmon_eval.running import processes
from harmon_eval.running.processes import Launch, Members, Team, joined

Call = Callable[..., Any]
Start = Callable[..., "subprocess.Popen[str]"]
TASKS = ("--tasks", "toy_draw,toy_ask")


def launch(start: Start, size: int, *arguments: object, **more: str) -> list[Any]:
    """Processes as torchrun would start them, by the variables that it sets."""
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29511", "WORLD_SIZE": str(size)}
    return [start(*arguments, RANK=str(rank), **place, **more) for rank in range(size)]


def ended(running: list[Any]) -> list[tuple[int, str, str]]:
    return [(p.returncode, out, err) for p in running for out, err in [p.communicate(timeout=120)]]


def content(run: Path) -> dict[str, Any]:
    """All that a run came to: rows, images and exports by their bytes, metrics by their values."""
    names = ("rows.parquet", "marks.txt", "prompts.txt")
    found: dict[str, Any] = {
        str(p.relative_to(run)): p.read_bytes()
        for p in run.rglob("*")
        if p.suffix == ".png" or p.name in names or p.name in ("table.csv", "table.md")
    }
    for path in run.glob("*/metrics.json"):
        found[str(path.relative_to(run))] = json.loads(path.read_text())
    return found


def assert_clean(run: Path) -> None:
    assert not [p for p in run.rglob("*") if p.suffix == ".tmp" or p.name.startswith("rows-")]
    assert {p.name for p in run.iterdir() if p.name.startswith(".")} <= {
        ".lock",
        ".manifest-copy.json",
    }


@pytest.fixture
def whole(call: Call, tmp_path: Path) -> dict[str, Any]:
    assert call("--model", "scripted", *TASKS, "--output", "whole").code in (0, 1)
    return content(tmp_path / "whole")


@pytest.mark.parametrize(("size", "batch"), [(2, 5), (3, 2)])
def test_rows_scores_and_images_are_the_same_for_any_number_of_processes_and_batch_size(
    start: Start, whole: dict[str, Any], tmp_path: Path, size: int, batch: int
) -> None:
    arguments = (
        "--model",
        "scripted:0.03:asked.txt",
        *TASKS,
        "--batch-size",
        batch,
        "--output",
        "run",
    )
    results = ended(launch(start, size, *arguments))
    assert {code for code, _, _ in results} == {0}, results
    assert sum("run folder: run" in out for _, out, _ in results) == 1, "one of them adds up"
    asked = Counter((tmp_path / "asked.txt").read_text().splitlines())
    assert max(asked.values()) == 1, "nothing is asked twice"
    logs = list((tmp_path / "run/toy_draw").glob("responses*.jsonl"))
    assert len(logs) > 1, "the work was shared"
    assert content(tmp_path / "run") == whole
    assert_clean(tmp_path / "run")


def test_a_run_of_two_is_resumed_by_one_and_the_other_way_round(
    call: Call, start: Start, whole: dict[str, Any], tmp_path: Path
) -> None:
    arguments = ("--model", "scripted:0:asked.txt", *TASKS, "--batch-size", 4, "--output", "run")
    ended(launch(start, 2, *arguments, "--limit", "5"))
    call(*arguments, "--limit", 9)
    results = ended(launch(start, 3, *arguments))
    assert {code for code, _, _ in results} == {0}, results
    assert max(Counter((tmp_path / "asked.txt").read_text().splitlines()).values()) == 1
    assert content(tmp_path / "run") == whole


def test_the_others_finish_when_a_process_is_killed_and_repeat_only_its_last_batch(
    start: Start, whole: dict[str, Any], tmp_path: Path
) -> None:
    arguments = ("--model", "scripted:0.05:asked.txt", *TASKS, "--batch-size", 2, "--output", "run")
    running = launch(start, 2, *arguments)
    begun = tmp_path / "run/toy_draw/responses.jsonl"
    # One that comes after the first has died would wait for it to be started again.
    joined = ".session-*/0001-*.came"
    end = time.monotonic() + 60
    while not (begun.exists() and any((tmp_path / "run").glob(joined))) and time.monotonic() < end:
        time.sleep(0.01)
    running[0].kill()
    (_, _, _), (code, out, err) = ended(running)
    assert code == 0 and "run folder: run" in out, err
    again = [
        k for k, n in Counter((tmp_path / "asked.txt").read_text().splitlines()).items() if n > 1
    ]
    assert len(again) <= 2
    assert content(tmp_path / "run") == whole


KILLS = int(os.environ.get("HARMON_EVAL_TEST_KILLS", "6"))


@pytest.mark.parametrize("phase", range(3))
def test_killed_at_random_moments_the_same_command_comes_to_the_same_result(
    start: Start, whole: dict[str, Any], tmp_path: Path, phase: int
) -> None:
    """Of a process alone, of one of two, while drawing, marking, adding up; ``make faults`` does
    it thirty times. Moments are chosen by what lies in the folder, so that they fall into every
    phase."""
    dice = random.Random(phase)
    per_phase = KILLS // 3
    for turn in range(-(-per_phase // 4)):
        run = tmp_path / f"run{turn}"
        asked = tmp_path / f"asked{turn}.txt"
        arguments = (
            "--model",
            f"scripted:0.01:{asked}",
            *TASKS,
            "--batch-size",
            4,
            "--output",
            run.name,
        )
        lost = 0
        for kill in range(min(4, per_phase - 4 * turn)):
            size = 1 + (kill + turn) % 2
            running = launch(start, size, *arguments, TOY_MARK_DELAY="0.01", HARMON_EVAL_WAIT="5")
            _wait_for_moment(run, running, dice, phase)
            victim = dice.choice(running)
            victim.kill()
            lost += 4
            for process in running:
                process.communicate(timeout=120)
        assert ended([start(*arguments)])[0][0] == 0
        counts = Counter(asked.read_text().splitlines())
        assert sum(counts.values()) - len(counts) <= lost, "asked again: what was not stored yet"
        assert content(run) == whole
        assert_clean(run)


def _wait_for_moment(run: Path, running: list[Any], dice: random.Random, phase: int) -> None:
    """Until drawing, marking or adding up has begun, and then a random time more."""
    begun = ("*/responses*.jsonl", "*/rows-*", "*/marks.json")[phase]
    end = time.monotonic() + 60
    while time.monotonic() < end and all(p.poll() is None for p in running):
        if run.exists() and any(run.glob(begun)):
            break
        time.sleep(0.002)
    time.sleep(dice.random() * (0.4, 0.3, 0.05)[phase])


def test_another_launch_is_refused_while_one_is_at_work(start: Start, tmp_path: Path) -> None:
    arguments = ("--model", "scripted:0.05", *TASKS, "--batch-size", "2", "--output", "run")
    running = launch(start, 2, *arguments)
    end = time.monotonic() + 60
    while not list(tmp_path.glob("run/toy_draw/responses*")) and time.monotonic() < end:
        time.sleep(0.01)
    stranger = ended([start(*arguments, RANK="1", WORLD_SIZE="2", MASTER_PORT="1")])[0]
    assert stranger[0] == 2 and "another process is writing into run" in stranger[2]
    assert {code for code, _, _ in ended(running)} == {0}


def test_ctrl_c_of_two_processes_ends_both_soon_with_a_line(start: Start, tmp_path: Path) -> None:
    arguments = ("--model", "scripted:0.05", *TASKS, "--batch-size", "2", "--output", "run")
    running = launch(start, 2, *arguments)
    end = time.monotonic() + 60
    while not list(tmp_path.glob("run/toy_draw/responses*")) and time.monotonic() < end:
        time.sleep(0.01)
    for process in running:
        os.kill(process.pid, signal.SIGINT)
    for code, _, errors in ended(running):
        assert code == 130
        assert errors.rstrip().endswith("run the same command again to resume")


@pytest.mark.parametrize(
    ("variables", "words"),
    [({"RANK": "2", "WORLD_SIZE": "2"}, "RANK 2 of WORLD_SIZE 2"), ({"RANK": "x"}, "whole")],
)
def test_variables_that_make_no_launch_are_refused(variables: dict[str, str], words: str) -> None:
    with pytest.raises(UserError, match=words):
        Launch.from_environment(variables)


def test_a_share_of_a_silent_process_on_another_host_is_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No lock reaches over hosts: a process lives while its file is touched."""
    monkeypatch.setattr(processes, "DEAD_AFTER", 0.3)
    monkeypatch.setattr(processes, "BEAT", 0.05)
    here = Launch(0, 2, "l")
    with joined(tmp_path, here) as seat:
        team = seat.open_session()
        far = tmp_path / ".processes" / "0001-far"
        far.write_text(json.dumps({**vars(replace(here, rank=1)), "host": "elsewhere"}))
        assert team.session is not None
        (team.session / "a.0").write_text("0001-far")
        beats = 0
        for name, begun in team.shares(["a", "b"]):
            if name == "b":  # the other one lives yet
                assert not begun
                for _ in range(10):
                    os.utime(far, ns=(beats, beats))
                    beats += 1
                    assert team.members is not None and team.members.alive("0001-far")
                    time.sleep(0.05)
            else:
                assert begun
        assert team.result("a") and team.result("b")


def test_a_share_left_by_an_error_is_free_for_the_others(tmp_path: Path) -> None:
    with joined(tmp_path, Launch(0, 2)) as seat:
        team = seat.open_session()
        with pytest.raises(ValueError, match="x"):
            for _ in team.shares(["a"]):
                raise ValueError("x")
        assert [name for name, _ in team.shares(["a"])] == ["a"]
    assert not (tmp_path / ".processes").exists()


def test_alone_every_share_is_ones_own_and_no_file_is_written(tmp_path: Path) -> None:
    assert list(Team().shares(["a", "b"])) == [("a", False), ("b", False)]
    assert Members(tmp_path).names() == []


@pytest.mark.parametrize(
    "launcher",
    [
        ["torch.distributed.run", "--standalone", "--nproc-per-node", "2"],
        [
            "accelerate.commands.launch",
            "--multi_gpu",
            "--num_processes",
            "2",
            "--num_machines",
            "1",
            "--mixed_precision",
            "no",
            "--dynamo_backend",
            "no",
        ],
    ],
    ids=["torchrun", "accelerate"],
)
def test_torchrun_and_accelerate_launch_share_one_run(
    start: Start, whole: dict[str, Any], tmp_path: Path, launcher: list[str]
) -> None:
    arguments = ["--model", "scripted:0.03:asked.txt", *TASKS, "--batch-size", "2"]
    script = ["-m", launcher[0], *launcher[1:], "-m", "harmon_eval", *arguments, "--output", "run"]
    ((code, _, err),) = ended([start(*script, program=())])
    assert code == 0, err
    assert max(Counter((tmp_path / "asked.txt").read_text().splitlines()).values()) == 1
    assert content(tmp_path / "run") == whole


def test_exact_drawings_of_harmon_mini_do_not_depend_on_processes_or_batch_size(
    start: Start, tmp_path: Path
) -> None:
    """To the last bit of the images, of the rows and of the features in them (CPU, float32)."""
    base = ("--tasks", "mjhq", "--limit", "2", "--steps", "2", "--diffusion-steps", "2", "--exact")
    alone = ended([start(*base, "--batch-size", "8", "--output", "alone")])
    results = ended(launch(start, 2, *base, "--batch-size", "1", "--output", "run"))
    assert {code for code, _, _ in [*alone, *results]} == {0}, [*alone, *results]
    assert content(tmp_path / "run") == content(tmp_path / "alone")
