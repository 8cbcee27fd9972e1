"""Any object with a verb as a method, as a model under test (``harmon_eval.evaluate``)."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from harmon_eval.core import NOT_GIVEN, Responder, UserError


class OwnModel(Responder):
    """A model with one or more of the verbs as methods: a list of requests in, a list out.

    ``name``, ``fingerprint``, ``settings`` and ``about`` are its attributes, where it has them.
    Raises UserError for a class in place of an object, or for settings that are no JSON."""

    def __init__(self, model: object) -> None:
        if isinstance(model, type):
            raise UserError(f"{model.__name__} is a class: give an object, {model.__name__}()")
        self.model = model
        self.name = str(getattr(model, "name", "") or type(model).__name__)
        self.fingerprint = str(getattr(model, "fingerprint", "") or NOT_GIVEN)
        self.settings = self._mapping("settings")
        self.about = self._mapping("about")
        # These are there already, to say what a model cannot do; other verbs come by __getattr__.
        for verb in ("draw", "edit", "ask", "embed"):
            if self.can(verb):
                setattr(self, verb, self._method(verb))

    def can(self, verb: str) -> bool:
        return callable(getattr(self.model, verb, None))

    def __getattr__(self, verb: str) -> Callable[[Sequence[Any]], list[Any]]:
        if verb.startswith("_") or verb == "model" or not self.can(verb):
            raise AttributeError(verb)
        return self._method(verb)

    def _method(self, verb: str) -> Callable[[Sequence[Any]], list[Any]]:
        def answered(requests: Sequence[Any]) -> list[Any]:
            found = getattr(self.model, verb)(list(requests))
            if found is None:
                raise UserError(f"{self.name}.{verb} gave None: it has to give a list")
            if isinstance(found, str | bytes | Mapping | set):  # these fall apart into something
                kind = type(found).__name__
                raise UserError(f"{self.name}.{verb} gave one {kind}: it has to give a list")
            return list(found)

        return answered

    def _mapping(self, attribute: str) -> dict[str, Any]:
        value = getattr(self.model, attribute, {})
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            value = dataclasses.asdict(value)
        try:
            if not isinstance(value, Mapping):
                raise TypeError(f"a {type(value).__name__}")
            return dict(json.loads(json.dumps(dict(value), allow_nan=False)))
        except (TypeError, ValueError) as error:
            raise UserError(
                f"{self.name}.{attribute} has to be a dictionary of plain values ({error})"
            ) from None


def responder(model: object) -> Responder:
    """The model itself where it is a Responder."""
    return model if isinstance(model, Responder) else OwnModel(model)
