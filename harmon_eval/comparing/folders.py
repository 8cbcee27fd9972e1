"""Compare two run folders: verdicts and the samples that changed. Prints nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from harmon_eval.comparing.changes import changes
from harmon_eval.comparing.runs import pairs
from harmon_eval.comparing.verdict import Comparison, Settings, by_task, compare
from harmon_eval.core import Task
from harmon_eval.store.run_folder import RunFolder


def compared(
    baseline: Path,
    candidate: Path,
    *,
    tasks: Sequence[str] | None = None,
    tolerance: str = "",
    effect: str = "",
    every_metric: bool = False,
    any_settings: bool = False,
    known: Mapping[str, Task] | None = None,
) -> Comparison:
    """Compare the candidate with the baseline.

    ``tolerance`` and ``effect`` are a number, or TASK=NUMBER,...; ``known`` holds tasks that are
    not in the registry. Raises UserError if a path is not a run folder, or if neither run has one
    of the ``tasks``."""
    settings = Settings(
        by_task(tolerance, "--tolerance"), by_task(effect, "--effect"), every_metric
    )
    ours, theirs = RunFolder(baseline), RunFolder(candidate)
    chosen = list(pairs(ours, theirs, tasks, any_settings, known))
    settings.check([pair.name for pair in chosen])
    changed = [change for pair in chosen for change in changes(pair, ours, theirs)]
    return replace(compare(chosen, settings), changed=tuple(changed))
