"""Commands that README and docs show are run, in small.

Those that need weights, servers or hours are read by the program's own parser, as all are
(tests/packaging/test_site.py).
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harmon_eval.model.train.__main__ import main as train

Call = Callable[..., Any]
ROOT = Path(__file__).resolve().parents[2]
PAGES = ("README.md", "CONTRIBUTING.md", *sorted(f"docs/{p.name}" for p in ROOT.glob("docs/*.md")))
MODULE = r"(?:harmon_eval|benchmarks)[\w.]*"
COMMAND = re.compile(rf"(?:python|torchrun|accelerate launch|srun)\b[^#]*?-m {MODULE}.*")
QUICK = "--model scripted --limit 2"
# The command as the docs show it -> what is run for it: in small, with what is made here.
RUN = {
    "python -m harmon_eval --tasks geneval,mjhq": f"--tasks geneval {QUICK}",
    "python -m harmon_eval": f"--tasks geneval {QUICK} --output again",
    "python -m harmon_eval leaderboard results/harmon-mini --baselines harmon,janus "
    "--tasks geneval,mjhq": (
        f"leaderboard {ROOT}/results/harmon-mini --baselines harmon,janus --tasks geneval,mjhq"
    ),
    "python -m harmon_eval --help": "--help",
    "python -m harmon_eval plan --no-worse-than 0.05 --tasks geneval": (
        "plan --no-worse-than 0.05 --tasks geneval"
    ),
    "python -m harmon_eval plan --effect 0.05 --tolerance 0.01 --tasks geneval": (
        "plan --effect 0.05 --tolerance 0.01 --tasks geneval"
    ),
    "python -m harmon_eval --tasks geneval --output baseline/0": (
        f"--tasks geneval --output baseline/0 {QUICK}"
    ),
    "python -m harmon_eval --tasks geneval --seed 1 --output baseline/1": (
        f"--tasks geneval --seed 1 --output baseline/1 {QUICK}"
    ),
    "python -m harmon_eval --tasks geneval --output candidate/0": (
        f"--tasks geneval --output candidate/0 {QUICK}"
    ),
    "python -m harmon_eval --tasks geneval --seed 1 --output candidate/1": (
        f"--tasks geneval --seed 1 --output candidate/1 {QUICK}"
    ),
    "python -m harmon_eval compare baseline/0 candidate/0 --pool baseline/1 candidate/1 "
    '--no-worse-than 0.05 --junit gate.xml --json gate.json --summary "$GITHUB_STEP_SUMMARY"': (
        "compare A C --pool B D --no-worse-than 0.05 --junit gate.xml --json gate.json "
        "--summary summary.md"
    ),
    "python -m harmon_eval compare A B": "compare A B",
    "python -m harmon_eval show RUN": "show A",
    "python -m harmon_eval show RUN --tasks geneval": "show A --tasks geneval",
    "python -m harmon_eval show RUN --all-metrics": "show A --all-metrics",
    "python -m harmon_eval --config docs/run.toml": f"--config {ROOT}/docs/run.toml --print-config",
    "python -m harmon_eval --config docs/run.toml --limit 100": (
        f"--config {ROOT}/docs/run.toml --limit 100 --print-config"
    ),
    "python -m harmon_eval --tasks geneval --print-config": "--tasks geneval --print-config",
    "python -m harmon_eval export RUN --format inspect": "export A --format inspect",
    "python -m harmon_eval push RUN --output FOLDER": "push A --output card",
    "python -m harmon_eval compare RUN OTHER --any-settings": "compare A B --any-settings",
    "python -m harmon_eval mark RUN --geneval-threshold 0.5": "mark A --geneval-threshold 0.5",
    "python -m harmon_eval report RUN": "report A",
    "python -m harmon_eval report RUN --against OTHER --against THIRD": (
        "report A --against B --against A"
    ),
    "python -m harmon_eval report RUN --against OTHER --output report.html": (
        "report A --against B --output report.html"
    ),
    "python -m harmon_eval --model scripted --tasks geneval,mjhq --output runs/large": (
        f"--tasks geneval {QUICK} --output runs/large"
    ),
    "python -m harmon_eval report runs/large": "report B",
    "python -m harmon_eval list --pages docs/tasks.md": "list --pages tasks.md",
    "python -m harmon_eval --tasks checklist:points/checklist.jsonl "
    "--instrument judge=openai:MODEL@URL": f"--tasks checklist {QUICK}",
    "python -m harmon_eval --tasks gedit,imgedit": f"--tasks gedit {QUICK}",
    "python -m harmon_eval --tasks seed:likelihood --limit 20": f"--tasks seed:likelihood {QUICK}",
    "python -m harmon_eval --tasks geneval2 --limit 8": f"--tasks geneval2 {QUICK}",
    "python -m harmon_eval --tasks tiif --shuffle-points 7": (
        f"--tasks tiif --shuffle-points 7 {QUICK}"
    ),
    "python -m harmon_eval --tasks genai_bench --limit 8": f"--tasks genai_bench {QUICK}",
    "python -m harmon_eval.model.train stage1 --dry-run": "train stage1 --dry-run",
}


def shown(text: str) -> Iterator[str]:
    """Commands in blocks of code and between backticks, each as one line without its comment."""
    text = re.sub(r"\\\n", " ", text)
    # YAML's folded lines are one line.
    text = re.sub(r">-?\n( +)(\S.*\n(?:\1\S.*\n)*)", lambda m: " ".join(m[2].split()) + "\n", text)
    for number, part in enumerate(re.split(r"^ *```\w*\n(.*?)^ *```", text, flags=re.M | re.S)):
        lines = part.split("\n")
        if number % 2 == 0:
            indented = [line for line in lines if line.startswith("    ")]
            lines = re.findall(r"`([^`]+)`", part) + indented
        for line in lines:
            if found := COMMAND.search(" ".join(line.split())):
                yield re.split(r"\s+#\s", found[0])[0].rstrip(" .,;")


SHOWN = dict.fromkeys(c for page in PAGES for c in shown((ROOT / page).read_text()))


def test_commands_that_are_run_stand_in_the_docs() -> None:
    assert len(SHOWN) > 40, "the docs are read"
    gone = [command for command in RUN if command not in SHOWN]
    assert not gone, "no longer in the docs"


@pytest.fixture
def ready(call: Call, tmp_path: Path, cache: Path) -> Call:
    """The command line beside finished runs, made once: A and C of one seed, B and D of another."""
    made = cache.parent / "documented"
    for seed, names in enumerate(("AC", "BD")):
        run = made / str(seed)
        if not run.exists():
            more = ("--output", run, "--seed", seed)
            assert call("--tasks", "geneval", *QUICK.split(), *more).code == 0
        for name in names:
            shutil.copytree(run, tmp_path / name)
    return call


@pytest.mark.parametrize("command", RUN)
def test_a_command_of_the_docs_runs(ready: Call, command: str) -> None:
    name, *rest = RUN[command].split()
    if name == "train":
        assert train(rest) == 0
        return
    done = ready(name, *rest)
    gate = name == "compare"  # of two runs this small it may say anything
    assert done.code in ((0, 1, 2) if gate else (0,)), done.err
    assert "error:" not in done.err
