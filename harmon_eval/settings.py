"""Settings of models and instruments: ``NAME:ARGUMENT?key=value&key=value``.

A plug-in declares its settings as a dataclass. Settings can be given in a name, as command-line
options or from Python. ``read`` puts them into the dataclass and refuses unknown ones. The field
types say which values are accepted. ``__post_init__`` can check values and raise ValueError. A
class attribute ``REFUSES`` may say why there are no other settings.
"""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import json
import math
import sys
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints
from urllib.parse import parse_qsl

from harmon_eval.core import UserError

T = TypeVar("T")
TRUE, FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off")


def did_you_mean(name: str, known: Iterable[str], cutoff: float = 0.5) -> str:
    """The end of an error message about an unknown name: the most similar known name, or all."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=cutoff)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names)}"


def split(spec: str) -> tuple[str, dict[str, str]]:
    """Split ``PLACE?key=value&...`` into the place and the settings.

    As in a URL, ``%26`` stands for ``&`` and ``%25`` for ``%``. Unlike in a URL, a plus sign stays
    a plus sign, as in ``dpm-solver++``. Raises UserError for a setting without a name or value."""
    place, mark, query = spec.partition("?")
    if not mark:
        return place, {}
    try:
        query = query.replace("+", "%2B")
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True)
    except ValueError:
        raise UserError(f"{spec}: give settings as ?name=value&name=value") from None
    given: dict[str, str] = {}
    for name, value in pairs:
        if not value:
            raise UserError(f"{spec}: {name} has no value: give {name}=VALUE")
        if name in given:
            raise UserError(f"{spec}: {name} is given twice")
        given[name] = value
    return place, given


def declared(opener: Callable[..., Any]) -> type | None:
    """The settings dataclass of an opener: the type of its parameter ``settings``, if it has one.

    Raises UserError if that type is not a dataclass."""
    try:
        parameter = inspect.signature(opener).parameters.get("settings")
    except (TypeError, ValueError):
        return None
    if parameter is None:
        return None
    kind = parameter.annotation
    if isinstance(kind, str):
        kind = _found(kind, getattr(inspect.unwrap(opener), "__globals__", {}))
    if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
        raise UserError(
            f"{getattr(opener, '__name__', opener)}: annotate its parameter 'settings' with the "
            "dataclass that declares the settings"
        )
    return kind


class Prepared(NamedTuple):
    """A model that is not opened: its ``opener`` with the ``values`` for it. ``network``: whether
    it runs one of its own, that is, has the setting ``device``."""

    opener: Callable[..., Any]
    values: dict[str, Any]
    network: bool

    def hook(self, name: str) -> Callable[..., Any] | None:
        """A function beside the opener in its module, with what it takes of the values."""
        function = getattr(sys.modules.get(self.opener.__module__), name, None)
        if function is None:
            return None
        takes = inspect.signature(function).parameters
        return partial(function, **{n: v for n, v in self.values.items() if n in takes})

    def returned(self) -> Any:
        """The class that the opener says it gives; None if it says nothing."""
        kind = inspect.signature(self.opener).return_annotation
        if isinstance(kind, str):
            kind = _found(kind, getattr(inspect.unwrap(self.opener), "__globals__", {}))
        return kind if isinstance(kind, type) and kind is not inspect.Signature.empty else None


def _found(annotation: str, names: Mapping[str, Any]) -> Any:
    """What an annotation names, also in a module as ``module.Settings``; itself if nothing."""
    first, *parts = annotation.split(".")
    found = names.get(first, annotation)
    for part in parts:
        found = getattr(found, part, annotation)
    return found


def together(
    kind: type | None, own: Mapping[str, Any], given: Mapping[str, Any], owner: str
) -> dict[str, Any]:
    """Combine the settings in a name (``own``) with those ``given`` separately.

    Raises UserError if the two give different values for one setting."""
    hints = get_type_hints(kind) if kind else {}
    for name in names(kind) if kind else ():
        if name in own and name in given:
            first, second = (
                _value(hints[name], value, f"{owner}: {name}={value}")
                for value in (own[name], given[name])
            )
            if first != second:
                raise UserError(
                    f"{owner}: {name} is given twice, as {first} in the name and as {second} "
                    "separately: give it once"
                )
    return {**own, **given}


def read(kind: type[T], given: Mapping[str, Any], owner: str) -> T:
    """Make the dataclass ``kind`` from given texts or values. Error messages name ``owner``.

    Raises UserError for a setting that ``kind`` does not have, a value of the wrong type, or a
    value that the dataclass itself refuses (ValueError)."""
    fields = {f.name: f for f in dataclasses.fields(kind) if f.init}  # type: ignore[arg-type]
    hints = get_type_hints(kind)
    values = {}
    for name, value in given.items():
        if name not in fields:
            why = getattr(kind, "REFUSES", "")
            # There are few settings, so guess only if the name looks like a typing error.
            known = did_you_mean(name, fields, cutoff=0.7) if fields else "leave it out"
            raise UserError(f"{owner} has no setting {name!r}{f' ({why})' if why else ''}: {known}")
        values[name] = _value(hints[name], value, f"{owner}: {name}={value}")
    if lacking := [
        name
        for name, f in fields.items()
        if name not in values
        and f.default is dataclasses.MISSING
        and f.default_factory is dataclasses.MISSING
    ]:
        raise UserError(f"{owner} needs the setting {lacking[0]!r}: give ?{lacking[0]}=VALUE")
    try:
        return kind(**values)
    except ValueError as error:
        raise UserError(f"{owner}: {error}") from None


def arguments(opener: Callable[..., Any], owner: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the ``values`` that an opener has parameters for: ``argument``, ``settings`` ...

    ``settings`` are read into the dataclass that it declares. Raises UserError for settings where
    it declares none, for an argument that it does not take, and what ``read`` raises."""
    given, kind = dict(values["settings"]), declared(opener)
    found = {name: value for name, value in values.items() if name != "settings"}
    if kind is not None:
        found["settings"] = read(kind, given, owner)
    elif given:
        raise UserError(f"{owner} has no settings: leave out {', '.join(sorted(given))}")
    takes = inspect.signature(opener).parameters
    if values.get("argument") and "argument" not in takes:
        raise UserError(f"{owner} takes no argument: leave out {values['argument']!r}")
    return {name: value for name, value in found.items() if name in takes}


