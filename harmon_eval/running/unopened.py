"""What a model can do, known from its adapter before its weights are loaded.

An opener says by its return annotation which class it gives. What only a model's files or the
samples tell, its module may say in functions: ``serves(verb, argument, settings)``, and
``check_samples(model, task, samples)``, which raises UserError for what none of it can answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harmon_eval import registry
from harmon_eval.core import Responder, Sample, Task
from harmon_eval.settings import split


@dataclass(frozen=True)
class Unopened:
    """A model that runs a network of its own. ``kind``: the class it will be of, None if unknown.
    ``serves`` and ``check``: what its module says, None if nothing."""

    name: str
    kind: type[Responder] | None
    serves: Callable[..., bool] | None
    check: Callable[..., None] | None

    def can(self, verb: str) -> bool:
        offered = self.kind is None or self.kind.offers(verb)
        return offered and (self.serves is None or self.serves(verb=verb))

    def expect(self, name: str, task: Task, samples: Sequence[Sample]) -> None:
        """Raises UserError as the model's own ``expect``."""
        Responder().expect(name, task, samples)
        if self.check:
            self.check(model=self.name, task=name, samples=samples)


def found(model: str | Responder, given: Mapping[str, Any]) -> Unopened | None:
    """A model that would have to be loaded; None for one that is light, or open. Raises UserError
    for an unknown name or setting."""
    if not isinstance(model, str):
        return None
    prepared = registry.prepared(model, given)
    if not prepared.network:
        return None
    kind = prepared.returned()
    own = kind if isinstance(kind, type) and issubclass(kind, Responder) else None
    known = None if own is Responder else own
    hooks = (prepared.hook(name) for name in ("serves", "check_samples"))
    return Unopened(split(model)[0], known, *hooks)
