"""The curves of a training, drawn from its history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harmon_eval.model.train.run_folder import read_history

# What a loss is, by the beginning of its source's name.
LOSSES = {
    "text2image": "drawing (text2image)",
    "image2text": "seeing (image2text)",
    "text": "text",
    "edit": "editing (edit)",
    "reconstruct": "reconstruction (reconstruct)",
}
COLORS = {
    "text2image": "tab:orange",
    "image2text": "tab:green",
    "text": "tab:blue",
    "edit": "tab:red",
    "reconstruct": "tab:purple",
}
APART = {"step", "seconds", "rate", "norm", "images_per_s", "skipped"}
Entry = Mapping[str, Any]


def loss_curve(history: Path, path: Path) -> None:
    """Losses by source over steps, and below them the scores of each task, as a PNG.

    Without matplotlib there is none."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return
    entries = read_history(history)
    losses = [entry for entry in entries if "rate" in entry]
    scored = [entry for entry in entries if entry.get("score") is not None]
    tasks = list(dict.fromkeys(entry["task"] for entry in scored))
    figure = Figure(figsize=(8, 4.5 + 1.8 * len(tasks)), layout="constrained")
    FigureCanvasAgg(figure)
    ratios = [4.5, *[1.8] * len(tasks)]
    axes = figure.subplots(len(ratios), 1, sharex=True, squeeze=False, height_ratios=ratios)[:, 0]
    _losses(axes[0], losses)
    for below, task in zip(axes[1:], tasks, strict=True):
        _scores(below, [entry for entry in scored if entry["task"] == task])
    axes[-1].set_xlabel("step")
    temporary = path.with_name(f".{path.name}")
    figure.savefig(temporary, format="png", dpi=120)
    temporary.replace(path)


def _losses(axes: Any, entries: Sequence[Entry]) -> None:
    names = dict.fromkeys(key for entry in entries for key in entry if key not in APART)
    for name in names:
        task, _, number = name.partition(".")
        points = [(entry["step"], entry[name]) for entry in entries if name in entry]
        label = LOSSES.get(task, task) + (f" {number}" if number else "")
        color = None if number else COLORS.get(task)
        axes.plot(*zip(*points, strict=True), label=label, color=color, linewidth=1.2)
    axes.set(ylabel="loss (log scale)", yscale="log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("{x:g}")
    axes.tick_params(axis="y", which="minor", labelsize="x-small")
    axes.grid(which="major", alpha=0.35)
    axes.grid(which="minor", axis="y", alpha=0.15)
    if names:
        axes.legend(loc="upper right", frameon=False)


def _scores(axes: Any, entries: Sequence[Entry]) -> None:
    """A task's headline with its 95 % interval."""
    steps, values = [e["step"] for e in entries], [e["score"] for e in entries]
    spans = [e["interval"] or (e["score"], e["score"]) for e in entries]
    axes.fill_between(steps, *zip(*spans, strict=True), alpha=0.25, color="tab:purple", linewidth=0)
    axes.plot(steps, values, "o-", color="tab:purple", markersize=4, linewidth=1.2)
    axes.set_ylabel(f"{entries[-1]['task']}\n{entries[-1]['metric']}", fontsize="small")
    axes.grid(alpha=0.35)
