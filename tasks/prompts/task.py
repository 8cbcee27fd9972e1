"""Your own prompts: does each image fit its prompt, and how different are the images of one?

``--tasks prompts:FILE`` draws for the prompts in FILE: ``.txt`` with one in each line, or ``.csv``,
``.tsv``, ``.json``, ``.jsonl`` or ``.parquet`` with a column ``prompt``. Each prompt gets four
images. ``--tasks prompts:FOLDER --model folder:FOLDER`` marks finished images that lie there with
a list ``prompts.csv`` (file, prompt).

``score`` is the mean of one number for each image. Which one is the instrument ``measure``:
``clipscore`` (the default), ``pickscore``, ``hps``, ``imagereward``, ``aesthetic``, or one of
another package. It stands in the metric's name with its recipe and network. ``diversity`` is the
mean of 1 - cos of DINO's vectors over all pairs of a prompt's images, then over prompts; it needs
the weights of ``dino`` and is left out without them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

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
)
from harmon_eval.files.images import read_picture
from harmon_eval.instruments.likeness import cosine
from harmon_eval.instruments.measuring import Measure
from harmon_eval.instruments.optional import optional, present
from harmon_eval.metrics.statistics import jackknife_interval
from harmon_eval.tasks.prompts import mini
from harmon_eval.tasks.prompts.files import read_prompts

if TYPE_CHECKING:
    import pandas as pd


def samples(data: Data, path: str) -> Iterator[Sample]:
    place = Path(path).expanduser() if path else data.folder / mini.FILE
    prompts = read_prompts(place, data.images_per_prompt)
    for number, (prompt, images) in enumerate(prompts.items()):
        for index in range(images):
            name = f"{number:05d}"
            yield Sample(f"{name}/{index:04d}", Draw(prompt, index=index), {}, name)


def mark(answers: Sequence[Answer], instruments: Instruments) -> list[Row]:
    """One row an image: its number, and its vector for the diversity of its prompt.

    Raises Unscorable for what is no image."""
    measure: Measure = instruments["measure"]
    network = present(instruments["dino"])
    images = [read_picture(answer.image) for answer in answers]
    prompts = [answer.sample.request.text for answer in answers]
    vectors = network.images(images) if network else [None] * len(images)
    rows: list[Row] = []
    for prompt, value, vector in zip(
        prompts, measure.measure(images, prompts), vectors, strict=True
    ):
        row: Row = {"prompt": prompt, "measure": measure.name, "score": value}
        if isinstance(value, Exception):
            row = {"prompt": prompt, "unscored": str(value)}
        if network:
            row |= {"network": network.name, "vector": vector}
        rows.append(row)
    return rows


def _diversities(rows: pd.DataFrame) -> dict[str, float]:
    """Prompt -> mean of 1 - cos over the pairs of its images, of prompts with two or more."""
    found = {}
    for name, vectors in rows.groupby("group", sort=False)["vector"]:
        pairs = [1 - cosine(a, b) for a, b in combinations(map(np.asarray, vectors), 2)]
        if pairs:
            found[str(name)] = float(np.mean(pairs))
    return found


def summarize(rows: pd.DataFrame) -> dict[str, float]:
    """Means over images, and over prompts."""
    found = {f"score[{rows['measure'].iloc[0]}]": float(rows["score"].astype(float).mean())}
    if "vector" in rows and (own := _diversities(rows)):
        found[f"diversity[1-cos {rows['network'].iloc[0]}]"] = float(np.mean(list(own.values())))
    return found


def _score_span(rows: pd.DataFrame, name: str) -> Interval | None:
    """t interval, leaving out one prompt at a time."""
    groups = rows["score"].astype(float).groupby(rows["group"])
    sums, sizes = groups.sum().to_numpy(), groups.count().to_numpy()
    if len(sums) < 2:
        return None
    left_out = (sums.sum() - sums) / (sizes.sum() - sizes)
    return jackknife_interval(sums.sum() / sizes.sum(), left_out.tolist())


def _diversity_span(rows: pd.DataFrame, name: str) -> Interval | None:
    values = np.array(list(_diversities(rows).values()))
    if len(values) < 2:
        return None
    left_out = (values.sum() - values) / (len(values) - 1)
    return jackknife_interval(float(values.mean()), left_out.tolist())


def _with_pairs(rows: pd.DataFrame, name: str) -> pd.Series:
    return rows["group"].map(rows["group"].value_counts()) > 1


def open_task(path: str = "") -> Task:
    return Task(
        samples=partial(samples, path=path),
        mark=mark,
        summarize=summarize,
        metrics=(
            Metric("score[*]", maximum=None, headline=True, span=_score_span),
            Metric("diversity[*]", maximum=2.0, rows=_with_pairs, span=_diversity_span),
        ),
        about=About(
            paper="arXiv 2104.08718",
            version="1",
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
        instruments={"measure": "clipscore", "dino": optional("dino", "hf")},
        columns=("measure", "score", "network", "vector"),
    )


TASK = open_task()
