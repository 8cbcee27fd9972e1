"""Suites: where a task's data and its measuring instruments come from."""

from __future__ import annotations

from pathlib import Path

from harmon_eval.core import Suite, UserError
from harmon_eval.registry import did_you_mean

NAMES = ("mini", "official")


def load(name: str, data: Path | None = None, detector: str | None = None) -> Suite:
    """``mini`` (bundled, needs no network) or ``official``; ``data`` overrides where files are;
    ``detector`` is the official suite's instrument for GenEval (None: the published one)."""
    if data is not None and not data.is_dir():
        raise UserError(f"--data {data}: no such folder")
    if name == "mini":
        from harmon_eval.suites.mini.suite import MiniSuite

        if detector is not None:
            raise UserError("--detector chooses among the official suite's: add --suite official")
        return MiniSuite(data)
    if name == "official":
        from harmon_eval.suites.official import OfficialSuite

        return OfficialSuite(data, detector)
    raise UserError(f"unknown suite {name!r}: {did_you_mean(name, NAMES)}")