def _value(kind: Any, value: Any, where: str) -> Any:
    """``value`` as ``kind``. Text is parsed; other values must already have this type."""
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        kinds = [k for k in get_args(kind) if k is not type(None)]
        if value is None or (isinstance(value, str) and value == "none"):
            return None
        return _value(kinds[0], value, where)
    if origin is Literal:
        choices = get_args(kind)
        if str(value) in map(str, choices):
            return next(choice for choice in choices if str(choice) == str(value))
        raise UserError(f"{where}: give {' or '.join(map(str, choices))}")
    if origin is tuple:
        parts = value.split(":") if isinstance(value, str) else list(value)
        kinds = list(get_args(kind))
        if len(parts) != len(kinds):
            raise UserError(f"{where}: give {len(kinds)} values with a colon between them")
        return tuple(_value(k, part, where) for k, part in zip(kinds, parts, strict=True))
    if origin is not None or kind is dict:
        return _mapping(value, where)
    return _plain(kind, value, where)


def _mapping(value: Any, where: str) -> dict[str, Any]:
    try:
        found = json.loads(value) if isinstance(value, str) else value
    except ValueError as error:
        raise UserError(f"{where}: not valid JSON ({error})") from None
    if not isinstance(found, Mapping):
        raise UserError(f'{where}: give a JSON object, such as {{"top_p": 1}}')
    return dict(found)


def _plain(kind: Any, value: Any, where: str) -> Any:
    if kind is bool:
        if isinstance(value, bool):
            return value
        if str(value).lower() in (*TRUE, *FALSE):
            return str(value).lower() in TRUE
        raise UserError(f"{where}: give true or false")
    # In Python, True is also a number, but nobody means it as one.
    whole = isinstance(value, int) and not isinstance(value, bool)
    if isinstance(value, str) or (kind is float and whole) or kind is Path:
        try:
            return kind(value)
        except (TypeError, ValueError):
            raise UserError(f"{where}: give {_named(kind)}") from None
    if not isinstance(value, kind) or isinstance(value, bool):
        raise UserError(f"{where}: give {_named(kind)}")
    return value


def _named(kind: Any) -> str:
    return {int: "a whole number", float: "a number", str: "text"}.get(kind, str(kind.__name__))


def check_range(name: str, value: float | None, low: float, high: float = math.inf) -> None:
    """For ``__post_init__``: raises ValueError if a number is given but not in its range."""
    if value is None or (math.isfinite(value) and low <= value <= high):
        return
    wanted = f"at least {low:g}" if high == math.inf else f"{low:g} to {high:g}"
    raise ValueError(f"{name}={value}: give {wanted}")


def names(kind: type) -> list[str]:
    """Names of the settings that a dataclass declares."""
    return [f.name for f in dataclasses.fields(kind) if f.init]


def variant(argument: str, **choices: Sequence[str]) -> dict[str, str]:
    """What ``TASK:WORD+WORD`` chooses: one word from each list of choices (default: the first).

    Raises UserError for an unknown word, and for two words from the same list."""
    chosen: dict[str, str] = {}
    for word in filter(None, argument.split("+")):
        name = next((name for name, words in choices.items() if word in words), None)
        if name is None:
            known = [word for words in choices.values() for word in words]
            raise UserError(f"unknown variant {word!r}: {did_you_mean(word, known)}")
        if chosen.setdefault(name, word) != word:
            raise UserError(f"variants {chosen[name]!r} and {word!r} exclude each other: name one")
    return {name: chosen.get(name, words[0]) for name, words in choices.items()}
