"""LongText-Bench: does the image show the long text that its prompt asks for, word by word?

Paper: Geng et al. 2025, arXiv 2507.22058 (X-Omni). Protocol: X-Omni-Team/X-Omni @ 2b8237b,
textbench. A reader finds the text of an image. Its words (characters in Chinese) are matched with
those asked for, each as often as it occurs; their order is of no account. The score is the share of
matched words over all images. ``longtext:zh`` is the Chinese part.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from harmon_eval.core import (
    About,
    Answer,
    Data,
    Draw,
    Instruments,
    Metric,
    Reward,
    Row,
    Sample,
    Source,
    Task,
)
from harmon_eval.instruments import reading
from harmon_eval.metrics import rendered_text
from harmon_eval.metrics.rows import after
from harmon_eval.metrics.shares import share
from harmon_eval.settings import variant
from harmon_eval.tasks.longtext import layout, mini
from harmon_eval.tasks.longtext.files import FILES, official, read_prompts

if TYPE_CHECKING:
    import pandas as pd

GROUPS = ("category", "length")
ABOUT = About(
    paper="arXiv 2507.22058",
    version="1",
    protocol="X-Omni-Team/X-Omni @ 2b8237b, textbench: matched words / words, over all images",
    differs="An image that the reader fails on is unscored with bounds. `text_accuracy` is ours: 1 "
    "- edit distance / the longer text, in lower case with single spaces (without spaces in "
    "Chinese). `exact` is the share of images where it is 1.",
    compares="Published rows are Qwen2.5-VL-7B's readings (`--instrument reader=vlm:PATH`); the "
    "reader is part of the metric's name. Matching ignores the order of words.",
    licence="Apache-2.0 (X-Omni/LongText-Bench)",
    size="160 English and 160 Chinese prompts, 4 images each",
    cost="640 drawings a language; rapidocr reads an image in 1 to 3 s on one core",
)


def samples(data: Data, language: str) -> Iterator[Sample]:
    for prompt in read_prompts(data.folder / FILES[language]):
        target = {
            "texts": list(prompt.texts),
            "language": language,
            "category": prompt.category,
            "length": prompt.length,
        }
        group = f"{prompt.id:04d}"
        for index in range(data.images_per_prompt):
            yield Sample(f"{group}/{index:04d}", Draw(prompt.text, index=index), target, group)


def image_row(sample: Sample, read: str) -> Row:
    target = sample.target
    matched, words = rendered_text.longtext_words(target["texts"], read, target["language"])
    wanted, found = " ".join(target["texts"]), read
    if target["language"] == rendered_text.CHINESE:
        wanted, found = ("".join(text.split()) for text in (wanted, found))
    accuracy = rendered_text.accuracy(wanted, found)
    return {
        "matched": matched,
        "words": words,
        "text_accuracy": accuracy,
        "exact": float(accuracy == 1),
        **{name: target[name] for name in GROUPS},
    }


def mark(answers: Sequence[Answer], instruments: Instruments) -> list[Row]:
    return reading.marked(answers, instruments["reader"], image_row)


def bounds(sample: Sample) -> tuple[Row, Row]:
    """Nothing read, and the text itself."""
    texts = " ".join(sample.target["texts"])
    nothing, all_of_it = image_row(sample, ""), image_row(sample, texts)
    return {"reader": None, **nothing}, {"reader": None, **all_of_it}


def summarize(rows: pd.DataFrame, language: str) -> dict[str, float]:
    """From 0 to 1, as published. ``category/...`` and ``length/...`` are shares of words too."""
    reader = reading.reader_of(rows)
    found = {f"longtext_{language}[{reader}]": rows["matched"].sum() / rows["words"].sum()}
    found |= {f"{name}[{reader}]": rows[name].mean() for name in ("text_accuracy", "exact")}
    for name in GROUPS:
        for value, own in rows[rows[name] != ""].groupby(name):
            found[f"{name}/{value}"] = own["matched"].sum() / own["words"].sum()
    return {name: float(value) for name, value in found.items()}


def rewards(row: Row) -> dict[str, float]:
    words = row["matched"] / max(row["words"], 1)
    return {"longtext": words, **{name: row[name] for name in ("text_accuracy", "exact")}}


def _words(rows: pd.DataFrame, name: str) -> tuple[np.ndarray, np.ndarray]:
    return rows["matched"].to_numpy(np.float64), rows["words"].to_numpy(np.float64)


def open_task(language: str = "") -> Task:
    """``longtext:LANGUAGE``: en or zh."""
    chosen = variant(language, language=tuple(FILES))["language"]
    return Task(
        samples=partial(samples, language=chosen),
        mark=mark,
        summarize=partial(summarize, language=chosen),
        metrics=(
            Metric(f"longtext_{chosen}[*]", headline=True, of=_words),
            Metric("text_accuracy[*]", of=share("text_accuracy")),
            Metric("exact[*]", of=share("exact")),
            *(Metric(f"{name}/*", rows=after("/", name), of=_words) for name in GROUPS),
        ),
        about=ABOUT,
        sources={
            "official": official(chosen),
            "mini": Source(make=partial(mini.make, file=FILES[chosen], language=chosen)),
        },
        instruments={"reader": "rapidocr"},
        bounds=bounds,
        reward=Reward(rewards),
        layout=layout.read_images,
        layout_shown="0000_1.png to 0159_4.png",
        published=layout.published,
        columns=("reader", "matched", "words", "text_accuracy", "exact", *GROUPS),
    )


TASK = open_task()
