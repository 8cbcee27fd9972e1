"""The harness on a model in training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harmon_eval.model.train.recipe import Evaluation, Recipe, RecipeError

if TYPE_CHECKING:
    from harmon_eval.trackers import Trackers


def check_tasks(names: Sequence[str]) -> None:
    """Before the first step, not at the first evaluation. Raises RecipeError."""
    from harmon_eval import registry
    from harmon_eval.core import UserError

    for name in names:
        try:
            registry.task(name)
        except UserError as error:
            raise RecipeError(f"eval.tasks: {error}") from None


def harness_scores(folder: Path, evaluation: Evaluation) -> list[dict[str, Any]]:
    """Run the harness on ``folder``/model; one entry a task: its headline with the interval."""
    # The network is usable without the harness, so that is imported where it is asked for.
    import harmon_eval
    from harmon_eval.core import UserError

    try:
        run = harmon_eval.evaluate(
            str(folder / "model"),
            evaluation.tasks,
            suite=evaluation.suite,
            limit=evaluation.limit or None,
            output=folder / "run",
        )
    except UserError as error:
        raise RecipeError(f"eval.tasks: {error}") from None
    return [
        {
            "task": name,
            "metric": found.headline,
            "score": found.score,
            "interval": found.interval,
            "n": found.n,
            **({"unscored": dict(found.unscored)} if found.unscored else {}),
        }
        for name, found in sorted(run.items())
    ]


def opened_trackers(names: Sequence[str], recipe: Recipe, folder: Path) -> Trackers:
    """The harness's trackers, told the recipe. Raises RecipeError."""
    import harmon_eval
    from harmon_eval.core import UserError

    try:
        trackers = harmon_eval.open_trackers(names, folder)
    except UserError as error:
        raise RecipeError(f"watch.trackers: {error}") from None
    trackers.settings({"recipe": json.loads(json.dumps(asdict(recipe), default=str))})
    return trackers
