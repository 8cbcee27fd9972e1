"""Suites: where a task's data and its measuring instruments come from."""

from __future__ import annotations

from pathlib import Path

from harmon_eval.core import Suite, UserError
from harmon_eval.instruments.judge import JudgeOptions
from harmon_eval.registry import did_you_mean

NAMES = ("mini", "official")


def load(
    name: str,
    data: Path | None = None,
    detector: str | None = None,
    judge: JudgeOptions | None = None,
) -> Suite:
    """``mini`` (bundled, needs no network) or ``official``; ``data`` overrides where files are.

    ``detector`` is the official suite's instrument for GenEval (None: the published one), ``judge``
    says which judge is the instrument of that name."""
    if data is not None and not data.is_dir():
        raise UserError(f"--data {data}: no such folder")
    if name == "mini":
        from harmon_eval.suites.mini.suite import MiniSuite

        if detector is not None:
            raise UserError("--detector chooses among the official suite's: add --suite official")
        return MiniSuite(data, judge)
    if name == "official":
        from harmon_eval.suites.official import OfficialSuite

        return OfficialSuite(data, detector, judge)
    raise UserError(f"unknown suite {name!r}: {did_you_mean(name, NAMES)}")
