"""The page: everything gathered goes through the templates into one file."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from markupsafe import Markup

from harmon_eval.comparing.contrast import contrasts
from harmon_eval.core import UserError
from harmon_eval.metrics.text import counted
from harmon_eval.ranking.published import FILE
from harmon_eval.report import gather, plots, scores
from harmon_eval.report.confusion import Confusion, confusion
from harmon_eval.report.escaping import environment
from harmon_eval.report.shots import shots_of
from harmon_eval.report.thumbnails import Thumbnails
from harmon_eval.store.durable import write_whole
from harmon_eval.store.run_folder import RunFolder
from harmon_eval.store.tables import FIGURES, LEGEND, frame, records, results_by_task

SCRIPTS = ("gallery.js", "dialog.js", "page.js")
# What a run is called beside another one.
LETTERS = ("A", "B", "C", "D", "E", "F")


@dataclass(frozen=True)
class Contents:
    """What goes into the page. ``against``: runs to show beside; ``items``: samples in the gallery;
    ``side``: of a thumbnail, px; ``full``: bytes that images in full size may take; ``command``:
    the command line that makes it."""

    run: Path
    against: tuple[Path, ...] = ()
    data: Path | None = None
    published: Path | None = None
    baselines: str = ""
    history: Path | None = None
    items: int = 3000
    side: int = 224
    full: int = 20_000_000
    command: str = ""

    def __post_init__(self) -> None:
        """Raises UserError for more runs than there are letters."""
        if len(self.against) >= len(LETTERS):
            raise UserError(f"--against: at most {len(LETTERS) - 1} runs stand beside a run")


def write(contents: Contents, output: Path) -> None:
    """Write the report. Raises UserError for what is no run folder or cannot be compared."""
    write_whole(output, render(contents))


def render(contents: Contents) -> str:
    """The whole HTML file."""
    run = RunFolder(contents.run)
    runs = [run, *map(RunFolder, contents.against)]
    names = _names(runs)
    labels = LETTERS[: len(runs)] if contents.against else names
    stored = [results_by_task(each) for each in runs]
    verdicts = [
        scores.verdicts(run, other, (stored[0], own), letter)
        for other, own, letter in zip(runs[1:], stored[1:], labels[1:], strict=True)
    ]
    thumbnails = Thumbnails(contents.side)
    galleries, confusions, remarks = _galleries(runs, labels, contents)
    shown = gather.choose(galleries, contents.items)
    cards = [(card, shots_of(card, labels, thumbnails)) for card in shown]
    small = thumbnails.keep_full(_by_interest(shown), contents.full)
    total = sum(len(card.items) for own in galleries for card in own)
    count = sum(len(card.items) for card in shown)
    script, style = "\n".join(map(_text, SCRIPTS)), _text("page.css")
    return (
        environment()
        .get_template("page.html")
        .render(
            letters=LETTERS,
            command=contents.command,
            names=names,
            manifests=[each.manifest for each in runs],
            provenance=[_flat(each.manifest) for each in runs],
            results=stored,
            scores=scores.lines(stored, verdicts),
            contrasts=_contrasts(labels, stored),
            unfinished=_unfinished(run, stored[0]),
            tables={task: records(frame([result])) for task, result in stored[0].items()},
            columns=FIGURES,
            legend=LEGEND.replace("`", ""),
            plots=_plots(labels, stored, contents),
            history=_history(contents, stored[0]),
            cards=cards,
            confusions=confusions,
            count=count,
            left_out=total - count,
            remarks=remarks,
            tasks=list(dict.fromkeys(card.task for card in shown)),
            images=thumbnails.uris,
            full=thumbnails.full,
            small=small,
            script=Markup(script),
            style=Markup(style),
            script_hash=_hash(script),
        )
    )


def _text(name: str) -> str:
    return (files("harmon_eval.report") / "templates" / name).read_text(encoding="utf-8")


def _hash(script: str) -> str:
    digest = hashlib.sha256(script.encode()).digest()
    return "sha256-" + base64.b64encode(digest).decode()


def _names(runs: Sequence[RunFolder]) -> list[str]:
    """Name of each run's model, with the folder where that alone would not tell them apart."""
    models = [str(run.model["name"]) for run in runs]
    if len(set(models)) == len(models):
        return models
    folders = [run.path.resolve().name for run in runs]
    if len(set(folders)) < len(folders):
        folders = [str(run.path) for run in runs]
    return [f"{model} ({folder})" for model, folder in zip(models, folders, strict=True)]


