"""Instruments that a task can do without: what they would measure is left out, with the reason."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harmon_eval import registry
from harmon_eval.core import InstrumentMissing
from harmon_eval.instruments.weights import Weights

logger = logging.getLogger(__name__)


class Absent:
    """In place of an instrument that is not here; ``reason`` says what is missing."""

    identity = "none"

    def __init__(self, reason: str) -> None:
        self.reason = reason


def optional(role: str, spec: str) -> Callable[..., Any]:
    """The default instrument of a role (``Task.instruments``), or ``Absent`` where its weights are
    missing. One that the user names must be there."""

    return _Optional(role, spec)


class _Optional:
    """``named``: the instrument that it opens, whose weights ``prepare`` fetches."""

    def __init__(self, role: str, spec: str) -> None:
        self.role, self.named = role, spec
        self.__name__ = f"{spec} (where its weights are)"

    def __call__(self, find: Callable[[Weights], Path]) -> Any:
        try:
            return registry.instrument(self.role, self.named, find)
        except InstrumentMissing as error:
            logger.warning("%s is left out: %s", self.role, error)
            return Absent(str(error))


def present(instrument: Any) -> Any:
    """The instrument, or None for one that is absent."""
    return None if isinstance(instrument, Absent) else instrument
