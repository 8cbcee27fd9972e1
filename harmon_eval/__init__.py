"""Benchmarks for models that both understand and generate images.

    import harmon_eval

    run = harmon_eval.evaluate(my_model, tasks=["pope", "geneval"], limit=20)
    run["pope"].score
    run["geneval"].show()

``docs/python.md`` has more. Importing this imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from harmon_eval.comparing.verdict import Comparison
    from harmon_eval.core import Task
    from harmon_eval.report.results import Run
    from harmon_eval.trackers import Trackers

    __version__: str

__all__ = ["compare", "evaluate", "include", "leaderboard", "load", "open_trackers"]


def evaluate(
    model: object = "harmon-mini",
    tasks: str | Sequence[str] | Mapping[str, Task] = "all",
    *,
    suite: str = "mini",
    output: Path | str | None = None,
    settings: Mapping[str, Any] | None = None,
    instruments: Mapping[str, str] | None = None,
    limit: int | None = None,
    seed: int = 0,
    batch_size: int = 32,
    data: Path | str | None = None,
    fresh: bool = False,
    exact: bool = False,
    predict_only: bool = False,
) -> Run:
    """Draw, answer, mark and add up; the same call again resumes.

    ``model``: a name, with its ``settings`` (or as ``NAME?key=value``); a ``core.Responder``; or
    any object with one or more of the methods draw, ask and embed, which take a list of requests
    and give a list. ``tasks``: "all", a name, several names, or tasks by the names they shall
    have. ``limit`` counts prompts (or images asked about) of each task. ``instruments``: role ->
    name of another instrument. ``output`` is the run folder; by default one for these settings.
    ``fresh`` throws away what it holds. ``predict_only`` stores responses and marks none, so that
    no instruments are needed. Raises UserError."""
    from harmon_eval.adapters import _own
    from harmon_eval.report.results import Run
    from harmon_eval.running.evaluate import Request, run
    from harmon_eval.running.jobs import RunSettings

    outcome = run(
        Request(
            model=model if isinstance(model, str) else _own.responder(model),
            given=settings or {},
            tasks=tasks,
            suite=suite,
            settings=RunSettings(seed, limit, batch_size, exact),
            data=None if data is None else _path("data", data),
            output=None if output is None else _path("output", output),
            fresh=fresh,
            instruments=instruments or {},
            predict_only=predict_only,
        )
    )
    return Run(outcome.folder.path, tasks if isinstance(tasks, Mapping) else None, outcome.code)


def _path(name: str, value: object) -> Path:
    from harmon_eval.core import UserError

    if not isinstance(value, str | PathLike) or not str(value):
        raise UserError(f"{name} is {value!r}: give a path")
    return Path(value)


def load(path: Path | str, tasks: Mapping[str, Task] | None = None) -> Run:
    """The run in a folder. ``tasks`` are those of it that were given to ``evaluate`` as objects.

    Raises UserError for what is no run folder."""
    from harmon_eval.report.results import Run

    return Run(_path("path", path), tasks)


def compare(
    a: Run | Path | str,
    b: Run | Path | str,
    *,
    tasks: Sequence[str] | str | None = None,
    tolerance: str = "",
    effect: str = "",
    no_worse_than: str = "",
    every_metric: bool = False,
    any_settings: bool = False,
    pool: Sequence[tuple[Run | Path | str, Run | Path | str]] = (),
) -> Comparison:
    """Run ``b`` against the baseline ``a``, sample by sample: ``frame`` has a row a metric,
    ``changed`` the samples with another mark, ``code`` the gate (0 passed, 1 worse, 2 cannot tell).

    ``tolerance`` is the loss to put up with and ``effect`` the loss that must not be missed, such
    as "0.02" or "geneval=0.02,pope=0.01". With ``no_worse_than``, ``b`` passes only if such a loss
    is ruled out. ``pool``: further pairs of runs, of the same two models with other seeds. Raises
    UserError."""
    from harmon_eval.comparing.folders import compared
    from harmon_eval.report.results import path_of, tasks_of

    return compared(
        path_of(a),
        path_of(b),
        tasks=[tasks] if isinstance(tasks, str) else tasks,
        tolerance=tolerance,
        effect=effect,
        no_worse_than=no_worse_than,
        every_metric=every_metric,
        any_settings=any_settings,
        pool=[(path_of(ours), path_of(theirs)) for ours, theirs in pool],
        known=tasks_of(a, b),
    )


def leaderboard(
    *runs: Run | Path | str,
    baselines: str | None = None,
    tasks: Sequence[str] | str | None = None,
    sort: str | None = None,
    public_weights: bool = False,
) -> pd.DataFrame:
    """A row a number, best models first: of runs, and of published results (``baselines``, such as
    "janus,show-o" or "all"; with ``public_weights`` only those of models that are public).

    ``sort``: a task, a metric, or "model"; by default the first task's headline. Numbers belong
    side by side where task, metric and protocol are the same. Raises UserError."""
    from harmon_eval.ranking.entries import entries
    from harmon_eval.ranking.tables import sorted_entries
    from harmon_eval.report.results import path_of

    chosen = [tasks] if isinstance(tasks, str) else tasks
    found = entries([path_of(run) for run in runs], baselines, chosen, public_weights)
    return sorted_entries(found, sort)


def open_trackers(names: Sequence[str], folder: Path | str, title: str = "") -> Trackers:
    """Experiment trackers (wandb, mlflow, tensorboard) for what is trained or evaluated in
    ``folder``: ``numbers``, ``table``, ``picture`` and ``settings`` go to each of them. Raises
    UserError for one that is unknown or not installed."""
    from harmon_eval import trackers

    place = _path("folder", folder)
    return trackers.open_trackers(list(names), place, title or place.name)


def include(path: Path | str) -> list[str]:
    """Make tasks, models and instruments in a file or folder known by their names, which are
    returned (``docs/new-task.md``). Raises UserError."""
    from harmon_eval import plugins

    return plugins.include(Path(path))


def __getattr__(name: str) -> str:
    if name != "__version__":
        raise AttributeError(f"module 'harmon_eval' has no attribute {name!r}")
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("harmon-eval")
    except PackageNotFoundError:  # a checkout that was not installed
        return "(not installed)"
