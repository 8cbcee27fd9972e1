"""Two small benchmarks as another package would bring them: questions and drawings.

The questions, replies, names and reasons are those of somebody who means harm.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
from PIL import Image

from harmon_eval.core import (
    About,
    Answer,
    Ask,
    Data,
    Draw,
    Instruments,
    Interval,
    Metric,
    Responder,
    Row,
    Sample,
    Summarize,
    Task,
)
from harmon_eval.metrics.proportions import wilson

ATTACK = "</script><script>document.title='owned'</script><img src=x onerror=\"alert(1)\">"
HOSTILE = f"{ATTACK} | a, \\LaTeX_$ \x07 \u202e backwards \x00"
QUESTIONS = ("Is there a cat in the image?", "Is there a dog in the image?", ATTACK)
COLORS = ("red", "green", "blue", "black")
IMAGES_A_PROMPT = 3


def questions(data: Data) -> Iterator[Sample]:
    image = Path(tempfile.gettempdir()) / "quiz-benchmark.png"
    Image.new("RGB", (40, 20), "teal").save(image)
    for i, question in enumerate(QUESTIONS):
        yield Sample(f"q{i}", Ask(question, (image,)), {"answer": "yes"}, "image-1", "random")


def mark_replies(answers: Sequence[Answer], instruments: Instruments) -> list[Row]:
    rows: list[Row] = []
    for answer in answers:
        parsed = answer.reply.split()[0].strip(".").lower()
        if parsed not in ("yes", "no"):
            rows.append({"unscored": f"no yes or no: {answer.reply}", "reply": answer.reply})
            continue
        rows.append(
            {
                "reply": answer.reply,
                "parsed": parsed,
                "rule": "first word",
                "answer": "yes",
                "seconds": float("nan"),
                "correct": parsed == "yes",
            }
        )
    return rows


def drawings(data: Data) -> Iterator[Sample]:
    for color in COLORS:
        for index in range(IMAGES_A_PROMPT):
            request = Draw(f"a {color} square", index=index)
            yield Sample(f"{color}/{index}", request, {"color": color}, color, color)


def mark_drawings(answers: Sequence[Answer], instruments: Instruments) -> list[Row]:
    rows = []
    for answer in answers:
        image = Image.open(answer.image)
        wanted = Image.new("RGB", (1, 1), str(answer.sample.target["color"])).getpixel((0, 0))
        correct = image.getpixel((16, 16)) == wanted
        boxes = {f"square {ATTACK}": [[8.0, 8.0, 24.0, 24.0, 0.987]]}
        reason = "" if correct else f"expected {answer.sample.target['color']}\nfound another"
        rows.append({"correct": correct, "reason": reason, "details": json.dumps(boxes)})
    return rows


def accuracy(rows: pd.DataFrame) -> dict[str, float]:
    correct = rows["correct"].astype(bool)
    parts = correct.groupby(rows["stratum"]).mean()
    return {"accuracy": float(correct.mean()), **{str(k): float(v) for k, v in parts.items()}}


def spans(rows: pd.DataFrame, summarize: Summarize) -> dict[str, Interval]:
    """Wilson's, as if each group were one mark."""
    groups = rows.groupby("stratum")["group"].nunique()
    every = rows["group"].nunique()
    values = summarize(rows).items()
    return {name: wilson(value, float(groups.get(name, every))) for name, value in values}


QUIZ = Task(
    samples=questions,
    mark=mark_replies,
    summarize=accuracy,
    metrics=(
        Metric("accuracy", headline=True),
        Metric("*", rows=lambda rows, name: rows["stratum"] == name),
    ),
    about=About(paper="none", version="1"),
    intervals=spans,
)
SKETCH = replace(QUIZ, samples=drawings, mark=mark_drawings)


class QuizModel(Responder):
    """``first`` says yes, no and something vile; ``second`` no, no, and draws green as black."""

    fingerprint = "1"

    def __init__(self, variant: str) -> None:
        self.name = f"{variant} <b>model</b>"
        self.replies = ("Yes.", "No.", HOSTILE) if variant == "first" else ("No.", "No.", "Maybe.")
        self.green = "green" if variant == "first" else "black"

    def ask(self, requests: Sequence[Ask]) -> list[str]:
        return [self.replies[QUESTIONS.index(request.question)] for request in requests]

    def draw(self, requests: Sequence[Draw]) -> list[Image.Image]:
        pictures = []
        for request in requests:
            color = request.prompt.split()[1]
            color = {"green": self.green, "blue": "white"}.get(color, color)
            picture = Image.new("RGB", (32, 32), "gray")
            picture.paste(color, (8, 8, 24, 24))
            pictures.append(picture)
        return pictures


def open_model(argument: str) -> QuizModel:
    return QuizModel(argument)
