"""Linear probe: how well do a model's frozen features tell classes apart?

Images come in ImageNet's layout, ``train/CLASS/*`` and ``val/CLASS/*``, or in tables as on the hub.
Several such folders side by side are several sets. Each image is embedded once. The vectors stay in
the run folder as memory-mapped files, and three probes are trained on those of the training images.
Their scores are not comparable, so each metric names its probe:

- ``top1[lbfgs]``: logistic regression as a convex problem. The penalty is chosen on a part of the
  training images. The result is the same on every machine up to rounding.
- ``top1[lars-cached]``: MAE's recipe (arXiv 2111.06377) without its random crops.
  ``top1[lars-cached,4views]`` uses four random crops and flips of each training image.
- ``top1[knn20]``: the vote of the 20 nearest training images, without any training.

``top1[...]`` is the mean over the sets, ``top1[...]/SET`` is the score of one set, and
``top1[...]@PART`` that of another layer or pooling. ``majority`` is the score of always answering
the most frequent class. Width and pooling matter a lot, so report ``dimension`` as well.

In ``--tasks linear_probe:SOURCE?views=K``, the SOURCE is a folder or a dataset on the hub, which is
streamed into the cache once. K random crops of each training image are embedded in addition.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

import numpy as np

from harmon_eval.core import (
    About,
    Answer,
    Data,
    Embed,
    Instruments,
    Row,
    Sample,
    Source,
    Task,
    UserError,
)
from harmon_eval.instruments.probing.shares import FACT, judged, shares
from harmon_eval.tasks.linear_probe import mini, real
from harmon_eval.tasks.linear_probe.folder import labelled_images
from harmon_eval.tasks.linear_probe.hub import streamed
from harmon_eval.tasks.linear_probe.rules import METRICS

if TYPE_CHECKING:
    import pandas as pd


def samples(data: Data, source: str = "", views: int = 0) -> Iterator[Sample]:
    """One sample per image or crop. Ids are ``SET/SPLIT/CLASS/NAME``, which the probes read."""
    if source:
        folder = Path(source) if Path(source).is_dir() else streamed(source, data.fetching)
    else:
        folder = data.folder
    for image, file in labelled_images(folder):
        for view in range(views + 1 if image.split == "train" else 1):
            yield Sample(
                id=replace(image, view=view).place,
                request=Embed(file, view),
                target={"source": image.source, "split": image.split, "label": image.label},
                group=image.place,
                stratum="/".join(filter(None, (image.source, image.label, image.split))),
            )


def mark(answers: Sequence[Answer], instruments: Instruments) -> list[Row]:
    """Set, split and label. For a test image also how many classes each probe ranks before the
    right one, and facts about the fits."""
    rows: list[Row] = []
    for answer in answers:
        row: Row = dict(answer.sample.target)
        if not np.isfinite(np.asarray(answer.response)).all():
            row = {"unscored": "the features are not finite"}
        elif row["split"] == "val":
            row |= instruments["probe"].verdict(answer.sample.id)
        rows.append(row)
    return rows


def summarize(rows: pd.DataFrame) -> dict[str, float]:
    frame = judged(rows)
    metrics = shares(frame)
    sets = list(frame.groupby("stratum")) if len(frame) else []
    for source, own in sets:
        end = f"/{source}" if len(sets) > 1 else ""
        facts = own.iloc[0].filter(like=FACT).dropna()
        metrics |= {str(n).removeprefix(FACT) + end: float(value) for n, value in facts.items()}
    return metrics


def open_task(argument: str) -> Task:
    """Parse ``SOURCE``, ``?views=K`` or both. Raises UserError for any other setting."""
    source, _, query = argument.partition("?")
    given = dict(parse_qsl(query))
    views = given.pop("views", "0")
    if given or not views.isdecimal() or int(views) > 90 or (query and views == "0"):
        raise UserError(f"linear_probe:{argument}: give SOURCE?views=K with K from 1 to 90")
    return replace(TASK, samples=partial(samples, source=source, views=int(views)))


TASK = Task(
    samples=samples,
    mark=mark,
    summarize=summarize,
    metrics=METRICS,
    about=About(
        paper="arXiv 2111.06377",
        version="2",
        protocol="Logistic regression like CLIP's probe; MAE's LARS "
        "(facebookresearch/mae @ efb2a80); DINO's k-NN with 20 neighbours",
        differs="Features are computed once: MAE's recipe uses K stored random crops and flips of "
        "an image in turn (none by default) instead of a new one each epoch, and exact "
        "standardisation instead of BatchNorm. For sets smaller than ImageNet, its base learning "
        "rate is chosen on a hold-out of train. The convex probe standardises features; CLIP's "
        "does not.",
        compares="Neither lmms-eval nor VLMEvalKit has it. MAE's published numbers use about 90 "
        "random views per image; a MAR encoder has seen ImageNet's labels in its training. Harmon "
        "published no code for its probe, so its numbers are not a target.",
        licence="ImageNet: for non-commercial research under its terms of access; digits: CC BY "
        "4.0 (UCI); easy-VQA: MIT",
        size="ImageNet-1k: 1,281,167 training and 50,000 validation images in 1,000 classes",
        cost="1,331,167 embeddings; a step of the convex fit at 768 dimensions takes about 4 TFLOP",
    ),
    sources={
        "official": Source(
            files=("train*",),
            text="ImageNet-1k, or your own set, as train/CLASS/*.JPEG and val/CLASS/*.JPEG, "
            "or as the hub's train-*.parquet and validation-*.parquet",
        ),
        "mini": Source(make=mini.make),
        "real": Source(make=real.make),
    },
    instruments={"probe": "probes"},
)
