"""The harness on a model in training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harmon_eval.model.train.recipe import Evaluation, RecipeError


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
    from harmon_eval.core import UserError
    from harmon_eval.running import evaluate
    from harmon_eval.running.jobs import RunSettings

    request = evaluate.Request(
        model=str(folder / "model"),
        tasks=evaluation.tasks,
        suite=evaluation.suite,
        settings=RunSettings(limit=evaluation.limit or None),
        output=folder / "run",
    )
    try:
        outcome = evaluate.run(request)
    except UserError as error:
        raise RecipeError(f"eval.tasks: {error}") from None
    return [
        {
            "task": name,
            "metric": found.headline,
            "score": found.score,
            "interval": found.interval,
            "n": found.n,
        }
        for name, found in sorted(outcome.results.items())
    ]
