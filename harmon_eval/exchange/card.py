"""A model card with a run's results: a table, plots, and where the numbers come from.

In a card that exists already only the part between two marks is replaced, and the entries of its
``model-index`` for the same metrics.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from harmon_eval.core import UserError
from harmon_eval.exchange import hub_results
from harmon_eval.exchange.finished import FinishedRun, FinishedTask
from harmon_eval.metrics.text import counted_are, number
from harmon_eval.report.plots import bar_plots
from harmon_eval.store.durable import write_whole
from harmon_eval.store.redact import redacted
from harmon_eval.store.tables import LEGEND, cell, defused, frame, markdown

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

CARD, TABLE, PROVENANCE, PLOTS = "README.md", "results.csv", "provenance.json", "plots"
BEGIN, END = "<!-- harmon_eval: begin -->", "<!-- harmon_eval: end -->"
MOST_BARS = 24


def write(run: FinishedRun, folder: Path, existing: str | None = None) -> list[Path]:
    """Card, plots, table, provenance and the hub's results, below ``folder/``.

    ``existing`` is the text of a card to put them into; by default that in the folder. All but the
    card go into ``harmon_eval/`` there. Returns the files. Raises UserError."""
    own = folder / "harmon_eval"
    card = folder / CARD
    if existing is None and card.is_file():
        existing = card.read_text(encoding="utf-8")
    plots = _draw_plots(run, own / PLOTS)
    table = frame([dict(task.stored) for task in run.tasks])
    texts = table.assign(**{n: table[n].map(defused) for n in ("task", "metric", "floors")})
    write_whole(own / TABLE, texts.to_csv(index=False))
    provenance = json.dumps(redacted(_provenance(run)), indent=2, ensure_ascii=False)
    write_whole(own / PROVENANCE, _without_places(provenance) + "\n")
    section = redacted(_section(run, [plot.relative_to(folder) for plot in plots]))
    write_whole(card, _merged(existing, run, section))
    written = [card, own / TABLE, own / PROVENANCE, *plots]
    return [*written, *hub_results.write(run, folder)[:1]]


def _without_places(text: str) -> str:
    """Text without the folders of this machine, which are nobody's business."""
    return re.sub(r"(?<![\w.:/])/(?:[\w.@+-]+/)+", ".../", text)


def _merged(existing: str | None, run: FinishedRun, section: str) -> str:
    from huggingface_hub import ModelCard, ModelCardData
    from huggingface_hub.repocard_data import model_index_to_eval_results

    _, results = model_index_to_eval_results(redacted(hub_results.model_index(run)))
    if existing is None:
        data = ModelCardData(model_name=run.model, tags=["harmon_eval"], eval_results=results)
        text = f"# {_line(run.model)}\n\n{section}"
        return str(ModelCard(f"---\n{data.to_yaml()}\n---\n\n{text}"))
    try:
        card = ModelCard(existing)
    except ValueError as error:
        raise UserError(
            f"the card's metadata cannot be read ({str(error)[:120]}): mend it"
        ) from None
    data = cast(ModelCardData, card.data)
    data.eval_results = [*_kept(data.eval_results or [], results), *results]
    data.model_name = data.model_name or run.model
    card.text = _placed(card.text, section)
    return str(card)


def _kept(before: Sequence[EvalResult], new: Sequence[EvalResult]) -> list[EvalResult]:
    """Entries of others, and of metrics that are not written now."""
    names = {(r.dataset_type, r.dataset_config, r.metric_type) for r in new}
    return [r for r in before if (r.dataset_type, r.dataset_config, r.metric_type) not in names]


def _placed(text: str, section: str) -> str:
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if begin and end:
        return before + section.rstrip("\n") + after
    return text.rstrip("\n") + "\n\n" + section


def _line(text: object) -> str:
    return cell(text).replace("`", "'")


def _section(run: FinishedRun, plots: Sequence[Path]) -> str:
    suite = str(run.identity.get("suite"))
    heads = frame([dict(task.stored) for task in run.tasks])
    parts = [BEGIN, "## Evaluation", _sentence(run, suite)]
    parts.append(markdown(heads[heads["headline"]]).rstrip("\n"))
    parts.append(f"{LEGEND} All metrics: [{TABLE}](harmon_eval/{TABLE}).")
    parts += [_unscored(task) for task in run.tasks if task.stored["unscored"]]
    parts += [f"![{plot.stem}: metrics with 95 % intervals]({plot.as_posix()})" for plot in plots]
    parts += ["### How it was measured", _measured(run)]
    parts += [_protocols(run), END]
    return "\n\n".join(parts) + "\n"


