"""What goes wrong without ending a training: broken samples, and steps that are not taken."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from harmon_eval.model.train.recipe import Recipe, TrainingError

FEW = 100  # samples before which a share says nothing


class Faults:
    """Broken samples of this process, in ``path``, one JSON object a line; each is named once.

    More than ``share`` of the samples ends the run."""

    def __init__(self, path: Path, share: float) -> None:
        self.path, self.share = path, share
        self.seen = 0
        self.skipped = 0
        self._named: set[str] = set()

    def add(self, name: str, reason: str) -> None:
        self.skipped += 1
        if name not in self._named:
            self._named.add(name)
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"sample": name, "reason": reason[:500]}) + "\n")
        if self.skipped > self.share * max(FEW, self.seen + self.skipped):
            some = ", ".join(sorted(self._named)[:10])
            raise TrainingError(
                f"{self.skipped} of {self.seen + self.skipped} samples are broken, more than the "
                f"share broken = {self.share:g}: {some} ...; the list with reasons is {self.path}"
            )

    def state(self) -> dict[str, int]:
        return {"seen": self.seen, "skipped": self.skipped}

    def restore(self, state: dict[str, int]) -> None:
        self.seen, self.skipped = state["seen"], state["skipped"]


class Alarm:
    """Loss that is not finite, or above ``spike`` times its running mean over about 50 steps.

    A running mean for each set of sources, because the cycle may grow."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.means: dict[str, float] = {}
        self.counts: dict[str, int] = {}

    def trouble(self, losses: dict[str, float]) -> str | None:
        """What is wrong with a step's losses by source, or None; remembers those of a sound one."""
        for name, loss in losses.items():
            if not math.isfinite(loss):
                return f"the loss of {name} is {loss}"
            limit = self.recipe.spike * self.means.get(name, 0.0)
            if self.recipe.spike and self.counts.get(name, 0) >= 20 and loss > limit:
                return f"the loss of {name}, {loss:.4g}, is a spike (limit {limit:.4g})"
        for name, loss in losses.items():
            before = self.means.get(name, loss)
            self.means[name] = before + (loss - before) / min(50, self.counts.get(name, 0) + 1)
            self.counts[name] = self.counts.get(name, 0) + 1
        return None

    def state(self) -> dict[str, Any]:
        return {"means": dict(self.means), "counts": dict(self.counts)}

    def restore(self, state: dict[str, Any]) -> None:
        self.means, self.counts = dict(state["means"]), dict(state["counts"])
