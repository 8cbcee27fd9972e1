"""What docs/ci.md tells people to copy: it is read, and its commands are run."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from harmon_eval import cli

Call = Callable[..., Any]
Made = Callable[..., Path]
PAGE = (Path(__file__).parents[2] / "docs/ci.md").read_text()
GOOD, BAD = [[1]] * 40, [[0]] * 12 + [[1]] * 28


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found
    return found[1]


def commands(job: str) -> Iterator[list[str]]:
    """The harness's own, as the shell would split them."""
    for step in yaml.safe_load(block("yaml"))["jobs"][job]["steps"]:
        words = shlex.split(step.get("run", ""))
        if words[:3] == ["python", "-m", "harmon_eval"]:
            yield words[3:]


def test_the_workflow_hands_the_baseline_of_main_to_the_gate_of_a_pull_request() -> None:
    workflow = yaml.safe_load(block("yaml"))
    assert workflow[True].keys() == {"push", "pull_request"}  # YAML 1.1 reads "on" as true
    save, restore = (
        next(s["with"] for s in workflow["jobs"][job]["steps"] if "actions/cache/" in str(s))
        for job in ("baseline", "gate")
    )
    (made,), (drawn, gate) = list(commands("baseline")), list(commands("gate"))
    assert save["path"] == restore["path"] == made[made.index("--output") + 1] == gate[1]
    assert gate[:3] == ["compare", gate[1], drawn[drawn.index("--output") + 1]]
    assert save["key"].startswith(restore["restore-keys"]) and restore["fail-on-cache-miss"]
    kept = workflow["jobs"]["gate"]["steps"][-1]
    assert kept["if"] == "always()", "the report of a gate that stopped is wanted most"
    written = {gate[gate.index(option) + 1] for option in ("--junit", "--json")}
    assert set(kept["with"]["path"].split()) == written


def test_its_runs_draw(call: Call) -> None:
    for job in ("baseline", "gate"):
        words = next(commands(job))
        assert call(*words, "--limit", 1, "--steps", 1, "--diffusion-steps", 2).code == 0
        assert Path(words[-1], "geneval/metrics.json").exists()


@pytest.mark.parametrize(("marks", "code"), [(GOOD, 0), (BAD, 1), ([*GOOD[1:], ["failed"]], 2)])
def test_the_gate_stops_a_worse_one_and_one_that_cannot_be_judged(
    call: Call, made_run: Made, marks: list[list[Any]], code: int
) -> None:
    made_run("baseline", GOOD)
    made_run("candidate", marks, seed=1)
    (_, gate) = commands("gate")
    assert call(*gate).code == code
    assert all(Path(name).exists() for name in ("gate.xml", "gate.json", "$GITHUB_STEP_SUMMARY"))


def test_the_job_of_a_cluster_ends_in_the_code_of_its_gate(
    call: Call, plugin_folder: Path, tmp_path: Path
) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, line in (("srun", 'exec "$@"'), ("python", f'exec {sys.executable} "$@"')):
        (tools / name).write_text(f"#!/bin/sh\n{line}\n")
        (tools / name).chmod(0o755)
    script = block("bash").replace("official --tasks geneval", "mini --tasks toy_ask")
    script = script.replace("cuda", "cpu")
    assert script != block("bash") and script.startswith("#!/bin/bash\n#SBATCH")
    unset = subprocess.run(["bash", "-c", script], capture_output=True, text=True)
    assert unset.returncode == 1 and "set MODEL to a checkpoint" in unset.stderr
    job = {"MODEL": "scripted", "PATH": f"{tools}:/usr/bin:/bin"}
    call("--model", "scripted", "--tasks", "toy_ask", "--output", "base")
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={
            **job,
            "BASELINE": "base",
            "PYTHONPATH": f"{plugin_folder}:{Path(__file__).parents[2]}",
            "HOME": str(Path.home()),
        },
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs/scripted/manifest.json").exists()


def test_every_other_command_of_the_page_is_one_that_there_is() -> None:
    found = [shlex.split(line) for line in re.findall(r"`python -m harmon_eval ([^`]*)`", PAGE)]
    assert {cli.parse(words)[0] for words in found} == {"plan", "track"}
