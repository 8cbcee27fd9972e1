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
    from harmon_eval.store.durable import read_json
    from harmon_eval.store.run_folder import METRICS

    request = evaluate.Request(
        model=str(folder / "model"),
        given={},
        tasks=",".join(evaluation.tasks),
        suite=evaluation.suite,
        settings=evaluate.RunSettings(limit=evaluation.limit or None),
        output=folder / "run",
    )
    try:
        evaluate.run(request)
    except UserError as error:
        raise RecipeError(f"eval.tasks: {error}") from None
    scores = []
    for path in sorted((folder / "run").glob(f"*/{METRICS}")):
        found = read_json(path)
        name = found["headline"]
        scores.append(
            {
                "task": found["task"],
                "metric": name,
                "score": found["metrics"].get(name),
                "interval": found["intervals"].get(name),
                "n": found["n"],
            }
        )
    return scores