def _sentence(run: FinishedRun, suite: str) -> str:
    version = _line(run.packages.get("harmon-eval", ""))
    made = f"By [harmon_eval](https://arxiv.org/abs/2503.21979) {version}".rstrip()
    if suite != "mini":
        return f"{made}, on the benchmarks' own data."
    return (
        f"{made}, on its **mini suite**: small stand-ins of the benchmarks, whose numbers are not "
        "those of the benchmarks."
    )


def _unscored(task: FinishedTask) -> str:
    count = sum(task.stored["unscored"].values())
    text = f"{_line(task.name)}: {counted_are(count, 'sample')} unscored and not in the score."
    if task.stored.get("bounds"):
        low, high = map(number, task.stored["bounds"])
        text += f" It would be {low} if they were all wrong, {high} if all were right."
    return text


def _measured(run: FinishedRun) -> str:
    environment = run.manifest.get("environment") or {}
    command = (run.manifest.get("command") or {}).get("line")
    packages = ", ".join(f"{name} {version}" for name, version in run.packages.items())
    rows = {
        "weights": f"`{_line(run.identity['model']['fingerprint'])}`",
        "settings": _line(json.dumps(run.settings, ensure_ascii=False)),
        "suite, seed": f"{_line(run.identity.get('suite'))}, {_line(run.identity.get('seed'))}",
        "date": run.time("finished").date().isoformat(),
        "command": f"`{_line(_without_places(command))}`" if command else "",
        "commit": _line(environment.get("commit") or ""),
        "accelerator": _line(environment.get("accelerator") or ""),
        "packages": _line(packages),
    }
    lines = [f"| {name} | {value} |" for name, value in rows.items() if value]
    return "\n".join(["| | |", "|---|---|", *lines])


def _protocols(run: FinishedRun) -> str:
    lines = ["| task | version | instruments | protocol | paper |", "|---|---|---|---|---|"]
    for task in run.tasks:
        about = task.task.about if task.task else None
        instruments = task.stored["provenance"].get("instruments") or {}
        used = ", ".join(f"{role}: {identity}" for role, identity in instruments.items())
        cells = [task.name, task.version, used, about.protocol if about else ""]
        paper = about.paper if about and about.paper != "none" else ""
        lines.append(f"| {' | '.join(map(_line, (*cells, paper)))} |")
    return "\n".join(lines)


def _provenance(run: FinishedRun) -> dict[str, Any]:
    kept = ("identity", "tasks", "instruments", "environment", "about", "started", "finished")
    manifest = {name: run.manifest[name] for name in (*kept, "command") if name in run.manifest}
    each = {task.name: task.stored["provenance"] for task in run.tasks}
    return {**manifest, "provenance": each}


def _draw_plots(run: FinishedRun, folder: Path) -> list[Path]:
    """One picture for each task that has metrics with intervals."""
    files = []
    for task in run.tasks:
        shown = _limited(task.stored)
        if found := bar_plots([(run.model, shown)]):
            files.append(folder / f"{_file(task.name)}.png")
            _draw(f"{task.name}: {found[0].title}", found[0].metrics, files[-1])
    return files


def _limited(stored: Mapping[str, Any]) -> dict[str, Any]:
    """The headline and the first of the other metrics."""
    head = stored["headline"]
    names = dict.fromkeys([head, *stored["metrics"]])
    kept = [n for n in names if n in stored["intervals"] and n in stored["metrics"]][:MOST_BARS]
    return {**stored, "metrics": {name: stored["metrics"][name] for name in kept}}


def _draw(title: str, metrics: Mapping[str, Any], file: Path) -> None:
    import io

    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 1.0 + 0.32 * len(metrics)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for place, bars in enumerate(metrics.values()):
        bar = bars[0]
        low = bar.value if bar.low is None else bar.low
        high = bar.value if bar.high is None else bar.high
        axes.barh(place, bar.value, color="tab:blue", alpha=0.35)
        axes.plot((low, high), (place, place), color="tab:blue", linewidth=2)
        axes.plot(bar.value, place, "o", color="tab:blue", markersize=4)
    axes.set_yticks(range(len(metrics)), [name.replace("$", r"\$") for name in metrics])
    axes.invert_yaxis()
    axes.set_title(title.replace("$", r"\$"), fontsize="medium")
    axes.grid(axis="x", alpha=0.35)
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=110, metadata={"Software": None})
    write_whole(file, data.getvalue())


def _file(name: str) -> str:
    from harmon_eval.exchange.lm_eval import plain_name

    return plain_name(name)
