"""What a manifest and a result must look like: such files lie in folders that anybody may make.

Each check gives the first flaw in a few words, or nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

Check = Callable[[object], bool]


def is_text(value: object) -> bool:
    return isinstance(value, str)


def is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def is_number(value: object) -> bool:
    """Or none: a metric that could not be computed."""
    if value is None:
        return True
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return abs(value) < 1e300 and math.isfinite(value)


def is_object(value: object) -> bool:
    return isinstance(value, dict)


def is_limit(value: object) -> bool:
    return value is None or (is_count(value) and value != 0)


def is_pair(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(is_number, value))


def objects_of(check: Check) -> Check:
    return lambda value: isinstance(value, dict) and all(map(check, value.values()))


def optional(check: Check) -> Check:
    return lambda value: value is None or check(value)


def is_model(value: object) -> bool:
    return isinstance(value, dict) and not [*_flaws(value, MODEL, "")]


def is_identity(value: object) -> bool:
    return isinstance(value, dict) and not [*_flaws(value, IDENTITY, "")]


def is_task(value: object) -> bool:
    return isinstance(value, dict) and not [*_flaws(value, TASK, "")]


def is_provenance(value: object) -> bool:
    return isinstance(value, dict) and not [*_flaws(value, PROVENANCE, "")]


MODEL: dict[str, Check] = {"name": is_text, "fingerprint": is_text, "settings": is_object}
IDENTITY: dict[str, Check] = {
    "suite": optional(is_text),
    "seed": optional(is_count),
    "model": optional(is_model),
}
TASK: dict[str, Check] = {
    "version": optional(is_text),
    "data": is_text,
    "limit": is_limit,
    "state": is_text,
    "n": optional(is_count),
    "unscored": optional(is_count),
}
MANIFEST: dict[str, Check] = {
    "identity": is_identity,
    "tasks": objects_of(is_task),
    "state": optional(is_text),
    "data": optional(is_text),
    "instruments": optional(objects_of(is_text)),
    "environment": optional(is_object),
    "about": optional(is_object),
    "started": optional(is_text),
    "finished": optional(is_text),
}
PROVENANCE: dict[str, Check] = {
    "suite": is_text,
    "seed": is_count,
    "version": is_text,
    "data": is_text,
    "instruments": is_object,
    "model": is_model,
}


def is_texts(value: object) -> bool:
    return isinstance(value, list) and all(map(is_text, value))


METRICS: dict[str, Check] = {
    "task": is_text,
    "headline": is_text,
    "higher_is_better": lambda value: isinstance(value, bool),
    "paper": optional(is_text),
    "metrics": objects_of(is_number),
    "intervals": objects_of(is_pair),
    "seed_intervals": optional(objects_of(is_pair)),
    "census": optional(is_texts),
    "census_strata": optional(is_texts),
    "missing": optional(is_texts),
    "n": is_count,
    "total": is_count,
    "groups": optional(is_count),
    "counts": optional(objects_of(is_pair)),
    "unscored": objects_of(is_count),
    "unscored_counts": optional(objects_of(is_count)),
    "bounds": optional(is_pair),
    "floor": optional(
        lambda value: (
            isinstance(value, dict)
            and is_text(value.get("reply"))
            and is_number(value.get("score"))
        )
    ),
    "floors": optional(objects_of(objects_of(is_number))),
    "provenance": is_provenance,
}


def flaw(value: object, kind: Mapping[str, Check]) -> str:
    """The first field that is missing or of a wrong kind; empty where there is none."""
    if not isinstance(value, dict):
        return "it is no object"
    return next(_flaws(value, kind, ""), "")


def _flaws(value: Mapping[str, Any], kind: Mapping[str, Check], where: str) -> Iterator[str]:
    for name, check in kind.items():
        if not check(value.get(name)):
            yield f"{where}{name!r} is missing or no such value"
