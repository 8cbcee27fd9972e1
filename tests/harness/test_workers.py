"""Workers on Ray: the same rows, scores and images, whoever answers and whoever dies on the way.

One cluster for all tests: a head without room for workers and a node for three, played on this
machine by ``ray.cluster_utils``."""

from __future__ import annotations

import os
import random
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from .whole_runs import (
    KILLS,
    TASKS,
    assert_clean,
    content,
    times_asked,
    wait_for_any,
    wait_for_moment,
)

ray = pytest.importorskip("ray", reason="the package ray is not installed")

Call = Callable[..., Any]
Start = Callable[..., "subprocess.Popen[str]"]
FLAWED = '''
import os, signal, time
from harmon_eval.adapters.scripted import ScriptedResponder

class Unusual(Exception):
    """Cannot be unpickled."""

    def __init__(self, one, two):
        super().__init__(one + two)
        self.handle = open(os.devnull)

class Flawed(ScriptedResponder):
    """Fails on questions as the argument says: it raises, dies, or never answers."""

    name, fingerprint = "flawed", "1"

    def __init__(self, way):
        super().__init__()
        self.way = way

    def ask(self, requests):
        if any(request.question == "question 7" for request in requests):
            if self.way == "raises":
                raise BufferError("of no kind that is expected")
            if self.way == "unusual":
                raise Unusual("two ", "arguments")
            if self.way == "dies":
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(1000)
        return super().ask(requests)

def open_model(argument):
    if argument == "dies-when-opened":
        os.kill(os.getpid(), signal.SIGKILL)
    if argument == "cannot-be-opened":
        raise BufferError("of no kind that is expected")
    return Flawed(argument)
'''


class Nodes:
    def __init__(self, environment: dict[str, str]) -> None:
        from ray.cluster_utils import Cluster

        self.environment = environment
        soon = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 300}
        soon["worker_niceness"] = 0
        head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": 10**8}
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
            self.cluster = Cluster(True, head_node_args={**head, "_system_config": soon})
        self.address = self.cluster.address
        self.node = self.add()

    def add(self) -> Any:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.environment.items():
                patch.setenv(name, value)
            return self.cluster.add_node(num_cpus=3, object_store_memory=10**8)

    def replace_by_force(self) -> None:
        self.cluster.remove_node(self.node, allow_graceful=False)
        self.node = self.add()


@pytest.fixture(scope="session")
def nodes(plugin_folder: Path) -> Iterator[Nodes]:
    paths = [str(plugin_folder), str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    path = os.pathsep.join(filter(None, paths))
    made = Nodes({"PYTHONPATH": path, "TOY_MARK_DELAY": "0.005"})
    yield made
    made.cluster.shutdown()


def workers_of(doing: str = "ray::_Hands") -> list[int]:
    """Processes that work for a run now; Ray names them by what they do."""
    listed = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True)
    return [int(line.split()[0]) for line in listed.stdout.splitlines() if doing in line]


def asked_once(file: Path) -> bool:
    return max(times_asked(file).values()) == 1


# -- the same bytes ----------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "batch"), [(1, 5), (2, 2), (3, 32)])
def test_rows_scores_and_images_are_the_same_for_any_number_of_workers_and_batch_size(
    call: Call, nodes: Nodes, whole: dict[str, Any], tmp_path: Path, size: int, batch: int
) -> None:
    model = ("--model", f"scripted:0.01:{tmp_path}/asked.txt")
    where = ("--ray", nodes.address, "--workers", size, "--batch-size", batch)
    done = call(*model, *TASKS, *where, "--output", "run")
    assert done.code == 0, done.err
    assert asked_once(tmp_path / "asked.txt"), "nothing is asked twice"
    assert content(tmp_path / "run") == whole
    assert_clean(tmp_path / "run")


def test_a_run_of_two_workers_is_resumed_by_this_process_and_the_other_way_round(
    call: Call, nodes: Nodes, whole: dict[str, Any], tmp_path: Path
) -> None:
    model = ("--model", f"scripted:0:{tmp_path}/asked.txt", *TASKS, "--output", "run")
    where = ("--ray", nodes.address, "--batch-size", 4)
    call(*model, *where, "--workers", 2, "--limit", 5)
    call(*model, "--limit", 9)
    assert call(*model, *where).code == 0, "as many as there is room for"
    assert asked_once(tmp_path / "asked.txt")
    assert content(tmp_path / "run") == whole
    for rows in (tmp_path / "run").glob("*/rows.parquet"):
        rows.unlink()
    assert call("mark", "run", "--ray", nodes.address).code == 0
    assert content(tmp_path / "run") == whole


