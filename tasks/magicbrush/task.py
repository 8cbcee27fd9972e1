"""MagicBrush: how close is the result to the target that people made?

Paper: Zhang et al. 2023, arXiv 2306.10012. Protocol: OSU-NLP-Group/MagicBrush @ 44745b5. Each
result is compared with its *target* image, and every metric's name says so: L1, L2, the cosines of
CLIP's and of DINO's vectors, and CLIP's cosine with the target's caption. Emu Edit has metrics of
the same names against the *source* (task ``emu_edit``): a copy of the source is perfect there and
poor here. ``magicbrush`` asks all turns one by one, each from the target of the turn before;
``magicbrush:multi`` plays whole sessions, each turn from the model's own result, and counts the
last.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from harmon_eval.core import (
    About,
    Answer,
    Data,
    Edit,
    Metric,
    Request,
    Sample,
    Source,
    Task,
    UserError,
)
from harmon_eval.metrics.rows import both, having, known
from harmon_eval.metrics.shares import share
from harmon_eval.metrics.statistics import mean_span
from harmon_eval.suites.mini.edit_images import FLOORS, floors
from harmon_eval.tasks.magicbrush import files, marks, mini

if TYPE_CHECKING:
    import pandas as pd

VARIANTS = {"": files.ALONE, "multi": files.ITERATED}


def samples(data: Data, setting: str) -> Iterator[Sample]:
    """Raises UserError for files with a flaw."""
    folder, iterated = data.folder, setting == files.ITERATED
    start: Path | None = None
    for turn in files.read_turns(folder):
        start = turn.source if turn.number == 1 or start is None else start
        result = turn.result(setting)
        own, copy = f"{turn.session}/{result}", start if iterated else turn.source
        target = {
            **{"instruction": turn.instruction, "turn": turn.number, "caption": turn.caption},
            **{"target": turn.target, "counted": turn.last or not iterated},
            "floors": {"copy_source": copy, **floors(folder, own, copy)},
        }
        before: tuple[str, ...] = ()
        if iterated and turn.number > 1:
            part = files.FIRST if turn.number == 2 else f"{setting}_{turn.number - 1}"
            before = (f"{turn.session}/{part}",)
        request = Edit((turn.source,), turn.instruction)
        yield Sample(own, request, target, turn.session, after=before)


def follow(sample: Sample, answers: Sequence[Answer]) -> Request:
    """A turn edits the result of the turn before."""
    return Edit((answers[0].image,), sample.request.text)


def summarize(rows: pd.DataFrame) -> dict[str, float]:
    """Means over the turns that count."""
    own = rows[rows["counted"].astype(bool)]
    if own.empty:
        return {}
    clip, dino = (own[f"{role}_network"].iloc[0] for role in ("clip", "dino"))
    found = {
        f"dino_to_target[{dino}]": float(own["dino"].mean()),
        f"clip_i_to_target[{clip}]": float(own["clip_i"].mean()),
        "l1_to_target": float(own["l1"].mean()),
        "l2_to_target": float(own["l2"].mean()),
    }
    if own["clip_t"].notna().any():
        found[f"clip_t_to_target_caption[{clip}]"] = float(own["clip_t"].astype(float).mean())
    return found


COUNTED = having("counted", True)
_mean = partial(mean_span, counted="counted")
METRICS = (
    Metric("dino_to_target[*]", headline=True, rows=COUNTED, span=_mean("dino")),
    Metric("clip_i_to_target[*]", rows=COUNTED, span=_mean("clip_i")),
    Metric(
        "clip_t_to_target_caption[*]", rows=both(COUNTED, known("clip_t")), span=_mean("clip_t")
    ),
    Metric(
        "l1_to_target",
        higher_is_better=False,
        rows=COUNTED,
        of=share("l1"),
        span=_mean("l1"),
    ),
    Metric(
        "l2_to_target",
        higher_is_better=False,
        rows=COUNTED,
        of=share("l2"),
        span=_mean("l2"),
    ),
)


def open_task(argument: str = "") -> Task:
    """``magicbrush`` or ``magicbrush:multi``. Raises UserError for another variant."""
    if argument not in VARIANTS:
        raise UserError(f"magicbrush:{argument}: give multi, or nothing for single turns")
    setting = VARIANTS[argument]
    return Task(
        samples=partial(samples, setting=setting),
        mark=marks.mark,
        summarize=summarize,
        metrics=METRICS,
        about=ABOUT,
        sources={
            "official": Source(files=files.PATTERNS, text="MagicBrush's unzipped test split"),
            "mini": Source(make=mini.make),
        },
        instruments={"clip": "hf", "dino": "hf"},
        follow=follow if setting == files.ITERATED else None,
        layout=files.read_images,
        layout_shown="ID/ID_1.png and ID/ID_inde_2.png",
        published=files.published,
        floors=FLOORS,
        columns=("counted", "clip_network", "dino_network", *marks.MEASURES),
    )


ABOUT = About(
    paper="arXiv 2306.10012",
    version="2",
    protocol="OSU-NLP-Group/MagicBrush @ 44745b5, evaluation/image_eval.py",
    differs="CLIP runs in float32 (the original's in float16 on a GPU). The model does not get the "
    "masks: this is the paper's mask-free setting.",
    compares="Papers give L1, L2, CLIP-I, DINO and CLIP-T, all to the target. Emu Edit's CLIP-I, "
    "DINO and L1 are to the source and must not stand beside these.",
    licence="CC BY 4.0; the test split is not to be redistributed",
    size="535 sessions with 1,053 turns; mini: 24 sessions with 48 turns",
    cost="one edit a turn; CLIP ViT-B/32 and DINO ViT-S/16",
)
TASK = open_task()
