"""Text: is what the prompt wants written there, whole and letter by letter?"""

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
    Interval,
    Metric,
    Row,
    Sample,
    Source,
    Task,
    UserError,
)
from harmon_eval.files.question_files import say_fewer
from harmon_eval.instruments import reading
from harmon_eval.metrics import rendered_text
from harmon_eval.metrics.shares import share
from harmon_eval.metrics.statistics import LEVEL, rate_interval
from harmon_eval.tasks.oneig.files import PROMPTS, read_prompts, read_texts
from harmon_eval.tasks.oneig.layout import read_images, without_black

if TYPE_CHECKING:
    import pandas as pd

IMAGES, PUBLISHED = 4, 200  # of a prompt; texts


def samples(data: Data, language: str) -> Iterator[Sample]:
    """Raises UserError for a text without a prompt."""
    prompts, texts = read_prompts(data.folder, language), read_texts(data.folder, language)
    if data.suite == "official":
        say_fewer(len(texts), PUBLISHED, "text", data.folder)
    for name, text in texts.items():
        prompt = prompts.get(f"text-{name}")
        if prompt is None:
            raise UserError(
                f"{data.folder}: the text of {name} has no prompt of Text_Rendering: get "
                f"{PROMPTS[language]} again"
            )
        for index in range(IMAGES):
            request = Draw(prompt.text, index=index)
            yield Sample(f"{prompt.name}/{index:04d}", request, {"text": text}, prompt.name)


def image_row(sample: Sample, read: str) -> Row:
    target = rendered_text.oneig_text(sample.target["text"])
    found = rendered_text.oneig_read(read)
    distance = rendered_text.edit_distance(target, found)
    matched, words = rendered_text.oneig_words(target, found)
    return {
        "edit_distance": distance,
        "completed": float(distance == 0),
        "matched": matched,
        "words": words,
        "text_accuracy": rendered_text.accuracy(target, found),
    }


def mark(answers: Sequence[Answer], instruments: Instruments) -> list[Row]:
    return reading.marked(answers, instruments["reader"], image_row)


def bounds(sample: Sample) -> tuple[Row, Row]:
    def row(read: str) -> Row:
        return {"reader": None, **image_row(sample, read)}

    return row(""), row(sample.target["text"])


def summarize(rows: pd.DataFrame, language: str) -> dict[str, float]:
    """Edit distance in characters, the others from 0 to 1."""
    reader = reading.reader_of(rows)
    distance, completed = rows["edit_distance"].mean(), rows["completed"].mean()
    accuracy = rows["matched"].sum() / max(rows["words"].sum(), 1)
    score = rendered_text.oneig_score(distance, completed, accuracy, language)
    found = {
        f"oneig_text_{language}": score,
        "edit_distance": distance,
        "completed": completed,
        "word_accuracy": accuracy,
        "text_accuracy": rows["text_accuracy"].mean(),
    }
    return {f"{name}[{reader}]": float(value) for name, value in found.items()}


def _left_out(rows: pd.DataFrame, *columns: str) -> tuple[np.ndarray, np.ndarray]:
    """Sums over all images (columns,), and without each prompt (prompts, columns)."""
    sums = rows.groupby("group")[list(columns)].sum().to_numpy(float)
    return sums.sum(0), sums.sum(0) - sums


def _distance_span(rows: pd.DataFrame, name: str) -> Interval | None:
    whole, parts = _left_out(rows.assign(images=1.0), "edit_distance", "images")
    telling = int((parts[:, 0] < whole[0]).sum())
    return rate_interval(whole[0] / whole[1], (parts[:, 0] / parts[:, 1]).tolist(), telling)


def _score_span(rows: pd.DataFrame, name: str, language: str) -> Interval | None:
    """What the score lacks is the product of three rates of errors that go together: their
    geometric mean has the interval of a rate."""
    columns = "edit_distance", "completed", "matched", "words", "images"
    whole, parts = _left_out(rows.assign(images=1.0), *columns)

    def rate(sums: np.ndarray) -> np.ndarray:
        distance, completed, matched, words, images = sums.T
        share = matched / np.maximum(words, 1)
        lacking = [
            1 - rendered_text.oneig_score(*own, language)
            for own in zip(distance / images, completed / images, share, strict=True)
        ]
        return np.cbrt(lacking)

    if len(parts) < 2:
        return None
    (value,), groups = rate(whole[None]), len(parts)
    if not value:  # no error: the exact limit of two of the rates, and any distance
        return 1 - (1 - (1 - LEVEL) ** (1 / groups)) ** 2, 1.0
    span = rate_interval(value, rate(parts).tolist(), int((parts[:, 0] < whole[0]).sum()))
    return None if span is None else (max(0.0, 1 - span[1] ** 3), 1 - span[0] ** 3)


def _words(rows: pd.DataFrame, name: str) -> tuple[np.ndarray, np.ndarray]:
    return rows["matched"].to_numpy(np.float64), rows["words"].to_numpy(np.float64)


def task(language: str, about: About, sources: dict[str, Source]) -> Task:
    return Task(
        samples=partial(samples, language=language),
        mark=partial(without_black, mark=mark),
        summarize=partial(summarize, language=language),
        metrics=(
            Metric(
                f"oneig_text_{language}[*]",
                headline=True,
                span=partial(_score_span, language=language),
            ),
            Metric("edit_distance[*]", higher_is_better=False, maximum=None, span=_distance_span),
            Metric("completed[*]", of=share("completed")),
            Metric("word_accuracy[*]", of=_words),
            Metric("text_accuracy[*]", of=share("text_accuracy")),
        ),
        about=about,
        sources=sources,
        instruments={"reader": "rapidocr"},
        bounds=bounds,
        layout=read_images,
        layout_shown="CLASS/MODEL/000.webp",
        columns=("reader", "edit_distance", "completed", "matched", "words", "text_accuracy"),
    )
