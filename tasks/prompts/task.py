"""Your own prompts: does each image fit its prompt, and how different are the images of one?

``--tasks prompts:FILE`` draws for the prompts in FILE: ``.txt`` with one in each line, or ``.csv``,
``.tsv``, ``.json``, ``.jsonl`` or ``.parquet`` with a column ``prompt``. Each prompt gets four
images. ``--tasks prompts:datasets:NAME?prompt=P&split=test`` takes the prompts of a dataset: a
Parquet file, a folder, or a name on the hub. ``--tasks prompts:FOLDER --model folder:FOLDER`` marks
finished images that lie there with a list ``prompts.csv`` (file, prompt).

``score`` is the mean of one number for each image. Which one is the instrument ``measure``:
``clipscore`` (the default), ``pickscore``, ``hps``, ``imagereward``, ``aesthetic``, or one of
another package. It stands in the metric's name with its recipe and network. ``diversity`` is the
mean of 1 - cos of DINO's vectors over all pairs of a prompt's images, then over prompts; it needs
the weights of ``dino`` and is left out without them. So is ``diversity[lpips-alex]``, the same of
LPIPS, or of another instrument of the role ``diversity``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from harmon_eval.core import (
    About,
    Answer,
    Data,
    Draw,
    Instruments,
    Interval,
    Metric,
    Row,
    Sample,
    Source,
    Task,
    Unscorable,
)
from harmon_eval.files.images import read_picture
from harmon_eval.instruments import spreading
from harmon_eval.instruments.measuring import Measure
from harmon_eval.instruments.optional import optional, present
from harmon_eval.metrics.statistics import jackknife_interval
from harmon_eval.tasks.prompts import diversity, mini
from harmon_eval.tasks.prompts.files import place_of, read_prompts

if TYPE_CHECKING:
    import pandas as pd


def samples(data: Data, path: str) -> Iterator[Sample]:
    prompts = read_prompts(place_of(data, path, mini.FILE), data.images_per_prompt)
    for number, (prompt, images) in enumerate(prompts.items()):
        for index in range(images):
            name = f"{number:05d}"
            yield Sample(f"{name}/{index:04d}", Draw(prompt, index=index), {}, name)


def mark(answers: Sequence[Answer], instruments: Instruments) -> list[Row]:
    """One row an image: its number, its vector, and its distances to others of its prompt."""
    read = [_picture(answer) for answer in answers]
    sound = [(a, i) for a, i in zip(answers, read, strict=True) if not isinstance(i, Unscorable)]
    rows = iter(_rows([a for a, _ in sound], [i for _, i in sound], instruments) if sound else ())
    return [{"unscored": str(i)} if isinstance(i, Unscorable) else next(rows) for i in read]


def _picture(answer: Answer) -> Image.Image | Unscorable:
    try:
        return read_picture(answer.image)
    except Unscorable as error:
        return error


def _rows(
    answers: Sequence[Answer], images: Sequence[Image.Image], instruments: Instruments
) -> list[Row]:
    measure: Measure = instruments["measure"]
    network = present(instruments["dino"])
    spread = present(instruments.get("diversity"))
    distances = spreading.columns(answers, images, spread) if spread else [{}] * len(images)
    prompts = [answer.sample.request.text for answer in answers]
    vectors = network.images(images) if network else [None] * len(images)
    rows: list[Row] = []
    for prompt, value, vector, own in zip(
        prompts, measure.measure(images, prompts), vectors, distances, strict=True
    ):
        row: Row = {"prompt": prompt, "measure": measure.name, "score": value}
        if isinstance(value, Exception):
            row = {"prompt": prompt, "unscored": str(value)}
        if network:
            row |= {"network": network.name, "vector": vector}
        rows.append({**row, **own})
    return rows


def summarize(rows: pd.DataFrame) -> dict[str, float]:
    """Means over images, and over prompts."""
    found = {f"score[{rows['measure'].iloc[0]}]": float(rows["score"].astype(float).mean())}
    means = {
        name: float(np.mean([*own.values()])) for name, own in diversity.of_prompts(rows).items()
    }
    return found | means


def _score_span(rows: pd.DataFrame, name: str) -> Interval | None:
    """t interval, leaving out one prompt at a time."""
    groups = rows["score"].astype(float).groupby(rows["group"])
    sums, sizes = groups.sum().to_numpy(), groups.count().to_numpy()
    if len(sums) < 2:
        return None
    left_out = (sums.sum() - sums) / (sizes.sum() - sizes)
    return jackknife_interval(sums.sum() / sizes.sum(), left_out.tolist())


def open_task(path: str = "") -> Task:
    return Task(
        samples=partial(samples, path=path),
        mark=mark,
        summarize=summarize,
        metrics=(
            Metric("score[*]", maximum=None, headline=True, span=_score_span),
            Metric(
                "diversity[*]",
                maximum=diversity.FARTHEST,
                rows=diversity.with_pairs,
                span=diversity.span,
            ),
        ),
        about=About(
            paper="arXiv 2104.08718",
            version="2",
            protocol="that of the measure (docs/measures.md), first jmhessel/clipscore @ 1036465",
            differs="Networks run in float32. What is transparent lies on white. OneIG-Bench "
            "measures diversity with DreamSim, here it is DINO.",
            compares="Only numbers of the same measure, recipe, network and prompts compare. "
            "torchmetrics' CLIPScore is `--instrument measure=clipscore?recipe=torchmetrics`.",
            licence="that of your prompts",
            size="as many prompts as the file has, 4 images each; mini: 8",
            cost="one drawing an image, one or two passes of a network",
        ),
        sources={} if path else {"mini": Source(make=mini.make)},
        whole_groups=True,
        instruments={
            "measure": "clipscore",
            "dino": optional("dino", "hf"),
            "diversity": optional("diversity", "lpips"),
        },
        columns=("measure", "score", "network", "vector", *spreading.COLUMNS),
    )


TASK = open_task()
