"""What stands behind the colon of ``--model ADAPTER:ARGUMENT``."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import parse_qsl

from harmon_eval.core import ModelOptions, UserError


def split(adapter: str, argument: str, known: Iterable[str]) -> tuple[str, dict[str, str]]:
    """``PLACE?name=value&...`` as the place and its settings.

    Raises UserError for no place, a setting that is not ``known``, or one without a value."""
    place, _, query = argument.partition("?")
    names = sorted(known)
    if not place:
        raise UserError(f"{adapter}: needs a folder or hub id, such as --model {adapter}:FOLDER")
    try:
        given = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=True)) if query else {}
    except ValueError:
        raise UserError(f"{adapter}:{argument}: give settings as ?name=value&name=value") from None
    for name, value in given.items():
        if name not in names or not value:
            raise UserError(f"{adapter}: {name}={value}: it takes {', '.join(names)}")
    return place, given


def refuse(adapter: str, options: ModelOptions, unknown: Iterable[str]) -> None:
    """Raises UserError where a setting was given that this model would not follow."""
    if ignored := sorted(options.given().keys() & set(unknown)):
        raise UserError(f"{adapter} has no {', '.join(ignored)}: leave that out")
