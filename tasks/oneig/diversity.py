"""Diversity: how different are the four drawings of a prompt from each other?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from harmon_eval.core import (
    About,
    Answer,
    Data,
    Draw,
    Instruments,
    Metric,
    Row,
    Sample,
    Source,
    Task,
)
from harmon_eval.files.images import read_picture
from harmon_eval.files.question_files import say_fewer
from harmon_eval.instruments.likeness import ImageNetwork, cosine
from harmon_eval.metrics.rows import after
from harmon_eval.metrics.shares import of_groups
from harmon_eval.tasks.oneig.files import read_prompts
from harmon_eval.tasks.oneig.layout import read_images, without_black

if TYPE_CHECKING:
    import pandas as pd

PUBLISHED = {"en": 1120, "zh": 1320}
IMAGES, FARTHEST = 4, 2.0  # 1 - cos of two opposite vectors


def samples(data: Data, language: str) -> Iterator[Sample]:
    prompts = read_prompts(data.folder, language)
    if data.suite == "official":
        say_fewer(len(prompts), PUBLISHED[language], "prompt", data.folder)
    for prompt in prompts.values():
        for index in range(IMAGES):
            request = Draw(prompt.text, index=index)
            yield Sample(f"{prompt.name}/{index:04d}", request, {"class": prompt.cls}, prompt.name)


def mark(answers: Sequence[Answer], instruments: Instruments) -> list[Row]:
    """One row an image with its vector: distances are those of all images of a prompt."""
    network: ImageNetwork = instruments["dino"]
    vectors = network.images([read_picture(answer.image) for answer in answers])
    return [
        {"network": network.name, "class": a.sample.target["class"], "vector": vector.tolist()}
        for a, vector in zip(answers, vectors, strict=True)
    ]


def distances(rows: pd.DataFrame) -> pd.Series:
    """Prompt -> mean of 1 - cos over the pairs of its images; NaN for a prompt with one image."""
    return rows.groupby("group", sort=False)["vector"].apply(_mean_distance)


def _mean_distance(vectors: pd.Series) -> float:
    arrays = [np.asarray(vector) for vector in vectors]
    pairs = [1 - cosine(a, b) for a, b in combinations(arrays, 2)]
    return sum(pairs) / len(pairs) if pairs else float("nan")


def summarize(rows: pd.DataFrame, language: str) -> dict[str, float]:
    """Means over prompts that have two images or more; from 0 (all the same) to 2."""
    found = {}
    network = rows["network"].iloc[0]
    parts = [(f"oneig_diversity_{language}[1-cos {network}]", rows)]
    parts += [(f"class/{cls}", own) for cls, own in rows.groupby("class")]
    for name, own in parts:
        if np.isfinite(value := float(distances(own).mean())):
            found[name] = value
    return found


def _share(rows: pd.DataFrame, name: str) -> tuple[np.ndarray, np.ndarray]:
    return of_groups(rows, distances(rows).to_numpy() / FARTHEST)


def task(language: str, about: About, sources: dict[str, Source]) -> Task:
    return Task(
        samples=partial(samples, language=language),
        mark=partial(without_black, mark=mark),
        summarize=partial(summarize, language=language),
        metrics=(
            Metric(f"oneig_diversity_{language}[*]", maximum=FARTHEST, headline=True, of=_share),
            Metric("class/*", maximum=FARTHEST, rows=after("/", "class"), of=_share),
        ),
        about=about,
        sources=sources,
        instruments={"dino": "hf"},
        layout=read_images,
        layout_shown="CLASS/MODEL/000.webp",
        columns=("network", "class", "vector"),
    )
