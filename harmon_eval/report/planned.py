"""What a run would ask, in the terminal: one line a task, and the sum."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.console import Console

from harmon_eval.metrics.text import counted
from harmon_eval.report.listing import print_fitted
from harmon_eval.running.dry_run import Planned
from harmon_eval.running.overall import duration

OPTIONAL = ("tokens out", "tokens in", "cost")  # left out of a narrow table: the sum has them


def show(tasks: Sequence[Planned], title: str, console: Console) -> None:
    print_fitted([_row(each) for each in tasks], title, console, OPTIONAL)
    for line in _sum(tasks):
        console.print(line, soft_wrap=True, highlight=False)


def _row(planned: Planned) -> dict[str, str]:
    judging, left = planned.judging, planned.left
    return {
        "task": planned.task,
        "samples": f"{planned.samples:,}",
        "stored": f"{planned.stored:,}",
        "left to": _left(left),
        "about": "" if not left.total() else _about(planned.seconds),
        "to judge": f"{judging.requests:,}" if judging.requests else "",
        "tokens in": f"{judging.tokens_in:,}" if judging.requests else "",
        "tokens out": f"{judging.tokens_out:,}" if judging.requests else "",
        "cost": _cost(judging.dollars) if judging.requests else "",
    }


def _left(left: Counter[str]) -> str:
    return ", ".join(f"{count:,} {verb}" for verb, count in left.items() if count)


def _cost(dollars: float | None) -> str:
    if dollars is None:
        return "?"
    return f"{dollars:.2f} USD" if dollars else "none"


def _about(seconds: float | None) -> str:
    return "?" if seconds is None else duration(seconds)


def _sum(tasks: Sequence[Planned]) -> list[str]:
    """All tasks together, where there are several, and what they ask the judge."""
    lines = []
    left = sum((each.left for each in tasks), Counter[str]())
    if len(tasks) > 1:
        samples, stored = (sum(getattr(t, n) for t in tasks) for n in ("samples", "stored"))
        lines.append(
            f"{counted(len(tasks), 'task')}, {counted(samples, 'sample')}, {stored:,} stored, "
            f"left to: {_left(left) or 'nothing'}"
        )
    judged = [each.judging for each in tasks if each.judging.requests]
    if judged:
        dollars = [each.dollars for each in judged]
        known = [each for each in dollars if each is not None]
        cost = _cost(sum(known) if len(known) == len(dollars) else None)
        lines.append(
            f"the judge: {counted(sum(e.requests for e in judged), 'request')}, about "
            f"{sum(e.tokens_in for e in judged):,} tokens in and "
            f"{sum(e.tokens_out for e in judged):,} out, cost {cost}"
        )
    return lines
