"""A run that is killed, goes on, and is the run that nobody disturbed."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Call = Callable[..., Any]
RUN = ("--tasks", "geneval", "--limit", 4, "--batch-size", 2)


def test_killed_resumed_and_compared_with_itself(
    call: Call, start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    whole = call("--model", "scripted:0", *RUN, "--output", "whole")
    assert whole.code in (0, 1)
    killed = start("--model", "scripted:0.2", *RUN, "--output", "killed")
    log = tmp_path / "killed/geneval/responses.jsonl"
    until = time.monotonic() + 120
    while not (log.is_file() and log.stat().st_size) and time.monotonic() < until:
        assert killed.poll() is None, killed.communicate()[1]
        time.sleep(0.05)
    killed.kill()  # kill -9
    killed.communicate()
    state = json.loads((tmp_path / "killed/manifest.json").read_text())
    assert state["state"] != "done"
    resumed = call("--model", "scripted:0", *RUN, "--output", "killed")
    assert resumed.code == whole.code and "reused" in resumed.err
    same = call("compare", "whole", "killed", "--junit", "gate.xml", "--json", "gate.json")
    found = json.loads((tmp_path / "gate.json").read_text())
    assert found["metrics"] and not found["changed"] and same.code in (0, 2)
    assert all(metric["verdict"] != "worse" for metric in found["metrics"])
    assert (tmp_path / "gate.xml").is_file()
    metrics = [
        json.loads((tmp_path / run / "geneval/metrics.json").read_text())["metrics"]
        for run in ("whole", "killed")
    ]
    assert metrics[0] == metrics[1]


def test_a_job_that_the_scheduler_starts_again_goes_on(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    """Killed, and started again under the same job number (slurm-requeue)."""
    job = {"SLURM_JOB_ID": "4711"}
    run = ("--tasks", "geneval", "--limit", 2, "--batch-size", 2, "--output", "run")
    killed = start("--model", "scripted:0.3", *run, **job)
    log = tmp_path / "run/geneval/responses.jsonl"
    until = time.monotonic() + 60
    while not (log.is_file() and log.stat().st_size) and time.monotonic() < until:
        time.sleep(0.1)
    killed.kill()
    killed.communicate()
    again = start("--model", "scripted:0", *run, **job)
    _, said = again.communicate(timeout=120)
    assert again.returncode == 0, said
    assert "reused" in said
