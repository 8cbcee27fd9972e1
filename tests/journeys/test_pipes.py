"""``... | head``: who reads the first lines and leaves changes neither files nor verdicts."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

Call = Callable[..., Any]
Start = Callable[..., "subprocess.Popen[str]"]
RUN = ("--model", "scripted", "--tasks", "vqa:asked.jsonl")

# One knows the answers, the other none.
MODELS = """
import re
from harmon_eval.core import Responder

class Answering(Responder):
    fingerprint = "1"
    def __init__(self, name):
        self.name = name
    def ask(self, requests):
        right = self.name == "right"
        return [re.search("[0-9]+", r.question)[0] if right else "?" for r in requests]

def open_model(argument):
    return Answering(argument)
"""


@pytest.fixture(autouse=True)
def asked(tmp_path: Path) -> None:
    rows = ({"question": f"What is {n} in digits?", "answer": str(n)} for n in range(40))
    (tmp_path / "asked.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def left_alone(process: subprocess.Popen[str]) -> tuple[int, str]:
    """The exit code and what was said, when nobody reads standard output."""
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    said = process.stderr.read()
    return process.wait(timeout=120), said


@pytest.mark.parametrize("rest", [(), ("--summary", "summary.md")])
def test_a_comparison_keeps_its_verdict_and_its_files(
    call: Call, start: Start, tmp_path: Path, rest: tuple[str, ...]
) -> None:
    call(*RUN, "--output", "a")
    call(*RUN, "--output", "b")
    files = ("--junit", "gate.xml", "--json", "gate.json", *rest)
    expected = call("compare", "a", "b", *files)
    contents = {name: (tmp_path / name).read_bytes() for name in ("gate.xml", "gate.json")}
    for name in contents:
        (tmp_path / name).unlink()
    code, said = left_alone(start("compare", "a", "b", *files))
    assert code == expected.code
    assert "Traceback" not in said and "BrokenPipe" not in said
    ElementTree.fromstring(contents["gate.xml"])
    assert {name: (tmp_path / name).read_bytes() for name in contents} == contents


def test_a_worse_candidate_is_worse_whoever_reads(call: Call, start: Start, tmp_path: Path) -> None:
    (tmp_path / "models.py").write_text(MODELS)
    for name in ("right", "wrong"):
        own = ("--include", "models.py", "--model", f"models:{name}")
        assert call(*own, "--tasks", "vqa:asked.jsonl", "--output", name).code == 0
    flags = ("compare", "right", "wrong", "--any-settings")
    assert call(*flags).code == 1, "worse"
    assert left_alone(start(*flags))[0] == 1
    assert call("compare", "wrong", "right", "--any-settings").code == 0
    assert left_alone(start("compare", "wrong", "right", "--any-settings"))[0] == 0


def test_a_run_and_a_table_go_on_to_their_end(call: Call, start: Start, tmp_path: Path) -> None:
    assert left_alone(start(*RUN, "--output", "run"))[0] == 0
    assert list((tmp_path / "run").glob("*/metrics.json"))
    gated = left_alone(start(*RUN, "--output", "again", "--baseline", "run", "--gate"))
    assert gated[0] == call("compare", "run", "again").code
    for command in (("show", "run"), ("leaderboard", "run"), ("list",)):
        assert left_alone(start(*command))[0] == 0
