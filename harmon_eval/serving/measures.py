"""Measures of one image that are no benchmark: they need the image and, most of them, its prompt.

Any instrument of the role ``measure`` is one: ``clipscore``, ``clipscore:FOLDER?recipe=cosine``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harmon_eval import registry, settings
from harmon_eval.core import About, Answer, Instruments, Metric, Reward, Row, Task
from harmon_eval.files.images import read_picture

if TYPE_CHECKING:
    import pandas as pd

ROLE = "measure"
STAND_IN = {"clipscore": "mini"}  # in the mini suite


def names() -> list[str]:
    return [name for name in registry.instrument_names(ROLE) if name not in STAND_IN.values()]


def head_of(spec: str) -> str:
    """``clipscore`` of ``clipscore:FOLDER?recipe=cosine``."""
    return settings.split(spec)[0].partition(":")[0]


def task(spec: str, suite: str) -> Task:
    """The measure as a task without prompts of its own. Raises UserError for an unknown one."""
    head = head_of(spec)
    registry.check_instrument(ROLE, spec)
    own = STAND_IN.get(spec, spec) if suite == "mini" else spec
    return Task(
        samples=lambda data: (),
        mark=partial(_mark, role=head),
        summarize=partial(_summarize, name=head),
        metrics=(Metric(f"{head}[*]", maximum=None, headline=True),),
        about=About(paper="", version="1"),
        # By a role of its own, so that two measures can be served at once.
        instruments={head: partial(_open, spec=own)},
        reward=Reward.of_columns(head, target=_target),
    )


def _open(find: Callable[..., Path], spec: str) -> Any:
    return registry.instrument(ROLE, spec, find)


def _target(prompt: str, metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    return {}


def _mark(answers: Sequence[Answer], instruments: Instruments, role: str) -> list[Row]:
    """One number an image, or why there is none. Raises Unscorable for what is no image."""
    measure = instruments[role]
    images = [read_picture(answer.image) for answer in answers]
    values = measure.measure(images, [answer.sample.request.text for answer in answers])
    return [
        {"unscored": str(value)}
        if isinstance(value, Exception)
        else {"prompt": answer.sample.request.text, "measure": measure.name, role: float(value)}
        for answer, value in zip(answers, values, strict=True)
    ]


def _summarize(rows: pd.DataFrame, name: str) -> dict[str, float]:
    """The mean; the measure's recipe and network stand in brackets."""
    return {f"{name}[{rows['measure'].iloc[0]}]": float(rows[name].mean())}
