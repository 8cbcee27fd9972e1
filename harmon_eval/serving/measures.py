"""Measures of one image that are no benchmark: they need the prompt and nothing else."""

from __future__ import annotations

from harmon_eval.core import Task, UserError

NAMES: tuple[str, ...] = ()


def task(name: str) -> Task:
    """Raises UserError for an unknown measure."""
    raise UserError(f"there is no measure {name!r}")
