"""Any model as a judge: an OpenAI-compatible endpoint, a local vision-language model, ..."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harmon_eval import registry
from harmon_eval.core import UserError
from harmon_eval.instruments.judging import Judge

SERVED = "openai"
ATTEMPTS = 3
KEYS = ("JUDGE_API_KEY", "OPENAI_API_KEY")
# US dollars for a million tokens in and out, of the one judge behind WISE's published numbers.
PRICES = {"gpt-4o-2024-05-13": (5.0, 15.0)}


@dataclass(frozen=True)
class Settings:
    """What a judge may cost and how it is asked.

    ``price``: US dollars for a million tokens in and out, as ``5:15``. ``budget``: US dollars that
    the judges of a run folder may cost in all. ``body``: further fields of each request, as JSON.
    These are for an endpoint; ``concurrency`` is its number of requests at a time."""

    price: tuple[float, float] | None = None
    budget: float | None = None
    body: Mapping[str, Any] = field(default_factory=dict)
    concurrency: int | None = None
    device: str | None = None

    def __post_init__(self) -> None:
        if self.concurrency is not None and self.concurrency < 1:
            raise ValueError(f"concurrency {self.concurrency}: must be at least 1")
        for dollars in (self.budget, *(self.price or ())):
            if dollars is not None and not 0 <= dollars < math.inf:
                raise ValueError(f"{dollars:g} US dollars: must be 0 or more")


def open_instrument(argument: str, settings: Settings) -> Judge:
    """``openai:MODEL@URL``, ``vlm:PATH`` or any other model that answers questions.

    Raises UserError for a model that cannot, and for settings that it would not follow."""
    if argument.partition(":")[0] == SERVED:
        return _served(argument.partition(":")[2], settings)
    for name in ("price", "budget", "body", "concurrency"):
        if getattr(settings, name):
            raise UserError(f"judge={argument}: {name} is for an endpoint, openai:MODEL@URL")
    responder = registry.model(argument, {"device": settings.device})
    if not responder.can("ask"):
        raise UserError(f"{responder.name} cannot answer questions: choose another judge")
    digest = hashlib.sha256(responder.fingerprint.encode()).hexdigest()[:8]
    return Judge(responder, name=f"{responder.name}-{digest}")


def _served(argument: str, settings: Settings) -> Judge:
    from harmon_eval.adapters import openai
    from harmon_eval.adapters._endpoint import Patience

    url, model = openai.place(argument)
    price = settings.price or PRICES.get(model)
    if settings.budget is not None and price is None:
        raise UserError(
            f"judge=openai:{model}: a budget needs the price, as price=IN:OUT (US dollars for a "
            "million tokens)"
        )
    limits = [settings.body.get(name, 0) for name in ("max_completion_tokens", "max_tokens")]
    if settings.budget is not None and None in limits and not any(limits):
        raise UserError(
            f"judge=openai:{model}: a budget needs a limit of tokens: give max_tokens a number"
        )
    concurrency = settings.concurrency or 8
    responder = openai.OpenAIResponder(
        url,
        model,
        keys=KEYS,
        body=settings.body,
        text_first=True,
        patience=Patience(concurrency=concurrency),
        option="--judge-body JSON",
    )
    return Judge(
        responder,
        attempts=ATTEMPTS,
        workers=concurrency,
        batch=1,
        price=price,
        budget=settings.budget,
        served=True,
    )
