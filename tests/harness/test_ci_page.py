"""What docs/ci.md tells people to copy: it is read, and its commands are run."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from harmon_eval import cli

Call = Callable[..., Any]
Made = Callable[..., Path]
PAGE = (Path(__file__).parents[2] / "docs/ci.md").read_text()
GOOD, BAD = [[1]] * 70, [[0]] * 20 + [[1]] * 50


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
    made, (*drawn, gate) = list(commands("baseline")), list(commands("gate"))
    folders = [[words[words.index("--output") + 1] for words in each] for each in (made, drawn)]
    assert {folder.split("/")[0] for folder in folders[0]} == {save["path"]} == {restore["path"]}
    compared = [gate[1:3], gate[gate.index("--pool") + 1 : gate.index("--pool") + 3]]
    assert gate[0] == "compare" and compared == [list(two) for two in zip(*folders, strict=True)]
    own = {*folders[0], *folders[1]}
    plain = [[word for word in words if word not in own] for words in (*made, *drawn)]
    assert plain[: len(made)] == plain[len(made) :], "the same seeds on both sides"
    assert save["key"].startswith(restore["restore-keys"]) and restore["fail-on-cache-miss"]
    kept = workflow["jobs"]["gate"]["steps"][-1]
    assert kept["if"] == "always()", "the report of a gate that stopped is wanted most"
    written = {gate[gate.index(option) + 1] for option in ("--junit", "--json")}
    assert set(kept["with"]["path"].split()) == written


def test_its_runs_draw(call: Call) -> None:
    for words in (*commands("baseline"), *list(commands("gate"))[:-1]):
        assert call(*words, "--limit", 1, "--steps", 1, "--diffusion-steps", 2).code == 0
        assert Path(words[-1], "geneval/metrics.json").exists()


@pytest.mark.parametrize(
    ("marks", "code", "found"),
    [
        (GOOD, 0, {"passed: shown to be no worse"}),
        (BAD, 1, {"worse", "worse than the baseline"}),
        (GOOD[:12], 2, {"cannot be told", "cannot decide"}),
        ([*GOOD[1:], ["failed"]], 2, {"not comparable", "cannot decide"}),
    ],
)
def test_the_gate_has_three_outcomes(
    call: Call, made_run: Made, marks: list[list[Any]], code: int, found: set[str]
) -> None:
    for seed in (0, 1):
        made_run(f"baseline/{seed}", GOOD, seed=seed)
        made_run(f"candidate/{seed}", marks, seed=seed, model="other")
    (*_, gate) = commands("gate")
    assert call(*gate).code == code
    assert Path("$GITHUB_STEP_SUMMARY").exists()
    assert outcome() == found


def outcome() -> set[str]:
    """What the reports of the last gate say, and the type of its failure or error."""
    written = json.loads(Path("gate.json").read_text())
    case = ElementTree.parse("gate.xml").getroot().find("testcase")
    assert case is not None
    return {written["result"], *(own.get("type", "") for own in case if own.tag != "system-out")}


def test_an_error_of_use_is_no_verdict(call: Call, made_run: Made) -> None:
    (*_, gate) = commands("gate")
    done = call(*gate)
    assert done.code == 2 and done.err.startswith("error: ")
    assert outcome() == {"error"}
    assert json.loads(Path("gate.json").read_text())["reason"] in done.err


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
    call("--model", "scripted", "--tasks", "toy_ask", "--seed", 1, "--output", "base")
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
    assert done.returncode == 2 and "cannot be told" in done.stdout, "ten questions show nothing"
    assert (tmp_path / "runs/scripted/manifest.json").exists()


def test_every_other_command_of_the_page_is_one_that_there_is() -> None:
    found = [shlex.split(line) for line in re.findall(r"`python -m harmon_eval ([^`]*)`", PAGE)]
    assert {cli.parse(words)[0] for words in found} == {"plan", "track"}
