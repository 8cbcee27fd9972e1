"""Logs of other tools, and the command that makes runs of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

import harmon_eval
from harmon_eval import cli
from harmon_eval.core import Ask, Responder
from harmon_eval.report.results import Run

LOGS = Path(__file__).resolve().parents[1] / "fixtures" / "logs"


class Yes(Responder):
    name, fingerprint = "yes", "yes-1"

    def ask(self, requests: Sequence[Ask]) -> list[str]:
        return ["yes"] * len(requests)


def brought_in(log: Path, to: Path, *more: str, code: int = 0) -> Run:
    assert cli.main(["import", str(log), "--output", str(to), *more]) == code
    return harmon_eval.load(to)


def refused(log: Path, to: Path, capsys: pytest.CaptureFixture[str]) -> str:
    assert cli.main(["import", str(log), "--output", str(to)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and said.startswith("error: ")
    return said