def test_a_model_of_a_file_that_was_included_and_instruments_reach_the_workers(
    call: Call, nodes: Nodes, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(FLAWED)
    base = ("--include", "mine.py", "--model", "mine:raises", "--tasks", "geneval", "--limit", 2)
    one = call(*base, "--output", "one")
    two = call(*base, "--output", "two", "--ray", nodes.address, "--workers", 2)
    assert one.code == two.code == 0, two.err
    assert content(tmp_path / "one") == content(tmp_path / "two")


def test_a_judge_of_this_machine_works_in_the_workers_and_its_replies_are_kept_here(
    call: Call, nodes: Nodes, tmp_path: Path
) -> None:
    base = ("--model", "scripted", "--tasks", "wise", "--limit", 12)
    where = ("--ray", nodes.address, "--workers", 2)
    assert call(*base, "--output", "one").code == 0
    done = call(*base, "--output", "two", *where)
    assert done.code == 0, done.err
    assert content(tmp_path / "one") == content(tmp_path / "two")
    logs = [(tmp_path / run / "wise/judge.jsonl").read_text() for run in ("one", "two")]
    assert sorted(logs[0].splitlines()) == sorted(logs[1].splitlines()), "each reply once"
    (tmp_path / "two/wise/rows.parquet").unlink()
    assert call("mark", "two", *where).code == 0
    assert (tmp_path / "two/wise/judge.jsonl").read_text() == logs[1], "nothing is asked again"
    assert content(tmp_path / "one") == content(tmp_path / "two")


def test_probes_are_fitted_by_the_workers(call: Call, nodes: Nodes, tmp_path: Path) -> None:
    base = ("--model", "pixels:2", "--tasks", "linear_probe", "--limit", 20)
    assert call(*base, "--output", "one").code == 0
    done = call(*base, "--output", "two", "--ray", nodes.address, "--workers", 2)
    assert done.code == 0, done.err
    assert content(tmp_path / "one") == content(tmp_path / "two")


# -- faults ------------------------------------------------------------------------------------


def test_a_killed_worker_is_replaced_and_only_its_batches_are_asked_again(
    start: Start, nodes: Nodes, whole: dict[str, Any], tmp_path: Path
) -> None:
    model = ("--model", f"scripted:0.05:{tmp_path}/asked.txt", *TASKS, "--batch-size", 2)
    process = start(*model, "--output", "run", "--ray", nodes.address, "--workers", 2)
    wait_for_any(tmp_path / "run", "toy_draw/responses.jsonl", process)
    while not (answering := workers_of("ray::_Hands.answer")):
        assert process.poll() is None
    os.kill(answering[0], signal.SIGKILL)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    assert "another takes its batch" in errors
    counts = times_asked(tmp_path / "asked.txt")
    assert sum(counts.values()) - len(counts) <= 2
    assert content(tmp_path / "run") == whole


def test_a_worker_that_raises_dies_or_never_answers_costs_that_sample_alone(
    call: Call, nodes: Nodes, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(FLAWED)
    base = ("--include", "mine.py", "--tasks", "toy_ask", "--ray", nodes.address)
    reasons = {"raises": "BufferError", "dies": "the worker died 3 times", "hangs": "no answer"}
    reasons["unusual"] = "Unusual: two"
    for way, reason in reasons.items():
        size = ("--batch-size", 1 if way == "dies" else 5)
        short = ("--batch-timeout", 3) if way == "hangs" else ()
        done = call(*base, *size, "--model", f"mine:{way}", "--output", way, "--workers", 1, *short)
        assert done.code == 1, done.err
        assert "1 of 10 samples are unscored: 1 x " in done.err and reason in done.err
        replaced = "has not answered for 3 s: it is replaced" in done.err
        assert replaced == (way == "hangs")


def test_a_full_disk_at_the_writer_is_one_line_and_it_goes_on_later(
    start: Start, nodes: Nodes, whole: dict[str, Any], tmp_path: Path
) -> None:
    """The log may have 4,000 bytes; Ray's own files are its nodes'."""
    arguments = ("--model", "scripted", *TASKS, "--batch-size", 3, "--output", "run")
    where = ("--ray", nodes.address, "--workers", 2)
    code = "import resource, runpy; resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))\n"
    program = ("-c", code + "runpy.run_module('harmon_eval', run_name='__main__')")
    limited = start(*arguments, *where, program=program)
    _, errors = limited.communicate(timeout=240)
    assert limited.returncode == 2, errors
    assert errors.splitlines()[-1].startswith("error: no space left"), errors
    again = start(*arguments, *where)
    _, errors = again.communicate(timeout=240)
    assert again.returncode == 0 and "reused" in errors
    assert content(tmp_path / "run") == whole


def test_sigterm_stores_the_batches_under_way(start: Start, nodes: Nodes, tmp_path: Path) -> None:
    model = ("--model", f"scripted:0.1:{tmp_path}/asked.txt", "--tasks", "toy_draw")
    where = ("--ray", nodes.address, "--workers", 2, "--batch-size", 4)
    process = start(*model, *where, "--output", "run")
    wait_for_any(tmp_path / "run", "toy_draw/responses.jsonl", process)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 143, errors
    assert errors.rstrip().endswith("SIGTERM: run the same command again to resume")
    stored = (tmp_path / "run/toy_draw/responses.jsonl").read_text().count('{"id": ')
    assert 0 < stored == len((tmp_path / "asked.txt").read_text().splitlines()) < 72


def test_killed_at_random_moments_a_random_part_the_result_is_the_same(
    start: Start, nodes: Nodes, whole: dict[str, Any], tmp_path: Path
) -> None:
    """The writer or a worker; ``make faults`` does it fifteen times."""
    dice = random.Random(5)
    for turn in range(max(1, KILLS // 6)):
        run, asked = tmp_path / f"run{turn}", tmp_path / f"asked{turn}.txt"
        arguments = ("--model", f"scripted:0.02:{asked}", *TASKS, "--batch-size", 4)
        command = (*arguments, "--output", run.name, "--ray", nodes.address)
        lost = 0
        for kill in range(3 if KILLS > 6 else 2):
            process = start(*command)
            wait_for_moment(run, process, dice, dice.choice((0, 0, 1, 2)))
            part = ("writer", "worker")[(kill + turn) % 2]
            if part == "writer":
                process.kill()
            else:
                for pid in dice.sample(found := workers_of(), min(1, len(found))):
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            lost += 3 * 2 * 4 + 8  # what three workers had, and what was being stored
            _, errors = process.communicate(timeout=120)
            assert process.returncode == (-9 if part == "writer" else 0), errors
        last = start(*command)
        last.communicate(timeout=120)
        assert last.returncode == 0
        counts = times_asked(asked)
        assert sum(counts.values()) - len(counts) <= lost
        assert content(run) == whole
        assert_clean(run)


# -- what cannot be ----------------------------------------------------------------------------


def test_no_cluster_and_a_model_without_a_name_are_one_line(
    call: Call, nodes: Nodes, tmp_path: Path
) -> None:
    from harmon_eval.adapters.scripted import ScriptedResponder
    from harmon_eval.core import UserError
    from harmon_eval.running import evaluate
    from harmon_eval.running.engine import Pool

    base = ("--model", "scripted", *TASKS)
    for given, said in {
        ("--workers", 0): "--workers 0: must be at least 1",
        ("--workers", 10_000): "--workers 10000 is too many for the",
        ("--ray", "127.0.0.1:9"): "no Ray cluster at 127.0.0.1:9: ",
        ("--ray", "somewhere"): "an address is HOST:PORT",
        ("--ray", "ray://127.0.0.1:9"): "on a node of the cluster",
    }.items():
        refused = call(*base, *given)
        assert refused.code == 2 and said in refused.err and refused.err.count("\n") == 1
    pool = Pool(ray=nodes.address)
    request = evaluate.Request(ScriptedResponder(), tasks="toy_ask", output=tmp_path, pool=pool)
    with pytest.raises(UserError, match="it needs a name"):
        evaluate.run(request)


def test_a_model_that_workers_cannot_open_is_one_line_and_no_endless_restart(
    call: Call, nodes: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harmon_eval.running.on_ray.PAUSE", 0.1)
    (tmp_path / "mine.py").write_text(FLAWED)
    base = ("--include", "mine.py", "--tasks", "toy_ask", "--ray", nodes.address, "--workers", 1)
    for argument, said in {
        "cannot-be-opened": "cannot begin: BufferError: of no kind",
        "dies-when-opened": "error: workers die before they begin: ",
    }.items():
        refused = call(*base, "--model", f"mine:{argument}", "--output", argument)
        assert refused.code == 2 and said in refused.err, refused.err


# By `make faults` alone: until Ray takes a node for dead, half a minute passes.
@pytest.mark.skipif(
    "HARMON_EVAL_TEST_KILLS" not in os.environ, reason="nodes are killed by `make faults`"
)
def test_a_killed_node_loses_nothing_and_one_that_joins_is_used(
    start: Start, nodes: Nodes, whole: dict[str, Any], tmp_path: Path
) -> None:
    model = ("--model", f"scripted:0.05:{tmp_path}/asked.txt", *TASKS, "--batch-size", 2)
    process = start(*model, "--output", "run", "--ray", nodes.address)
    wait_for_any(tmp_path / "run", "toy_draw/responses.jsonl", process)
    nodes.replace_by_force()
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    counts = times_asked(tmp_path / "asked.txt")
    assert sum(counts.values()) - len(counts) <= 3 * 2 * 2, "of three workers, two batches each"
    assert content(tmp_path / "run") == whole
