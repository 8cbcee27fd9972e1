"""ImgEdit-Bench: a judge grades nine types of edits from 1 to 5, from three views each.

Paper: Ye et al. 2025, arXiv 2505.20275. Protocol: PKU-YuanGroup/ImgEdit @ 547185d. The score of a
result is the mean of the three grades; the headline is the unweighted mean of the nine types, as in
the paper's leaderboard. ``imgedit:uge`` has the hard edits (one grade), ``imgedit:multiturn``
sessions in which each turn edits the result of the one before, graded turn by turn as UGE is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harmon_eval.core import (
    Answer,
    Data,
    Edit,
    Metric,
    Request,
    Sample,
    Source,
    Task,
    UserError,
    count,
)
from harmon_eval.instruments.editing import label_of
from harmon_eval.metrics.rows import having
from harmon_eval.metrics.shares import mean_of, share
from harmon_eval.suites.mini.edit_images import FLOORS, floors
from harmon_eval.tasks.imgedit import files, marks, mini, rules

if TYPE_CHECKING:
    import pandas as pd

Read = Callable[[Path], tuple[list[files.Item], str]]
KINDS: Mapping[str, tuple[str, ...]] = {
    "imgedit": tuple(rules.TYPES),
    "uge": (rules.UGE,),
    "multiturn": files.SESSIONS,
}
READERS: Mapping[str, Read] = {
    "imgedit": files.read_basic,
    "uge": files.read_hard,
    "multiturn": files.read_sessions,
}


def samples(data: Data, name: str) -> Iterator[Sample]:
    """Raises UserError for files with a flaw."""
    folder = data.folder
    items, digest = READERS[name](folder)
    kinds = [item.kind for item in items] if name == "imgedit" else [rules.UGE]
    rubric = rules.read_rubric(folder, kinds)
    for item in items:
        which = item.kind if name == "imgedit" else rules.UGE
        floor_id = f"uge/{item.key}" if name == "uge" else item.key
        own = f"{item.key}/turn{item.turn}" if item.turn else item.key
        target = {
            **{"edit_type": item.kind, "instruction": item.prompt, "turn": item.turn},
            "question": rubric.filled(which, {rules.PLACEHOLDER: item.prompt}),
            "labels": rules.TYPES[which].labels if which in rules.TYPES else ("Score",),
            **{"rubric": rubric.digest((which,)), "rubric_kind": rubric.kind},
            "data_file": digest[:12],
            "floors": {} if item.turn else floors(folder, floor_id, item.source),
        }
        before = (f"{item.key}/turn{item.turn - 1}",) if item.turn > 1 else ()
        group = item.key if item.turn else f"{item.source.parent.name}/{item.source.name}"
        yield Sample(own, Edit((item.source,), item.prompt), target, group, item.kind, before)


def follow(sample: Sample, answers: Sequence[Answer]) -> Request:
    """A turn edits the result of the turn before."""
    return Edit((answers[0].image,), sample.request.text)


def summarize(rows: pd.DataFrame, name: str) -> dict[str, float]:
    """The mean of each type, of the types, and of the samples; also as the original reads them."""
    label, kinds = label_of(rows), KINDS[name]
    means = rows.groupby("edit_type")["score"].mean()
    there = [kind for kind in kinds if kind in means.index]
    whole = label if len(there) == len(kinds) else f"{label}, {len(there)} of {len(kinds)} types"
    headline = "imgedit" if name == "imgedit" else f"imgedit_{name}"
    found = {f"{headline}[{whole}]": float(np.mean([means[kind] for kind in there]))}
    found[f"sample_mean[{label}]"] = float(rows["score"].mean())
    found |= {kind: float(means[kind]) for kind in there if len(kinds) > 1}
    if "original" in rows and len(known := rows[rows["original"].notna()]):
        pairs = zip(known["edit_type"], known["original"].astype(float), strict=True)
        published = rules.type_means(pairs)
        found[f"as_published[{whole}]"] = float(np.mean(list(published.values())))
        found["official_would_drop"] = float(rows["original"].isna().sum())
    if name == "multiturn":
        turns = rows.groupby("turn")["score"].mean()
        found |= {f"turn_{turn}": float(mean) for turn, mean in turns.items()}
    return found


def _metrics(name: str) -> tuple[Metric, ...]:
    kinds = KINDS[name]
    headline = "imgedit" if name == "imgedit" else f"imgedit_{name}"
    of = share("score", 5.0)
    several = len(kinds) > 1
    return (
        Metric(
            f"{headline}[*]",
            maximum=5.0,
            headline=True,
            of=None if several else of,
            mean_of=mean_of(kinds) if several else None,
        ),
        Metric("sample_mean[*]", maximum=5.0, of=of),
        Metric("as_published[*]", maximum=5.0, interval=False),
        *(Metric(k, maximum=5.0, rows=having("edit_type", k), of=of) for k in kinds if several),
        *(
            Metric(f"turn_{turn}", maximum=5.0, rows=having("turn", turn), of=of)
            for turn in (1, 2, 3)
        ),
        count("official_would_drop"),
    )


def files_after(asked: Sequence[Sample], rows: pd.DataFrame) -> Mapping[str, str]:
    return files.result_files(rows) if len(rows) else {}


def open_task(argument: str = "") -> Task:
    """``imgedit``, ``imgedit:uge`` or ``imgedit:multiturn``. Raises UserError for another."""
    name = argument or "imgedit"
    if name not in KINDS:
        raise UserError(f"imgedit:{argument}: give uge or multiturn, or nothing")
    return Task(
        samples=lambda data: samples(data, name),
        mark=marks.mark,
        summarize=lambda rows: summarize(rows, name),
        metrics=_metrics(name),
        about=marks.ABOUT,
        sources={"official": files.OFFICIAL, "mini": Source(make=mini.make)},
        instruments={"judge": ""},
        follow=follow if name == "multiturn" else None,
        judged=marks.judged,
        bounds=marks.bounds,
        files_after=files_after,
        layout=files.read_images,
        layout_shown="KEY.png",
        published=files.published,
        floors=FLOORS,
        columns=("edit_type", "turn", "judge", "rubric_kind", "score", "original"),
    )


TASK = open_task()
