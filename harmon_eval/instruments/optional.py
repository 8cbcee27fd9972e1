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

    def open_instrument(find: Callable[[Weights], Path]) -> Any:
        try:
            return registry.instrument(role, spec, find)
        except InstrumentMissing as error:
            logger.warning("%s is left out: %s", role, error)
            return Absent(str(error))

    open_instrument.__name__ = f"{spec} (where its weights are)"
    return open_instrument


def present(instrument: Any) -> Any:
    """The instrument, or None for one that is absent."""
    return None if isinstance(instrument, Absent) else instrument
