"""The history of a stream of checkpoints: made from their run folders, whenever those change.

``OUTPUT/history.parquet`` has a row a metric of a checkpoint. Its only content of its own is the
baseline that was chosen, and rows of checkpoints whose run folder was deleted. ``history.png``
shows the headlines with the boundary below which the gate stops.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from harmon_eval.comparing.folders import wanted
from harmon_eval.comparing.margins import Settings
from harmon_eval.comparing.runs import TaskPair, maxima, pairs
from harmon_eval.comparing.stream import PLANNED, TREND, Look, boundary, judge_look
from harmon_eval.comparing.verdict import Comparison, Line
from harmon_eval.core import UserError
from harmon_eval.settings import did_you_mean
from harmon_eval.store.durable import write_whole
from harmon_eval.store.run_folder import MANIFEST, RunFolder
from harmon_eval.store.tables import frame, results_by_task, stored_metrics
from harmon_eval.store.task_folder import METRICS

HISTORY, PLOT = "history.parquet", "history.png"
JUDGED = ("verdict", "fails", "boundary", "trend", "trend_p")
FIRST, NONE = "first", "none"


@dataclass(frozen=True)
class Watch:
    """What the stream is compared with, and what a loss is.

    ``baseline``: a checkpoint's name, a run folder, "first" (of the history's baseline if it has
    one, otherwise the first by step) or "none". ``planned``: how many checkpoints share the 5 %.
    The others are the gate's options, as text."""

    baseline: str = FIRST
    tolerance: str = ""
    effect: str = ""
    no_worse_than: str = ""
    any_settings: bool = False
    planned: int = PLANNED

    @property
    def terms(self) -> str:
        """What verdicts depend on besides the runs."""
        margins = self.tolerance, self.effect, self.no_worse_than
        return "/".join(map(str, (*margins, self.any_settings, self.planned)))

    @property
    def margins(self) -> Settings:
        """Raises UserError."""
        return wanted(self.tolerance, self.effect, self.no_worse_than)

    def check(self, names: Sequence[str], headlines: Mapping[str, float | None]) -> None:
        """``names``: of checkpoints that are there; ``headlines``: their maxima by task, if it is
        known which tasks there will be.

        Raises UserError for options that cannot be meant, before anything is evaluated."""
        margins = self.margins
        if headlines:
            margins.check(headlines)
        if self.planned < 1:
            raise UserError(f"--planned {self.planned}: give at least 1 checkpoint")
        if self.baseline not in (FIRST, NONE, *names) and not is_run(self.baseline):
            raise UserError(no_baseline(self.baseline, names))


def no_baseline(name: str, known: Sequence[str]) -> str:
    if not known:
        return f"--baseline {name}: no such run folder, and there is no checkpoint yet"
    return f"--baseline {name}: no such checkpoint or run folder, {did_you_mean(name, list(known))}"


def is_run(path: str) -> bool:
    return (Path(path) / MANIFEST).exists()


def step_of(name: str) -> int:
    """The last number in a checkpoint's name, without a suffix such as .pth; none: 0."""
    numbers = re.findall(r"\d+", name.removesuffix(".pth"))
    return int(numbers[-1]) if numbers else 0


def finished(run: Path) -> bool:
    """Whether a checkpoint's evaluation came to its end."""
    done = (run / MANIFEST).exists() and RunFolder(run).manifest.get("state") == "done"
    return done and bool(stored_metrics(run))


def history(output: Path) -> pd.DataFrame:
    """A row a metric of a checkpoint; empty before the first one."""
    file = output / HISTORY
    return pd.read_parquet(file) if file.exists() else pd.DataFrame()


def update(output: Path, watch: Watch) -> dict[str, Comparison]:
    """Bring history and plot up to date with the run folders in ``output``.

    Returns the comparison of each checkpoint after the baseline, by name; nothing where all is as
    it was. Raises UserError for a baseline that was not evaluated."""
    known = history(output)
    runs = {run.name: run for run in sorted(output.glob("[!.]*")) if finished(run)}
    names = sorted(runs, key=lambda name: (step_of(name), name))
    baseline = _baseline(output, known, names, watch)
    stamps = {name: _stamp(runs[name], baseline, watch) for name in names}
    if not names or (len(known) and _stamps(known, names) == stamps):
        return {}
    gates = _gates(baseline, [runs[name] for name in names], watch) if baseline else {}
    rows = [_rows(runs[name], stamps[name], baseline, gates.get(name)) for name in names]
    if len(known):
        rows.append(known[~known["checkpoint"].isin(names)])
    table = pd.concat(rows, ignore_index=True).sort_values(["step", "checkpoint"], kind="stable")
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    write_whole(output / HISTORY, buffer.getvalue())
    draw(table, output / PLOT)
    return gates


def _baseline(output: Path, known: pd.DataFrame, names: Sequence[str], watch: Watch) -> Path | None:
    """The run folder of the baseline: only the user moves it."""
    if watch.baseline == NONE or not names:
        return None
    if watch.baseline == FIRST:
        own = known[known["checkpoint"].isin(names)] if "baseline" in known else known
        for chosen in dict.fromkeys(own.get("baseline", ())):
            for run in (output / chosen, Path(chosen)):
                if chosen and (run / MANIFEST).exists():
                    return run
        return output / names[0]
    if watch.baseline in names:
        return output / watch.baseline
    if is_run(watch.baseline):
        return Path(watch.baseline)
    raise UserError(no_baseline(watch.baseline, names))


