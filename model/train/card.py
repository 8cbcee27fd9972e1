"""The card of an exported model: how it was trained, what it came to, and what to do with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harmon_eval.model.train.curves import APART, loss_curve
from harmon_eval.model.train.run_folder import read_history, write_text

CARD, CURVE, HISTORY = "README.md", "losses.png", "history.jsonl"
MARK = "<!-- written by harmon_eval.model.train export -->"
HEAD = """---
library_name: harmon_eval
tags:
- harmon_eval
- harmon
- text-to-image
- image-to-text
---
"""


def write_card(folder: Path, run: Path, training: Mapping[str, Any], parameters: int) -> None:
    """Write ``README.md`` and the curves into a model folder. A card that somebody else wrote
    stays."""
    card = folder / CARD
    if card.is_file() and MARK not in card.read_text(encoding="utf-8", errors="replace"):
        return
    entries = read_history(run / HISTORY)
    entries = [entry for entry in entries if entry["step"] <= training["steps"]]
    if entries:
        loss_curve(run / HISTORY, folder / CURVE)
    curve = bool(entries) and (folder / CURVE).is_file()
    parts = [
        f"{HEAD}\n# {folder.name}\n\n{MARK}",
        _sentence(training, parameters),
        "## Use",
        f"```python\nfrom harmon_eval.model import HarmonPipeline\n\n"
        f'pipeline = HarmonPipeline.from_pretrained("{folder.name}")\n'
        'images = pipeline.draw(["a red circle"], seeds=[0])\n```',
        f"```\npython -m harmon_eval --model {folder.name} --tasks geneval,pope\n```",
        "## Training",
        _origins(training),
        _losses(entries),
        f"![Losses and scores over the steps]({CURVE})" if curve else "",
        _scores(entries),
        "`training.json` holds the whole recipe.",
    ]
    write_text(card, "\n\n".join(part for part in parts if part) + "\n")


def _sentence(training: Mapping[str, Any], parameters: int) -> str:
    hours, minutes = divmod(round(training["seconds"] / 60), 60)
    averaged = ", averaged weights" if training["averaged"] else ""
    commit = f", commit {training['commit']}" if training.get("commit") else ""
    return (
        f"A Harmon of {parameters:,} parameters: {training['steps']:,} steps in {hours} h "
        f"{minutes} min{averaged}{commit}."
    )


def _origins(training: Mapping[str, Any]) -> str:
    rows = [f"| {part} | {origin} |" for part, origin in training["origins"].items()]
    return "\n".join(["| part | started from |", "|---|---|", *rows])


def _losses(entries: Sequence[Mapping[str, Any]]) -> str:
    """The last line of losses."""
    last = next((entry for entry in reversed(entries) if "rate" in entry), None)
    if last is None:
        return ""
    found = {k: v for k, v in last.items() if k not in APART and isinstance(v, float | int)}
    rows = [f"| {name} | {value:.4g} |" for name, value in found.items()]
    return "\n".join([f"| loss at step {last['step']:,} | |", "|---|---|", *rows])


def _scores(entries: Sequence[Mapping[str, Any]]) -> str:
    scored = [entry for entry in entries if entry.get("score") is not None]
    if not scored:
        return ""
    lines = ["| step | task | metric | score | 95 % interval | n |", "|---|---|---|---|---|---|"]
    for entry in scored:
        low, high = entry.get("interval") or (None, None)
        span = "" if low is None or high is None else f"[{low:.4g}, {high:.4g}]"
        cells = (
            f"{entry['step']:,}",
            entry["task"],
            entry["metric"],
            f"{entry['score']:.4g}",
            span,
        )
        lines.append(f"| {' | '.join((*cells, str(entry.get('n', ''))))} |")
    return "\n".join(lines)
