"""Small benchmarks and models of another package, found through its entry points.

``TOY_MARK_DELAY`` (seconds a sample) slows marking down, so that a test can kill it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

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
    Unscorable,
)
from harmon_eval.files.images import read_rgb
from harmon_eval.metrics.proportions import wilson

COLORS = ("red", "green", "blue")
PROMPTS_A_COLOR, IMAGES_A_PROMPT = 12, 2
WEIRD = (
    "two\nlines\r\n\tand a tab",
    "🟥🐈‍⬛ emoji and ‏right to left",
    "x" * 10_000,
    '[bold red]markup[/] | a pipe, "quotes", a \x1b[31mcolour\x1b[0m and a bell\x07',
    "../../etc/passwd",
)


def drawings(data: Data) -> Iterator[Sample]:
    for color in COLORS:
        for prompt in range(PROMPTS_A_COLOR):
            for index in range(IMAGES_A_PROMPT):
                group = f"{color}-{prompt}"
                request = Draw(f"{color} picture {prompt}", index=index)
                yield Sample(
                    f"{group}/samples/{index:04d}", request, {"color": color}, group, color
                )


def mark_drawings(answers: Sequence[Answer], instruments: Instruments) -> list[Row]:
    rows = []
    for answer in answers:
        time.sleep(float(os.environ.get("TOY_MARK_DELAY", 0)))
        share = read_rgb(answer.image).mean(axis=(0, 1))
        color = str(answer.sample.target["color"])
        amount = float(share[COLORS.index(color)])
        rows.append({"color": color, "amount": amount, "correct": amount > 127.5})
    return rows


def mean_correct(rows: pd.DataFrame) -> dict[str, float]:
    return {
        "accuracy": float(rows["correct"].mean()),
        **{str(k): float(v) for k, v in rows.groupby("stratum")["correct"].mean().items()},
    }


def mark(sample: Sample, right: bool) -> Row:
    return {"color": sample.stratum, "amount": 0.0, "correct": right}


def spans(rows: pd.DataFrame, summarize: Summarize) -> dict[str, Interval]:
    """Wilson's, as if each group were one mark."""
    groups = rows.groupby("stratum")["group"].nunique()
    every = rows["group"].nunique()
    values = summarize(rows).items()
    return {name: wilson(value, float(groups.get(name, every))) for name, value in values}


DRAWING = Task(
    samples=drawings,
    mark=mark_drawings,
    summarize=mean_correct,
    metrics=(
        Metric("accuracy", headline=True),
        Metric("*", rows=lambda rows, name: rows["stratum"] == name),
    ),
    about=About(paper="none", version="1", size="36 prompts x 2 images"),
    intervals=spans,
    bounds=lambda sample: (mark(sample, False), mark(sample, True)),
    files_before=lambda samples: {"prompts.txt": "\n".join(s.group for s in samples)},
    files_after=lambda samples, rows: {"marks.txt": "\n".join(map(str, rows["correct"]))},
)


def questions(data: Data) -> Iterator[Sample]:
    for i in range(10):
        target = {"reply": "no idea" if i == 3 else f"question {i}"}
        yield Sample(f"q{i}", Ask(f"question {i}"), target, group=f"q{i}")


def mark_replies(answers: Sequence[Answer], instruments: Instruments) -> list[Row]:
    for answer in answers:
        if answer.reply == "mumble":
            raise Unscorable("the reply names no answer")
    return [{"correct": a.reply == a.sample.target["reply"]} for a in answers]


QUESTIONS = replace(
    DRAWING, samples=questions, mark=mark_replies, files_before=None, files_after=None
)


def weird(data: Data) -> Iterator[Sample]:
    for i, prompt in enumerate(WEIRD):
        yield Sample(f"w{i}", Draw(prompt), {"color": "red"}, group=f"w{i}")


def unsafe(data: Data) -> Iterator[Sample]:
    yield Sample("../outside", Draw("a"), {"color": "red"}, group="a")


def missing_instrument(data: Data) -> Iterator[Sample]:
    yield from (s for s in drawings(data) if s.group == "red-0")


HOSTILE = replace(DRAWING, samples=weird)
UNSAFE = replace(DRAWING, samples=unsafe)
UNMARKABLE = replace(
    DRAWING,
    samples=missing_instrument,
    instruments={"telescope": ""},
    files_before=None,
    files_after=None,
)


class Flaky(Responder):
    """Draws flat colours; fails on what the prompts of ``fails`` say; mumbles an answer."""

    name = "toy_flaky"
    fingerprint = "1"

    def draw(self, requests: Sequence[Draw]) -> Sequence[Image.Image | Exception]:
        if any(request.prompt == "green picture 4" for request in requests):
            raise RuntimeError("out of paint")
        return [self._paint(request) for request in requests]

    def _paint(self, request: Draw) -> Image.Image | Exception:
        if request.prompt == "blue picture 2":
            return Unscorable("blue is too sad")
        color = request.prompt.split()[0]
        return Image.new("RGB", (8, 8), color if color in COLORS else "white")

    def ask(self, requests: Sequence[Ask]) -> Sequence[str]:
        return ["mumble" if r.question == "question 7" else r.question for r in requests]


class Talker(Responder):
    name = "toy_talker"
    fingerprint = "1"

    def ask(self, requests: Sequence[Ask]) -> Sequence[str]:
        return [request.question for request in requests]


def open_flaky() -> Flaky:
    return Flaky()


def open_talker() -> Talker:
    return Talker()
