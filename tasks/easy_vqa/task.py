"""easy-VQA: simple questions about one coloured shape, on pictures that nobody here drew.

Source: vzhou842/easy-VQA (no paper). The package ``easy-vqa`` carries the data: in the suite
``real`` they need no download. Shapes and colours look like the mini suite's, but sizes, places,
backgrounds and the wording of the questions are others, so it shows what a model that was trained
on the mini suite has learned besides that suite.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from harmon_eval.core import (
    About,
    Answer,
    Ask,
    Data,
    Instruments,
    Metric,
    Row,
    Sample,
    Source,
    Task,
)
from harmon_eval.metrics.rows import after
from harmon_eval.metrics.shares import share
from harmon_eval.replies import prompts, short_answers
from harmon_eval.tasks.easy_vqa import mini
from harmon_eval.tasks.easy_vqa.files import OFFICIAL, make, read_questions

if TYPE_CHECKING:
    import pandas as pd

RIGHT = share("correct")


def samples(data: Data) -> Iterator[Sample]:
    for number, question in enumerate(read_questions(data.folder)):
        yield Sample(
            id=f"{number:05d}",
            request=Ask(f"{question.text}\n{prompts.SHORT_ANSWER}", (question.file,), 16),
            target={"answer": question.answer, "kind": question.kind},
            group=question.image,
        )


def mark(answers: Sequence[Answer], instruments: Instruments) -> list[Row]:
    return [
        {
            "kind": answer.sample.target["kind"],
            "reply": answer.reply,
            "parsed": answer.reply.strip(),
            "rule": "the same word",
            "correct": short_answers.same(answer.reply, answer.sample.target["answer"]),
        }
        for answer in answers
    ]


def summarize(rows: pd.DataFrame) -> dict[str, float]:
    """Percent: of all questions, and of those about yes or no, colours and shapes."""
    found = {"accuracy": 100 * float(rows["correct"].mean())}
    for kind, own in rows.groupby("kind"):
        found[f"accuracy_{kind}"] = 100 * float(own["correct"].mean())
    return found


TASK = Task(
    samples=samples,
    mark=mark,
    summarize=summarize,
    metrics=(
        Metric("accuracy", maximum=100.0, headline=True, of=RIGHT),
        Metric("accuracy_*", maximum=100.0, rows=after("_", "kind"), of=RIGHT),
    ),
    columns=("kind", "correct"),
    sources={"official": OFFICIAL, "real": Source(make=make), "mini": Source(make=mini.make)},
    bounds=lambda sample: ("", sample.target["answer"]),
    about=About(
        paper="none",
        version="1",
        protocol="vzhou842/easy-VQA, test split: one of 13 answers, accuracy",
        differs="The original trains a classifier over the 13 answers. Here a model answers in "
        "words, and its reply must be the answer; case and a full stop do not matter.",
        compares="No other toolkit has it. The authors' classifier has seen the training split.",
        licence="MIT (Victor Zhou)",
        size="9,673 questions about 1,000 pictures of 64 x 64",
        cost="9,673 short replies",
    ),
)
