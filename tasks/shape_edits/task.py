"""Shape edits: did what was to change, and nothing else? By rules, on the mini suite's scenes.

Paper: none, this benchmark is ours. Protocol: harmon_eval/suites/mini/edit_judge.py. Nine kinds of
edits of scenes with one to four shapes. An edit is right if it was *followed* (every demanded fact
holds) and *preserved* (objects that were not named, and the background, are as they were). The
headline is the unweighted mean over kinds of the share of right edits. ``unseen`` edits show
combinations that harmon-mini's training left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harmon_eval.core import (
    About,
    Answer,
    Data,
    Edit,
    Instruments,
    Metric,
    Row,
    Sample,
    Source,
    Task,
)
from harmon_eval.files.images import read_rgb
from harmon_eval.files.question_files import find_image, read_json
from harmon_eval.metrics.rows import having
from harmon_eval.metrics.shares import mean_over, share
from harmon_eval.suites.mini.edit_images import FLOORS, floors
from harmon_eval.suites.mini.edit_judge import IDENTITY, judge_edit
from harmon_eval.suites.mini.edits import KINDS
from harmon_eval.suites.mini.instructions import read
from harmon_eval.tasks.shape_edits import mini

if TYPE_CHECKING:
    import pandas as pd

LABEL = IDENTITY.partition(" ")[0]
HEADLINE = f"edit_accuracy[{LABEL}]"
HALVES = ("followed", "preserved")


def samples(data: Data) -> Iterator[Sample]:
    for key, entry in read_json(data.folder / mini.FILE).items():
        source = find_image(entry["id"], [data.folder])
        kind = entry["edit_type"]
        target = {
            **{"edit_type": kind, "split": entry["split"], "instruction": entry["prompt"]},
            "floors": floors(data.folder, key, source),
        }
        yield Sample(key, Edit((source,), entry["prompt"]), target, key, kind)


def mark(answers: Sequence[Answer], instruments: Instruments) -> list[Row]:
    """One row a result, with what trivial models get."""
    rows = []
    for answer in answers:
        sample = answer.sample
        row: Row = {name: sample.target[name] for name in ("edit_type", "split", "instruction")}
        demands = read(sample.target["instruction"])
        row["retoned"] = any(demand.action == "background" for demand in demands)
        row |= _verdict(sample, answer.image)
        for name, image in sample.target["floors"].items():
            row |= {f"{name}:{column}": value for column, value in _verdict(sample, image).items()}
        rows.append(row)
    return rows


def _verdict(sample: Sample, result: Path) -> Row:
    source = read_rgb(sample.request.files[0])
    verdict = judge_edit(source, read_rgb(result), sample.target["instruction"])
    return {
        **{"right": verdict.passed, "followed": verdict.followed, "preserved": verdict.preserved},
        "background_mae": verdict.background_mae,
        "psnr_kept": verdict.psnr_kept,
    }


def summarize(rows: pd.DataFrame) -> dict[str, float]:
    """Shares of right edits, as means over kinds; ``psnr_kept`` is of results that differ."""
    columns = ["right", *HALVES]
    means = rows[columns].astype(float).groupby(rows["edit_type"]).mean()
    found = {HEADLINE: float(means["right"].mean())}
    found |= {name: float(means[name].mean()) for name in HALVES}
    for split in mini.SPLITS:
        if len(own := rows[rows["split"] == split]):
            kinds = own["right"].astype(float).groupby(own["edit_type"]).mean()
            found[split] = float(kinds.mean())
    found |= {kind: float(means.loc[kind, "right"]) for kind in KINDS if kind in means.index}
    still = rows[~rows["retoned"].astype(bool)]
    if len(still):
        found["background_mae"] = float(still["background_mae"].mean())
        finite = still.loc[np.isfinite(still["psnr_kept"]), "psnr_kept"]
        if len(finite):
            found["psnr_kept"] = float(finite.mean())
    return found


def _all(rows: pd.DataFrame, name: str) -> pd.Series:
    import pandas as pd

    return pd.Series(True, index=rows.index)


def _still(rows: pd.DataFrame, name: str) -> pd.Series:
    """Edits that leave the background alone; of a PSNR those that are not equal there."""
    own = ~rows["retoned"].astype(bool)
    return own & np.isfinite(rows["psnr_kept"]) if name == "psnr_kept" else own


TASK = Task(
    samples=samples,
    mark=mark,
    summarize=summarize,
    metrics=(
        Metric("edit_accuracy[*]", headline=True, of=mean_over("right", "edit_type", _all)),
        *(Metric(name, of=mean_over(name, "edit_type", _all)) for name in HALVES),
        *(
            Metric(
                split,
                rows=having("split", split),
                of=mean_over("right", "edit_type", having("split", split)),
            )
            for split in mini.SPLITS
        ),
        *(Metric(kind, rows=having("edit_type", kind), of=share("right")) for kind in KINDS),
        Metric("background_mae", higher_is_better=False, maximum=None, rows=_still),
        Metric("psnr_kept", maximum=None, rows=_still),
    ),
    about=About(
        paper="none",
        version="1",
        protocol="harmon_eval/suites/mini/edit_judge.py",
        differs="There is no original. A result of another size is brought to that of the source. "
        "`background_mae` (levels of 255) and `psnr_kept` (dB) are outside all objects, of edits "
        "that leave the background alone.",
        compares="Only with itself: the judge knows six shapes and ten colours. The exact targets "
        "score 1. A copy of the source is preserved and never followed; drawing the wanted objects "
        "anew follows some and preserves nothing.",
        licence="the images are made here",
        size="216 edits of 9 kinds",
        cost="216 generated images; no judge to pay",
    ),
    sources={"mini": Source(make=mini.make)},
    floors=FLOORS,
    columns=("edit_type", "split", "right", *HALVES, "retoned", "background_mae", "psnr_kept"),
)
