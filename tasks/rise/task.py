"""RISEBench: edits that take reasoning about time, causes, space and logic.

Paper: Zhao et al. 2025, arXiv 2504.02826. Protocol: PhoenixZ810/RISEBench @ 5f22651. A judge scores
consistency, reasoning and plausibility from 1 to 5. The headline is the share of edits with full
scores everywhere; ``score`` is their weighted mean in points.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from harmon_eval.core import About, Data, Edit, Metric, Sample, Source, Task
from harmon_eval.instruments.editing import label_of
from harmon_eval.instruments.rubrics import read_rubric
from harmon_eval.metrics.rows import having, known
from harmon_eval.metrics.shares import share
from harmon_eval.suites.mini.edit_images import FLOORS, floors
from harmon_eval.tasks.rise import files, marks, mini, rules

if TYPE_CHECKING:
    import pandas as pd


def samples(data: Data) -> Iterator[Sample]:
    """Raises UserError for files with a flaw."""
    folder = data.folder
    kinds = [category.partition("_")[0] for category in rules.CATEGORIES]
    rubric = read_rubric(folder, Path(__file__).parent, files.RUBRICS, kinds[:-1])
    for item in files.read_items(folder):
        name = f"{item.category}/{item.key}"
        kind = item.category.partition("_")[0]
        texts = {"{instruct}": item.instruction, "{reference}": item.reference}
        target = {
            **{"category": item.category, "subtask": item.subtask},
            **{"instruction": item.instruction, "before": item.before, "shown": item.shown},
            "questions": {
                aspect: rubric.filled(
                    own if (own := f"{kind}_{aspect}") in rubric.texts else aspect, texts
                )
                for aspect in rules.judged_aspects(item.category, item.consistency_free)
            },
            **{"rubric": rubric.digest(), "rubric_kind": rubric.kind},
            "floors": floors(folder, name, item.source),
        }
        request = Edit((item.source,), item.instruction)
        yield Sample(name, request, target, name, item.category)


def summarize(rows: pd.DataFrame) -> dict[str, float]:
    """Accuracy, in all and by category, and the means of the scores in points."""
    label = label_of(rows)
    there = [name for name in rules.CATEGORIES if (rows["category"] == name).any()]
    if len(there) < len(rules.CATEGORIES):
        label += f", {len(there)} of {len(rules.CATEGORIES)} categories"
    complete = rows["complete"].astype(float)
    found = {f"rise_accuracy[{label}]": float(complete.mean())}
    found |= {name: float(complete[rows["category"] == name].mean()) for name in there}
    found["rise_score"] = float(rules.points(rows["score"].mean()))
    found["score_as_published"] = float(rules.points(rows["original"].mean()))
    for aspect in rules.ASPECTS:
        if rows[aspect].notna().any():
            found[f"mean_{aspect}"] = float(rules.points(rows[aspect].mean()))
    return found


TASK = Task(
    samples=samples,
    mark=marks.mark,
    summarize=summarize,
    metrics=(
        Metric("rise_accuracy[*]", headline=True, of=share("complete")),
        *(
            Metric(name, rows=having("category", name), of=share("complete"))
            for name in rules.CATEGORIES
        ),
        Metric("rise_score", maximum=100.0),
        Metric("score_as_published", maximum=100.0),
        *(Metric(f"mean_{name}", maximum=100.0, rows=known(name)) for name in rules.ASPECTS),
    ),
    about=About(
        paper="arXiv 2504.02826",
        version="1",
        protocol="PhoenixZ810/RISEBench @ 5f22651, gpt_eval.py",
        differs="`rise_score` is as the paper means it; the script takes a missing flag for "
        "consistency-free and leaves consistency out, which `score_as_published` does too. An edit "
        "without need of consistency can be complete here. The last final score of a reply counts "
        "instead of the first, and none off the scale; the judge sees the files as they are, not "
        "JPEG of at most 768 pixels. Our wording is one for temporal, causal and spatial edits, "
        "and the metric's name says that it is ours. You can give others, also by category "
        "(docs/editing.md).",
        compares="Published rows are of GPT-4.1 and changed when the script was corrected in "
        "2026-04: state the date with every number.",
        licence="not stated; get the data from its authors",
        size="360 edits in 4 categories; mini: 36 in 3",
        cost="two or three judge calls a result",
    ),
    sources={
        "official": Source(files=files.PATTERNS, text="RISEBench's data folder, list and images"),
        "mini": Source(make=mini.make),
    },
    instruments={"judge": ""},
    judged=marks.judged,
    bounds=marks.bounds,
    layout=files.read_images,
    layout_shown="images/CATEGORY/INDEX.png",
    published=files.published,
    floors=FLOORS,
    columns=(
        *("category", "judge", "rubric_kind", *rules.ASPECTS),
        *("score", "original", "complete"),
    ),
)
