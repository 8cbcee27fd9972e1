"""What ``show --spread`` and ``plan`` say: where a run's spread comes from, and what pays."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harmon_eval import registry
from harmon_eval.core import Task, UserError
from harmon_eval.metrics.intervals import Repeats
from harmon_eval.metrics.spread import Spread, judge_variance, spread
from harmon_eval.metrics.text import counted, number
from harmon_eval.store.run_folder import RunFolder
from harmon_eval.store.tables import results_by_task
from harmon_eval.store.task_folder import LOG, ROWS

if TYPE_CHECKING:
    import pandas as pd

DRAWINGS = (1, 2, 4, 8)
WIDE = 0.5  # an interval of the prompts' share that says next to nothing


def of_task(run: RunFolder, name: str, task: Task, headline: str) -> Spread | None:
    """Of a task's headline, from its stored rows; None where its prompts were not drawn twice."""
    folder = run.task(name)
    rows = scored(run, name)
    if rows is None or not len(rows):
        return None
    images = {sample for sample, entry in folder.recorded().items() if "sha256" in entry}
    prompts = dict(zip(rows["id"], rows.get("prompt", rows["group"]).astype(str), strict=True))
    return spread(task, rows, headline, Repeats({n: p for n, p in prompts.items() if n in images}))


def lacking(run: RunFolder, name: str) -> str:
    """What is missing to tell where the task's spread comes from, in words; nothing if all is."""
    rows = scored(run, name)
    if rows is None:
        if not run.task(name).recorded():
            return f"its {ROWS} and {LOG} are missing: only its metrics are here"
        return f"its {ROWS} is missing: `mark {run.path}` makes it again"
    if not len(rows):
        return "nothing is scored"
    return "" if run.task(name).recorded() else f"its {LOG} is missing"


def scored(run: RunFolder, name: str) -> pd.DataFrame | None:
    """The task's rows without the unscored ones; None without any."""
    rows = run.task(name).rows()
    return None if rows is None else rows[rows["unscored"].isna()].reset_index(drop=True)


def lines(path: Path, again: Path | None = None, only: Sequence[str] = ()) -> list[str]:
    """A line for each task, as plain text: the shares of prompts, seeds and judge, and what pays.
    ``again`` holds the same responses, judged a second time; ``only`` these tasks. Raises UserError
    for what is no run folder."""
    run, second = RunFolder(path), RunFolder(again) if again else None
    found = []
    for name, result in results_by_task(run).items():
        if only and name not in only:
            continue
        headline = str(result["headline"])
        start = f"{name} {headline}: "
        try:
            task = registry.task(name)
        except UserError as error:
            found.append(f"{start}{error}")
            continue
        if lost := lacking(run, name):
            found.append(f"{start}{lost}")
            continue
        own = of_task(run, name, task, headline)
        if own is None:
            found.append(f"{start}prompts and seeds cannot be told apart: {_why(run, name)}")
            continue
        if not own.prompts + own.seeds:
            found.append(f"{start}nothing varied, so nothing can be said about its spread")
            continue
        low, high = own.share_interval
        if high - low > WIDE:
            found.append(
                f"{start}too few to tell prompts from seeds: from {counted(own.groups, 'prompt')}, "
                f"{low:.0%} to {high:.0%} of the variance may come from which prompts were asked"
            )
            continue
        told = f"{start}{own.shares[0]:.0%} of the variance comes from which prompts were asked "
        told += f"(95 % interval: {low:.0%} to {high:.0%}), {own.shares[1]:.0%} from the seeds"
        rows = scored(run, name), scored(second, name) if second else None
        if rows[0] is not None and rows[1] is not None:
            judge = judge_variance(task, rows[0], rows[1], headline)
            whole = own.prompts + own.seeds
            if judge is not None and whole:
                told += f" (of the whole, {judge / whole:.0%} from the judge)"
        found += [told, *advice(own)]
    return found


def _why(run: RunFolder, name: str) -> str:
    """Why a task's spread has no parts, in words."""
    if any("sha256" in entry for entry in run.task(name).recorded().values()):
        return "this takes a mean over prompts that were drawn more than once"
    return (
        "nothing is drawn, and each question is asked once, so its spread is that of the "
        "questions; its interval shows it, and more questions make it smaller"
    )


def advice(own: Spread) -> list[str]:
    """What other numbers of prompts and drawings would give."""
    cost = own.groups * own.drawings
    same = [
        f"{cost / k:,.0f} x {k}: ±{number(own.reach(cost / k, k))}" for k in DRAWINGS if k <= cost
    ]
    more = ", ".join(
        f"{k} drawings ±{number(own.reach(own.groups, k))}" for k in DRAWINGS if k > own.drawings
    )
    floor = own.reach(own.groups, 1e9)
    return [
        f"  the same cost as prompts x drawings: {', '.join(same)}",
        f"  {counted(own.groups, 'prompt')} as now, more drawings: {more or 'no more than now'}; "
        f"never less than ±{number(floor)}, which only more prompts make smaller",
    ]
