"""KRIS-Bench: edits that take knowledge, judged for consistency, quality, instruction, knowledge.

Paper: Wu et al. 2025, arXiv 2505.16707. Protocol: mercurystraw/Kris_Bench; totals as in
ByteDance-Seed/Bagel @ 056b5fd. A judge gives scores from 1 to 5, and 0 to 100 points are
25 x (score - 1). All scores of a result count alike, so results of categories with knowledge weigh
more; the headline is the mean over all scores, beside it Factual, Conceptual and Procedural.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harmon_eval.core import (
    About,
    Data,
    Edit,
    Metric,
    Sample,
    Source,
    Task,
)
from harmon_eval.instruments.editing import label_of
from harmon_eval.instruments.rubrics import read_rubric
from harmon_eval.metrics.rows import having
from harmon_eval.metrics.shares import Share
from harmon_eval.suites.mini.edit_images import FLOORS, floors
from harmon_eval.tasks.kris import files, marks, mini, rules

if TYPE_CHECKING:
    import pandas as pd


def samples(data: Data) -> Iterator[Sample]:
    """Raises UserError for files with a flaw."""
    folder = data.folder
    rubric = read_rubric(folder, Path(__file__).parent, files.RUBRICS)
    for item in files.read_items(folder):
        name, group = f"{item.category}/{item.key}", rules.GROUP_OF[item.category]
        last = "knowledge" if item.category in rules.WITH_KNOWLEDGE else "instruction"
        texts = {"{instruction}": item.instruction, "{explanation}": item.explanation}
        target = {
            **{"category": item.category, "kris_group": group, "kind": rules.KIND_OF[group]},
            **{"instruction_text": item.instruction, "last": last},
            "questions": {n: rubric.filled(n, texts) for n in ("consistency", "quality", last)},
            **{"rubric": rubric.digest(), "rubric_kind": rubric.kind},
            "floors": floors(folder, name, item.sources[0]),
        }
        yield Sample(name, Edit(item.sources, item.instruction), target, name, item.category)


def summarize(rows: pd.DataFrame) -> dict[str, float]:
    """In points: the mean over all scores, of the kinds of knowledge, the groups, each score."""
    label = label_of(rows)
    there = rows["category"].nunique()
    if there < len(rules.GROUP_OF):
        label += f", {there} of {len(rules.GROUP_OF)} categories"
    found = {f"kris[{label}]": _mean(rows)}
    for column, names in (("kind", rules.KINDS), ("kris_group", rules.GROUPS)):
        own = {name: rows[rows[column] == name] for name in names}
        found |= {name: _mean(part) for name, part in own.items() if len(part)}
    for name in rules.SCORES:
        if rows[name].notna().any():
            found[f"mean_{name}"] = float(rules.points(rows[name].mean()))
    return found


def _mean(rows: pd.DataFrame) -> float:
    """The mean over all scores of these rows, in points."""
    return float(rules.points(np.nanmean(rows[list(rules.SCORES)].to_numpy(float))))


def _known(column: str) -> Any:
    return lambda rows, name: rows[column].notna()


def _share(*columns: str) -> Share:
    """All scores of these columns count alike; a result without knowledge has one less."""

    def found(rows: pd.DataFrame, name: str) -> tuple[np.ndarray, np.ndarray]:
        scores = (rows[list(columns)].to_numpy(float) - rules.LOW) / (rules.HIGH - rules.LOW)
        return np.nansum(scores, axis=1), np.isfinite(scores).sum(axis=1).astype(float)

    return found


ALL_SCORES = _share(*rules.SCORES)
TASK = Task(
    samples=samples,
    mark=marks.mark,
    summarize=summarize,
    metrics=(
        Metric("kris[*]", maximum=100.0, headline=True, of=ALL_SCORES),
        *(
            Metric(name, maximum=100.0, rows=having(column, name), of=ALL_SCORES)
            for column, names in (("kind", rules.KINDS), ("kris_group", rules.GROUPS))
            for name in names
        ),
        *(
            Metric(f"mean_{name}", maximum=100.0, rows=_known(name), of=_share(name))
            for name in rules.SCORES
        ),
    ),
    about=About(
        paper="arXiv 2505.16707",
        version="2",
        protocol="mercurystraw/Kris_Bench; totals of ByteDance-Seed/Bagel @ 056b5fd",
        differs="A digit in the prose is no score, and a score outside 1 to 5 is none; such "
        "replies are asked for again, then unscored with bounds. Images go to the judge with their "
        "own media type. The rubric is our wording, which the metric's name says, unless you give "
        "the official one (docs/editing.md).",
        compares="Published rows are of GPT-4o. The original has no script for totals: papers use "
        "Bagel's mean over all scores, or means of their own.",
        licence="Apache-2.0 (mercurystraw/Kris_Bench)",
        size="1,267 edits in 20 categories; mini: 50 in 5",
        cost="three judge calls a result",
    ),
    sources={
        "official": Source(files=files.PATTERNS, text="the folder KRIS_Bench of the data set"),
        "mini": Source(make=mini.make),
    },
    instruments={"judge": ""},
    judged=marks.judged,
    bounds=marks.bounds,
    files_after=lambda asked, rows: files.metrics_files(rows) if len(rows) else {},
    also=("kris_bench",),
    layout=files.read_images,
    layout_shown="CATEGORY/ID.jpg",
    published=files.published,
    floors=FLOORS,
    columns=("category", "kris_group", "kind", "judge", "rubric_kind", *rules.SCORES),
)
