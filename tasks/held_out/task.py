"""Held out: can the model draw and name combinations that its training data did not contain?

Paper: none, this benchmark is ours. Protocol: this file. Prompts of four GenEval kinds (a coloured
object, two coloured objects, a count, a relation) come in two splits. ``seen`` combinations were in
the training data; ``unseen`` combinations were left out, although each of their parts was there.
The model draws each prompt. It also answers questions about images that show what the prompt names.

``held_out.jsonl`` has the format of ``synergy.jsonl``, with a field ``split`` in each line. In the
mini suite, the splits are those of the trainer's scenes: six coloured shapes, two counts and two
relations are held out. ``splits.md`` in the run's folder compares both splits in a table.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from harmon_eval.core import About, Data, Metric, Sample, Source, Task, UserError, count
from harmon_eval.metrics.intervals import intervals
from harmon_eval.metrics.shares import mean_of, share
from harmon_eval.metrics.text import estimate
from harmon_eval.tasks.geneval.layout import read_metadata
from harmon_eval.tasks.geneval.prompts import TAGS
from harmon_eval.tasks.held_out import mini
from harmon_eval.tasks.synergy import task as synergy

if TYPE_CHECKING:
    import pandas as pd

FILE = "held_out.jsonl"
SPLITS, SIDES = ("seen", "unseen"), ("drawn", "named")


def samples(data: Data) -> Iterator[Sample]:
    """The samples of synergy, with a stratum for each tag of each split."""
    file = data.folder / FILE
    splits = [item.get("split") for item in read_metadata(file)]
    for line, split in enumerate(splits, start=1):
        if split not in SPLITS:
            raise UserError(f"{file}, line {line}: the field 'split' must be seen or unseen")
    for sample in synergy.samples(data, FILE):
        split = splits[int(sample.group)]
        yield replace(sample, stratum=f"{split}_{sample.stratum}")


def summarize(rows: pd.DataFrame) -> dict[str, float]:
    """``seen`` and ``unseen`` are means of their two sides. ``SPLIT_SIDE`` is the unweighted mean
    of ``SPLIT_TAG_SIDE``, the share of right images or replies. ``unreadable`` is as in synergy."""
    cells = rows["correct"].astype(float).groupby(rows["stratum"] + "_" + rows["side"]).mean()
    found = {str(name): float(share) for name, share in cells.items()}
    means = {}
    for split in SPLITS:
        for side in SIDES:
            names = [f"{split}_{tag}_{side}" for tag in TAGS]
            shares = [found[name] for name in names if name in found]
            if shares:
                means[f"{split}_{side}"] = sum(shares) / len(shares)
        sides = [means[name] for side in SIDES if (name := f"{split}_{side}") in means]
        if sides:
            means[split] = sum(sides) / len(sides)
    unreadable = {"unreadable": float(rows["unreadable"].sum())} if "unreadable" in rows else {}
    return {**means, **found, **unreadable}


def files_after(chosen: Sequence[Sample], rows: pd.DataFrame) -> dict[str, str]:
    """The table of both splits."""
    return {"splits.md": table(rows)} if len(rows) else {}


def table(rows: pd.DataFrame) -> str:
    """Shares of right images and replies with their intervals, in Markdown."""
    found, spans = summarize(rows), intervals(TASK, rows)

    def cell(name: str) -> str:
        return estimate(found.get(name), *spans.get(name, (None, None)))

    columns = [(side, split) for side in SIDES for split in SPLITS]
    lines = [
        "| | " + " | ".join(f"{side}, {split}" for side, split in columns) + " |",
        "|---|" + "---|" * len(columns),
    ]
    for tag in (*(tag for tag in TAGS if any(f"_{tag}_" in name for name in found)), ""):
        names = ["_".join(filter(None, (split, tag, side))) for side, split in columns]
        lines.append(f"| {tag or '**mean**'} | " + " | ".join(map(cell, names)) + " |")
    return "\n".join(lines) + "\n"


def counted(rows: pd.DataFrame, name: str) -> pd.Series:
    """Rows that the metric ``SPLIT``, ``SPLIT_SIDE`` or ``SPLIT_TAG_SIDE`` counts."""
    start, _, side = name.rpartition("_")
    if side not in SIDES:
        return rows["stratum"].str.startswith(f"{name}_")
    own = rows["side"] == side
    if start in SPLITS:
        return own & rows["stratum"].str.startswith(f"{start}_")
    return own & (rows["stratum"] == start)


def both_sides(present: Collection[str], split: str) -> Mapping[str, float]:
    return mean_of(f"{split}_{side}" for side in SIDES)(present, split)


def every_tag(present: Collection[str], name: str) -> Mapping[str, float]:
    split, _, side = name.partition("_")
    return mean_of(f"{split}_{tag}_{side}" for tag in TAGS)(present, name)


TASK = Task(
    samples=samples,
    mark=synergy.mark,
    summarize=summarize,
    metrics=(
        Metric("unseen", rows=counted, headline=True, mean_of=both_sides),
        count("unreadable"),
        Metric("seen", rows=counted, mean_of=both_sides),
        *(
            Metric(f"{split}_{side}", rows=counted, mean_of=every_tag)
            for split in SPLITS
            for side in SIDES
        ),
        *(Metric(f"{split}_*", rows=counted, of=share("correct")) for split in SPLITS),
    ),
    about=About(
        paper="none",
        version="1",
        protocol="this file; replies and images are marked as in synergy",
        differs="There is no original. What was held out depends on the training run: the mini "
        "suite's splits are meaningful only for models trained on its scenes, such as harmon-mini.",
        compares="No other toolkit has it. Both splits have the same kinds of prompts and, for "
        "counts, the same numbers of objects. Half of all yes-or-no replies are right by chance.",
        licence="that of your images; the mini suite's images are made here",
        size="as many prompts as the file has; mini: 96, each with 4 questions and 4 images",
        cost="mini: 384 generated images and 384 short replies",
    ),
    sources={
        "official": Source(
            files=(FILE,),
            text="prompts with images and questions, some with combinations from your model's "
            "training data and some without (the format is in docs/tasks.md)",
        ),
        "mini": Source(make=mini.make),
    },
    instruments=synergy.TASK.instruments,
    bounds=synergy.bounds,
    files_before=synergy.files_before,
    files_after=files_after,
    columns=("stratum", "side", "correct"),
)