def _stamp(run: Path, baseline: Path | None, watch: Watch) -> str:
    """Of all that a checkpoint's rows are made from but the runs between it and the baseline."""
    digest = hashlib.sha256(f"{watch.terms} {baseline}".encode())
    for folder in filter(None, (run, baseline)):
        for file in sorted(folder.glob(f"[!.]*/{METRICS}")):
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def _stamps(known: pd.DataFrame, names: Sequence[str]) -> dict[str, str]:
    if "stamp" not in known:
        return {}
    own = known[known["checkpoint"].isin(names)]
    return dict(zip(own["checkpoint"], own["stamp"], strict=True))


def _gates(baseline: Path, runs: Sequence[Path], watch: Watch) -> dict[str, Comparison]:
    """The comparison of each checkpoint that comes after the baseline by step."""
    first = RunFolder(baseline)
    inside = baseline in runs
    after = [run for run in runs if not inside or _place(run) > _place(baseline)]
    settings = watch.margins
    settings.check(maxima(results_by_task(first)))
    before: dict[str, list[pd.DataFrame]] = {}
    found = {}
    for rank, run in enumerate(after, 1):
        own = list(pairs(first, RunFolder(run), None, watch.any_settings, ids=True))
        lacking = {pair.name for pair in own} - {r["task"] for r in stored_metrics(run)}
        # A task that one checkpoint has not run says nothing about it.
        own = [pair for pair in own if pair.name not in lacking] or own
        found[run.name] = judge_look(Look(tuple(own), rank), before, settings, watch.planned)
        for pair in own:
            if not pair.reasons:
                before.setdefault(pair.name, []).append(_lean(pair))
    return found


def _place(run: Path) -> tuple[int, str]:
    return step_of(run.name), run.name


def _lean(pair: TaskPair) -> pd.DataFrame:
    """The candidate's rows, without texts that only people read."""
    return pair.candidate.drop(columns=["response"], errors="ignore")


def _rows(run: Path, stamp: str, baseline: Path | None, gate: Comparison | None) -> pd.DataFrame:
    results = stored_metrics(run)
    rows = frame(results)
    higher = {result["task"]: result["higher_is_better"] for result in results}
    lines = {(line.task, line.metric): line for line in gate.lines} if gate else {}
    inside = baseline is not None and baseline.parent == run.parent
    named = "" if baseline is None else baseline.name if inside else str(baseline)
    identity: dict[str, Any] = RunFolder(run).manifest["identity"]
    judged = [
        _judged(lines.get((task, metric)), lines.get((task, metric + TREND)), higher[task])
        for task, metric in zip(rows["task"], rows["metric"], strict=True)
    ]
    rows = rows.assign(
        checkpoint=run.name,
        step=step_of(run.name),
        fingerprint=identity["model"]["fingerprint"],
        higher_is_better=rows["task"].map(higher).astype(bool),
        baseline=named,
        against=named if gate else "",
        gate=gate.code if gate else 0,
        **pd.DataFrame(judged, columns=list(JUDGED)),
        stamp=stamp,
    )
    numbers = ("value", "low", "high", "trend", "trend_p", "boundary")
    return rows.astype(dict.fromkeys(numbers, float))


def _judged(line: Line | None, trend: Line | None, higher_is_better: bool) -> dict[str, Any]:
    """The cells of JUDGED."""
    return {
        "verdict": line.verdict if line else "",
        "fails": any(each is not None and each.fails for each in (line, trend)),
        "boundary": boundary(line, higher_is_better) if line else None,
        "trend": trend.difference.value if trend and trend.difference else None,
        "trend_p": trend.p if trend else None,
    }


def draw(known: pd.DataFrame, file: Path) -> None:
    """Each task's headline over steps with its 95 % interval, and the boundary of the gate; red
    where the checkpoint or the trend up to it was found to be worse."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    heads = known[known["headline"]]
    panels = [(str(task), own.sort_values("step")) for task, own in heads.groupby("task")]
    figure = Figure(figsize=(7, 2.6 * len(panels)), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (task, own) in zip(
        figure.subplots(len(panels), squeeze=False)[:, 0], panels, strict=True
    ):
        metric = str(own["metric"].iloc[-1]).replace("$", r"\$")
        axes.plot(own["step"], own["value"], marker="o", color="tab:blue")
        axes.fill_between(own["step"], own["low"], own["high"], alpha=0.25, color="tab:blue")
        edge = own.dropna(subset=["boundary"])
        if len(edge):
            side = "below" if own["higher_is_better"].iloc[-1] else "above"
            axes.plot(edge["step"], edge["boundary"], "_--", color="tab:red", label=f"worse {side}")
            axes.legend(loc="best", fontsize="small")
        failed = own[own["fails"].astype(bool)]
        axes.plot(failed["step"], failed["value"], "o", color="tab:red")
        axes.set(title=f"{task} {metric}", xlabel="step")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    write_whole(file, buffer.getvalue())