def _contrasts(labels: Sequence[str], stored: Sequence[Mapping[str, Any]]) -> list[str]:
    """Published against fresh prompts, for each run in words."""
    several = len(labels) > 1
    return [
        f"{label}: {found}" if several else str(found)
        for label, run in zip(labels, stored, strict=True)
        for found in contrasts(run)
    ]


def _unfinished(run: RunFolder, stored: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Tasks without scores, and how far each of them is."""
    found = []
    for name, entry in run.manifest["tasks"].items():
        if name not in stored:
            told = f"{counted(len(run.task(name).recorded()), 'response')} so far"
            found.append(
                (name, told if entry["state"] == "started" else f"{told}, {entry['state']}")
            )
    return found


# -- plots ------------------------------------------------------------------------------------


def _plots(
    names: Sequence[str], stored: Sequence[Mapping[str, dict[str, Any]]], contents: Contents
) -> dict[str, list[plots.BarPlot]]:
    if contents.published and not contents.baselines:
        raise UserError("--published is a file: name models of it with --baselines A,B")
    quoted = None
    if contents.baselines:
        quoted = plots.read_published(contents.published or FILE, contents.baselines)
    found = {}
    for task, result in stored[0].items():
        lines = [(names[0], result)]
        for name, run in zip(names[1:], stored[1:], strict=True):
            if task in run and not scores.differing(result, run[task]):
                lines.append((name, run[task]))
        own = None
        # Published numbers are about the official data: beside another suite they mean nothing.
        if quoted is not None and result["provenance"]["suite"] == "official":
            own = quoted[quoted["task"] == task]
        found[task] = plots.bar_plots(lines, own, gather.known_task(task))
    return found


def _history(contents: Contents, stored: Mapping[str, dict[str, Any]]) -> list[plots.LinePlot]:
    if not contents.history:
        return []
    history = plots.read_table(contents.history, plots.HISTORY_COLUMNS)
    return plots.line_plots(history, {task: r["headline"] for task, r in stored.items()})


# -- gallery -----------------------------------------------------------------------------------


def _galleries(
    runs: Sequence[RunFolder], labels: Sequence[str], contents: Contents
) -> tuple[list[list[gather.Card]], dict[str, list[Confusion]], list[str]]:
    """Cards of each task, which answers were given for which, and what has to be said."""
    galleries, confusions, remarks = [], {}, []
    tasks = runs[0].manifest["tasks"]
    for task in tasks:
        view = gather.read_task(runs[0], task, contents.data)
        others: list[gather.TaskView | None] = []
        for name, run in zip(labels[1:], runs[1:], strict=True):
            others.append(None)
            if beside := run.manifest["tasks"].get(task):
                if beside["data"] == tasks[task]["data"]:
                    others[-1] = gather.read_task(run, task, contents.data)
                else:
                    remarks.append(f"{task}: {name} has other data, so it is not shown beside")
        if view.remark:
            remarks.append(f"{task}: {view.remark}")
        galleries.append(gather.cards(task, view, *others))
        views = [(name, each) for name, each in zip(labels, (view, *others), strict=True) if each]
        found = [confusion(each, name) for name, each in views]
        confusions[task] = [each for each in found if each is not None]
    return galleries, confusions, remarks


def _by_interest(cards: Sequence[gather.Card]) -> Iterator[Path]:
    """Files of the cards' images, those of changed and wrong samples first."""

    def rank(card: gather.Card) -> tuple[bool, bool]:
        wrong = any(item.outcomes[0].state != gather.RIGHT for item in card.items)
        return not any(item.change for item in card.items), not wrong

    for card in sorted(cards, key=rank):
        yield from card.asked
        yield from (file for _, file in card.references)
        for item in card.items:
            yield from (each.image for each in item.outcomes if each.image)


def _flat(value: Any, name: str = "") -> list[tuple[str, str]]:
    """Leaves of a tree of JSON values as (name, text), in order."""
    if isinstance(value, dict) and value:
        return [
            leaf
            for key, each in value.items()
            for leaf in _flat(each, f"{name} › {key}" if name else str(key))
        ]
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return [(name, re.sub(r"^null$", "–", text))]
