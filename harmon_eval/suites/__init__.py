"""Suites: where a task's data and its measuring instruments come from."""

from __future__ import annotations

from pathlib import Path

from harmon_eval.core import Suite, UserError
from harmon_eval.registry import did_you_mean
from harmon_eval.scoring.judge import JudgeOptions

NAMES = ("mini", "official")


def load(name: str, data: Path | None = None, judge: JudgeOptions | None = None) -> Suite:
    """``mini`` (bundled, needs no network) or ``official``; ``data`` overrides where files are.

    ``judge`` says which judge is its instrument of that name."""
    if data is not None and not data.is_dir():
        raise UserError(f"--data {data}: no such folder")
    if name == "mini":
        from harmon_eval.suites.mini.suite import MiniSuite

        return MiniSuite(data, judge)
    if name == "official":
        from harmon_eval.suites.official import OfficialSuite

        return OfficialSuite(data, judge)
    raise UserError(f"unknown suite {name!r}: {did_you_mean(name, NAMES)}")
