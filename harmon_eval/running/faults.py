"""Faults in a task's own functions, said in one line that leads its author to the place."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from numbers import Real
from pathlib import Path

from harmon_eval.core import UserError

FAULTS = (ArithmeticError, AttributeError, LookupError, NameError, TypeError, ValueError)


@contextmanager
def of_task(name: str, function: str) -> Iterator[None]:
    """Raises UserError, which names the task, the function and the line, for a fault in it."""
    try:
        yield
    except FAULTS as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        raise UserError(
            f"task {name!r}: its `{function}` failed ({type(error).__name__}: {error}; "
            f"{Path(place.filename).name}, line {place.lineno})"
        ) from error


def check_metrics(name: str, metrics: object) -> dict[str, float]:
    """What ``summarize`` gave. Raises UserError for anything but numbers by their names."""
    if not isinstance(metrics, Mapping):
        raise UserError(
            f"task {name!r}: its `summarize` gave a {type(metrics).__name__}, not a dict of numbers"
        )
    for metric, value in metrics.items():
        if not isinstance(metric, str) or not isinstance(value, Real):
            raise UserError(
                f"task {name!r}: its `summarize` gave {metric!r}: {value!r}, which is no number"
            )
    return dict(metrics)
