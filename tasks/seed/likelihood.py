"""``seed:likelihood``: options ranked by how likely the model finds their texts.

This is SEED-Bench's own protocol (AILab-CVC/SEED-Bench @ 991e849), behind its leaderboard of 2023.
No reply is read and no letter is shown: each option's text is scored as the whole reply to the
question, its end included.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from harmon_eval.core import Answer, Data, Instruments, Metric, Row, Sample, Score, Task, Unscorable
from harmon_eval.metrics.likelihood import best, statistics
from harmon_eval.metrics.rows import of
from harmon_eval.replies.probabilities import Whole, read
from harmon_eval.tasks.seed.files import DIMENSIONS, read_questions

if TYPE_CHECKING:
    import pandas as pd

RULES = ("mean", "sum", "per_byte")  # the first is the headline
NAME = "seed_image_likelihood"


def samples(data: Data) -> Iterator[Sample]:
    for q in read_questions(data.folder):
        yield Sample(
            id=q.number,
            request=Score(
                f"Question: {q.text}\nAnswer:",
                tuple((text,) for text in q.options.values()),
                (q.file,),
                kind="whole",
            ),
            target={"dimension": q.dimension, "options": q.options, "answer": q.answer},
            group=q.image,
        )


def mark(answers: Sequence[Answer], instruments: Instruments) -> list[Row]:
    rows: list[Row] = []
    for answer in answers:
        target = answer.sample.target
        letters, texts = list(target["options"]), list(target["options"].values())
        try:
            found = read(answer.reply, len(texts))
            if not isinstance(found, Whole):
                raise Unscorable("the model scored first tokens, not whole options")
            by = statistics(texts, found.with_ends())
        except Unscorable as error:
            rows.append({"unscored": str(error)})
            continue
        chosen = {rule: letters[best(by[rule])] for rule in RULES}
        rows.append(
            {
                "dimension": target["dimension"],
                "answer": target["answer"],
                "parsed": chosen[RULES[0]],
                "rule": "the option with the greatest mean log-probability of its tokens",
                **{rule: chosen[rule] == target["answer"] for rule in RULES},
            }
        )
    return rows


def summarize(rows: pd.DataFrame) -> dict[str, float]:
    """All in percent: each rule over all questions, the headline rule also by dimension."""
    correct = {rule: rows[rule].to_numpy(float) for rule in RULES}
    dimension = rows["dimension"].to_numpy()
    parts = {
        name: correct[RULES[0]][own].mean()
        for name in DIMENSIONS.values()
        if (own := dimension == name).any()
    }
    found = {
        NAME: correct[RULES[0]].mean(),
        **parts,
        "macro_dimensions": np.mean(list(parts.values())),
        **{f"{NAME}[{rule}]": correct[rule].mean() for rule in RULES[1:]},
    }
    return {name: 100 * float(value) for name, value in found.items()}


def bounds(sample: Sample) -> tuple[Row, Row]:
    own = {"dimension": sample.target["dimension"]}
    return {**own, **dict.fromkeys(RULES, False)}, {**own, **dict.fromkeys(RULES, True)}


def variant_of(task: Task) -> Task:
    """``task`` (SEED by letters) with the data that it has and the official protocol."""
    return replace(
        task,
        samples=samples,
        mark=mark,
        summarize=summarize,
        metrics=(
            Metric(NAME, maximum=100.0, headline=True),
            Metric(f"{NAME}[*]", maximum=100.0),
            Metric("macro_dimensions", maximum=100.0),
            *(Metric(name, maximum=100.0, rows=of("dimension")) for name in DIMENSIONS.values()),
        ),
        columns=("dimension", *RULES),
        bounds=bounds,
        about=replace(
            task.about,
            version="1, likelihood",
            protocol="AILab-CVC/SEED-Bench @ 991e849: options as whole replies, end included",
            differs="The headline takes the mean over an option's tokens, as SEED-Bench-2 and "
            "lmms-eval do; `[sum]` is the first release's rule for InstructBLIP, `[per_byte]` is "
            "lm-eval's acc_bytes. The question stands in the model's own chat turn.",
            compares="lmms-eval's seedbench_ppl is the nearest; its other wording and, for some "
            "models, image places in the loss make it another number.",
            cost="one pass for each question and its options",
        ),
    )
