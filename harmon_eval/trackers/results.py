"""What of a run goes to a tracker: every metric with its interval, a table, and some pictures."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harmon_eval.core import Unscorable, UserError
from harmon_eval.files.images import read_picture
from harmon_eval.report import gather
from harmon_eval.store.redact import redacted
from harmon_eval.store.run_folder import RunFolder
from harmon_eval.store.tables import counts_of, frame, results_by_task
from harmon_eval.trackers import Tracker

PICTURES = 16  # of each task
SIDE = 512


def send(tracker: Tracker, path: Path, step: int = 0, pictures: int = PICTURES) -> None:
    """Send a run folder's results. Raises UserError for what is no run folder."""
    run = RunFolder(path)
    manifest = run.manifest
    told = ("identity", "tasks", "instruments", "environment", "about", "command")
    tracker.settings(redacted({name: manifest[name] for name in told if manifest.get(name)}))
    results = results_by_task(run)
    if not results:
        return
    tracker.numbers({k: v for r in results.values() for k, v in numbers(r).items()}, step)
    tracker.table("results", frame(list(results.values())), step)
    for name in results:
        for number, (image, caption) in enumerate(_pictures(run, name, pictures)):
            tracker.picture(f"{name}/{number:02d}", image, caption, step)


def numbers(result: Mapping[str, Any]) -> dict[str, float]:
    """``TASK/METRIC``, its interval as ``..._low`` and ``..._high``, and counts of samples."""
    task = result["task"]
    found: dict[str, float | None] = {}
    for name, value in result["metrics"].items():
        low, high = result["intervals"].get(name, (None, None))
        key = f"{task}/{name}"
        found |= {key: value, f"{key}_low": low, f"{key}_high": high}
    head = result["headline"]
    if head in result["metrics"]:
        low, high = result["intervals"].get(head, (None, None))
        key = f"headline/{task}"
        found |= {key: result["metrics"][head], f"{key}_low": low, f"{key}_high": high}
    found |= {f"{task}/samples": counts_of(result, head)[0]}
    found |= {f"{task}/unscored": sum(result["unscored"].values())}
    return {name: float(v) for name, v in found.items() if v is not None and math.isfinite(v)}


def _pictures(run: RunFolder, name: str, limit: int) -> Iterator[tuple[Any, str]]:
    """Drawings of a choice of prompts that is the same for every run, with their verdicts."""
    try:
        view = gather.read_task(run, name)
    except (UserError, KeyError):  # a variant made from marks has the pictures of its task
        return
    count = 0
    for card in gather.choose([gather.cards(name, view)], limit):
        for item in card.items:
            outcome = item.outcomes[0]
            if outcome.image is None or count == limit:
                continue
            try:
                image = read_picture(outcome.image).copy()
            except Unscorable:
                continue
            image.thumbnail((SIDE, SIDE))
            count += 1
            reason = f": {outcome.reason}" if outcome.reason else ""
            yield image, redacted(f"{card.text} ({outcome.state}{reason})")
