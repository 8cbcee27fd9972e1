"""OmniContext: pictures made from one to three others, whose persons, objects and scenes return.

Paper: Wu et al. 2025, arXiv 2506.18871. Protocol: VectorSpaceLab/OmniGen2 @ 0f72fa9, omnicontext/.
A judge gives two scores from 0 to 10: PF, was the instruction followed, and SC, are the subjects
those of the given pictures. O is the square root of PF x SC of each result. The headline is the
unweighted mean of O over the eight kinds of tasks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harmon_eval.core import About, Data, Edit, Metric, Sample, Source, Task, count
from harmon_eval.instruments.editing import label_of
from harmon_eval.instruments.rubrics import read_rubric
from harmon_eval.metrics.rows import having
from harmon_eval.metrics.shares import mean_over, share
from harmon_eval.suites.mini.edit_images import FLOORS, floors
from harmon_eval.tasks.omnicontext import files, marks, mini, rules

if TYPE_CHECKING:
    import pandas as pd

SCORES = {"O": "", "PF": "_PF", "SC": "_SC"}


def samples(data: Data) -> Iterator[Sample]:
    """Raises UserError for files with a flaw."""
    folder = data.folder
    rubric = read_rubric(folder, Path(__file__).parent, rules.RUBRICS)
    for row in files.read_table(folder):
        kind, images, text = row["task_type"], row["input_images"], row["instruction"]
        name, end = f"{kind}/{row['key']}", "_scene" if "scene" in kind else ""
        words = {rules.PLACEHOLDER: text}
        target = {
            **{"task_type": kind, "instruction": text},
            "questions": {aspect: rubric.filled(aspect + end, words) for aspect in rules.ASPECTS},
            **{"rubric": rubric.digest(), "rubric_kind": rubric.kind},
            "floors": floors(folder, name, images[0]),
        }
        yield Sample(name, Edit(images, text), target, name, kind)


def summarize(rows: pd.DataFrame) -> dict[str, float]:
    """Unweighted means over the kinds of tasks that are there, and each kind's mean of O."""
    label = label_of(rows)
    means = rows.groupby("task_type")[list(SCORES)].mean()
    there = [kind for kind in files.TYPES if kind in means.index]
    if len(there) < len(files.TYPES):
        label += f", {len(there)} of {len(files.TYPES)} kinds"
    found = {
        f"omnicontext{end}[{label}]": float(np.mean([means.loc[kind, score] for kind in there]))
        for score, end in SCORES.items()
    }
    found |= {kind: float(means.loc[kind, "O"]) for kind in there}
    found["official_would_guess"] = float(rows["original_guesses"].sum())
    found["official_would_stop"] = float(rows["original_stops"].sum())
    return found


def _all(rows: pd.DataFrame, name: str) -> pd.Series:
    import pandas as pd

    return pd.Series(True, index=rows.index)


def files_after(asked: Sequence[Sample], rows: pd.DataFrame) -> Mapping[str, str]:
    return files.score_lines(rows) if len(rows) else {}


TASK = Task(
    samples=samples,
    mark=marks.mark,
    summarize=summarize,
    metrics=(
        *(
            Metric(
                f"omnicontext{end}[*]",
                maximum=10.0,
                headline=not end,
                of=mean_over(score, "task_type", _all, 10.0),
            )
            for score, end in SCORES.items()
        ),
        *(
            Metric(kind, maximum=10.0, rows=having("task_type", kind), of=share("O", 10.0))
            for kind in files.TYPES
        ),
        count("official_would_guess"),
        count("official_would_stop"),
    ),
    about=About(
        paper="arXiv 2506.18871",
        version="1",
        protocol="VectorSpaceLab/OmniGen2 @ 0f72fa9, omnicontext/",
        differs="The judge is asked once; the original asks three times whatever it hears and "
        "keeps the last reply. A reply without one score is asked for again, then unscored with "
        "bounds; the original draws a random number (`official_would_guess`), or stops at a list "
        "where it expects a number (`official_would_stop`). A score outside 0 to 10 is none. "
        "Missing results are unscored instead of skipped. Temperature is 0 (the original's 1). The "
        "rubric is our wording, which the metric's name says, unless you give the official one "
        "(docs/editing.md).",
        compares="Published rows are of GPT-4.1, for results of 1024 x 1024 pixels.",
        licence="not stated here; see the card of OmniGen2/OmniContext",
        size="8 kinds of instructions with one to three pictures; mini: 48 instructions of 3 kinds",
        cost="two judge calls a result, of two to four pictures each",
    ),
    sources={"official": files.OFFICIAL, "mini": Source(make=mini.make)},
    instruments={"judge": ""},
    judged=marks.judged,
    bounds=marks.bounds,
    files_after=files_after,
    layout=files.read_images,
    layout_shown="fullset/TASK_TYPE/KEY.png",
    published=files.published,
    floors=FLOORS,
    columns=(
        *("task_type", "judge", "rubric_kind", *SCORES),
        *("original_guesses", "original_stops"),
    ),
)
