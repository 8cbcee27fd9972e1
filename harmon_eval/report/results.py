"""A run and its results as Python and notebooks see them.

``core.Scores`` are what the runner computes, and ``core`` imports nothing. Prompts, pictures and
replies take the run folder and the task's data, so what shows them stands here: a ``Result`` is
those scores with the folder they come from, and reads the rest when it is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harmon_eval.core import Sample, Scores, Task
from harmon_eval.metrics.text import estimate
from harmon_eval.report import gather
from harmon_eval.report.escaping import environment
from harmon_eval.report.shots import shots_of
from harmon_eval.report.thumbnails import Thumbnails
from harmon_eval.running.evaluate import left_over
from harmon_eval.running.results import scores
from harmon_eval.store.run_folder import RunFolder
from harmon_eval.store.tables import frame, records, results_by_task

if TYPE_CHECKING:
    import pandas as pd

SIDE = 224  # of a thumbnail, in pixels


class Html(str):
    """A piece of a page that a notebook shows; also text, to be written into a file."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        return str(self)

    def __repr__(self) -> str:
        return f"<{len(self)} characters of HTML, which a notebook shows>"


@dataclass(frozen=True, eq=False)
class Result(Scores):
    """What one task of a run came to. ``rows``, ``show`` and a notebook also show what was asked
    and answered; where the task's data are not at hand, as far as the marks hold it."""

    run: RunFolder = field(kw_only=True, repr=False)
    stored: Mapping[str, Any] = field(kw_only=True, repr=False)  # what metrics.json holds
    known: Task | None = field(kw_only=True, repr=False)

    @cached_property
    def _view(self) -> gather.TaskView:
        return gather.read_task(self.run, self.task, task=self.known)

    @cached_property
    def rows(self) -> pd.DataFrame:
        """A row a sample: ``id``, ``group``, ``stratum``, ``prompt``, ``question`` or
        ``instruction``, ``target``, ``response`` (the file of the picture, or the reply),
        ``unscored``, and then the marks."""
        import pandas as pd

        view = self._view
        told = [_told(name, row, view) for name, row in view.rows.items()]
        first = ["id", "group", "stratum", *gather.TEXT_COLUMNS, "target", "response", "unscored"]
        every = dict.fromkeys(column for row in told for column in row)
        columns = [*(c for c in first if c in every), *(c for c in every if c not in first)]
        return pd.DataFrame(told, columns=columns)

    def show(self, limit: int = 12) -> Html:
        """About ``limit`` samples, as whole prompts: pictures with what was found on them, replies
        with their verdicts."""
        cards = gather.choose([gather.cards(self.task, self._view)], limit)
        thumbnails = Thumbnails(SIDE)
        made = [(card, shots_of(card, [self.task], thumbnails)) for card in cards]
        shown = [(card, each.asked, each.items) for card, each in made]
        left_out = len(self._view.rows) - sum(len(card.items) for card in cards)
        return Html(
            environment()
            .get_template("notebook.html")
            .render(
                result=self,
                metrics=records(frame([dict(self.stored)])),
                cards=shown,
                images=thumbnails.uris,
                left_out=left_out,
                remark=self._view.remark,
            )
        )

    def _repr_html_(self) -> str:
        return str(self.show())


def _told(name: str, row: Mapping[str, Any], view: gather.TaskView) -> dict[str, Any]:
    """A row of ``Result.rows``: what is known of the sample stands before what the marker wrote."""
    told = {**row, "response": view.responses.get(name)}
    if (sample := view.samples.get(name)) is not None:
        told |= {_column(sample): gather.text_of(sample), "target": dict(sample.target)}
    return told


def _column(sample: Sample) -> str:
    if sample.request.gives == "text":
        return "question"
    return "instruction" if sample.request.text and sample.request.files else "prompt"


class Run(Mapping[str, Result]):
    """The results of a run folder by task. ``code`` is 1 where samples are unscored or a task is
    not marked, else 0; ``table`` has a row a metric.

    ``tasks`` are those of the run that have no name elsewhere."""

    def __init__(
        self, path: Path, tasks: Mapping[str, Task] | None = None, code: int | None = None
    ) -> None:
        self.path, self.tasks = path, dict(tasks or {})
        folder = RunFolder(path)
        self._stored = results_by_task(folder)
        self._results = {name: self._result(folder, name) for name in self._stored}
        self._states = {name: str(e["state"]) for name, e in folder.manifest["tasks"].items()}
        self.code = int(any(left_over(list(self._states), folder))) if code is None else code

    def _result(self, folder: RunFolder, name: str) -> Result:
        stored = self._stored[name]
        found = scores(stored)
        values = {each.name: getattr(found, each.name) for each in fields(found)}
        return Result(**values, run=folder, stored=stored, known=self.tasks.get(name))

    def __getitem__(self, name: str) -> Result:
        if name in self._results:
            return self._results[name]
        state = self._states.get(name)
        raise KeyError(f"{name}: {state}" if state else f"{name}: the run has no such task")

    def __iter__(self) -> Iterator[str]:
        return iter(self._results)

    def __len__(self) -> int:
        return len(self._results)

    @property
    def table(self) -> pd.DataFrame:
        return frame(list(self._stored.values()))

    def __repr__(self) -> str:
        lines = [f"run {self.path}"]
        for name, result in self.items():
            told = estimate(result.score, *(result.interval or (None, None)))
            counted = f"({result.counted:,} of {result.total:,})"
            lines.append(f"  {name} {result.headline} {told} {counted}")
        lines += [f"  {name}: {self._states[name]}" for name in self._states if name not in self]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        heads = [row for row in records(self.table) if row["headline"]]
        left = {name: state for name, state in self._states.items() if name not in self}
        template = environment().get_template("notebook_run.html")
        return template.render(path=str(self.path), rows=heads, left=left)


def path_of(run: Run | Path | str) -> Path:
    return run.path if isinstance(run, Run) else Path(run)


def tasks_of(*runs: Run | Path | str) -> dict[str, Task]:
    """Tasks of these runs that have no name elsewhere."""
    return {name: t for run in runs if isinstance(run, Run) for name, t in run.tasks.items()}
