"""What the caller of a comparison wants: the losses that matter, by task."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from harmon_eval.core import UserError
from harmon_eval.settings import did_you_mean


@dataclass(frozen=True)
class Settings:
    """What the caller wants, in the metric's units, by task; the key "" applies to all tasks.

    ``tolerance``: the loss beyond which a headline is worse. ``effect``: the loss that must not be
    missed. ``no_worse_than``: the loss that must be ruled out. ``looks``: how many candidates share
    the 5 % for calling any of them worse."""

    tolerance: Mapping[str, float]
    effect: Mapping[str, float]
    every_metric: bool = False
    no_worse_than: Mapping[str, float] | None = None
    looks: int = 1

    def check(self, tasks: Mapping[str, float | None]) -> None:
        """``tasks``: those that are compared, each with the maximum of its headline.

        Raises UserError for options that contradict each other, that name another task, or that
        are as large as the headline can be."""
        check_options(self.tolerance, self.effect, self.no_worse_than or {})
        given = {"--tolerance": self.tolerance, "--effect": self.effect}
        for option, values in {**given, "--no-worse-than": self.no_worse_than or {}}.items():
            for name in values.keys() - {"", *tasks}:
                raise UserError(
                    f"{option} {name}: this task is not compared, {did_you_mean(name, [*tasks])}"
                )
            for name, top in tasks.items():
                value = values.get(name, values.get("", 0.0))
                if top is not None and value >= top:
                    raise UserError(
                        f"{option} {value:g} for {name}: its headline goes from 0 to {top:g}, so "
                        "no loss is as large: give a smaller one"
                    )
        if self.no_worse_than and "" not in self.no_worse_than:
            for name in tasks:
                if name not in self.no_worse_than:
                    raise UserError(
                        f"--no-worse-than has no value for {name}: give {name}=T, or leave it out "
                        "of --tasks"
                    )
        for name in tasks:
            effect, least = self.wanted(name), self.margin(name)
            if effect is not None and effect <= least:
                more = f"its --tolerance, {least:g}" if least else "0"
                raise UserError(f"--effect {effect:g} for {name}: must be more than {more}")

    def scales(self, tasks: Mapping[str, float | None]) -> tuple[str, ...]:
        """Notes on one number for headlines of several scales: 0.05 is little of 100 points.

        ``tasks``: as for :meth:`check`."""
        options = (("--tolerance", self.tolerance), ("--effect", self.effect))
        notes = []
        for option, values in (*options, ("--no-worse-than", self.no_worse_than or {})):
            tops = {name: top for name, top in tasks.items() if top and name not in values}
            if values.get("") and len(set(tops.values())) > 1:
                each = ", ".join(f"{name} to {top:g}" for name, top in tops.items())
                notes.append(
                    f"{option} {values['']:g} is in the units of each headline, and they go from 0 "
                    f"to different maxima ({each}): TASK=NUMBER,... gives each its own"
                )
        return tuple(notes)

    def margin(self, task: str) -> float:
        values = self.no_worse_than or self.tolerance
        return values.get(task, values.get("", 0.0))

    def wanted(self, task: str) -> float | None:
        return self.effect.get(task, self.effect.get(""))


def check_options(
    tolerance: Mapping[str, float], effect: Mapping[str, float], no_worse_than: Mapping[str, float]
) -> None:
    """Raises UserError for options that exclude each other."""
    for option, values in (("--tolerance", tolerance), ("--effect", effect)):
        if no_worse_than and values:
            raise UserError(
                f"--no-worse-than and {option}: give one of them; --no-worse-than asks for proof "
                f"that no such loss happened, {option} does not"
            )
    if any(value == 0 for value in no_worse_than.values()):
        raise UserError(
            "--no-worse-than 0: no number of samples could show it of two equal models; "
            "give the loss that would matter"
        )


def by_task(text: str, option: str) -> dict[str, float]:
    """Parse ``0.02`` or ``geneval=0.02,mjhq=0.5`` into task -> value; "" means all tasks.

    Raises UserError if a value is not a number of at least 0, or if a task has two."""
    found = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        task, _, number = part.rpartition("=")
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and value >= 0):
            raise UserError(f"{option} {part}: give a number of at least 0, or TASK=NUMBER,...")
        if task in found:
            again = f"two values for {task}" if task else "two values for all tasks"
            raise UserError(f"{option} {text}: {again}: give one")
        found[task] = value
    return found
