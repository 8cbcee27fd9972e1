"""GQA: short answers to questions generated from scene graphs, on testdev_balanced.

Paper: Hudson & Manning 2019, arXiv 1902.09506. A reply is right if it is exactly the word or phrase
of the answer after LLaVA's normalisation, as papers on unified models report it.
"""

from __future__ import annotations

import json
import math
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
    count,
)
from harmon_eval.metrics.rows import after, having
from harmon_eval.metrics.shares import by_rule, share
from harmon_eval.replies import gqa_answers, prompts
from harmon_eval.tasks.gqa import mini
from harmon_eval.tasks.gqa.files import OFFICIAL, read_questions

if TYPE_CHECKING:
    import pandas as pd

LONG = 3  # words; longer replies are the sign of a wrong prompt
RIGHT = share("llava")
OPEN = "query"  # the structural type whose questions are open


def samples(data: Data) -> Iterator[Sample]:
    for q in read_questions(data.folder):
        yield Sample(
            id=q.number,
            request=Ask(f"{q.text}\n{prompts.SHORT_ANSWER}", (q.file,), max_new_tokens=16),
            target=q.target,
            group=q.image,
        )


def mark(answers: Sequence[Answer], instruments: Instruments) -> list[Row]:
    rows = []
    for answer in answers:
        target, reply = answer.sample.target, answer.reply.strip()
        rows.append(
            {
                **target,
                "reply": answer.reply,
                "parsed": gqa_answers.llava_prediction(reply),
                "rule": "llava, on the stripped reply",
                "long": len(reply.split()) > LONG,
                **{name: rule(reply, target["answer"]) for name, rule in gqa_answers.RULES.items()},
            }
        )
    return rows


def summarize(rows: pd.DataFrame) -> dict[str, float]:
    """Percent. ``gqa_open`` are questions of the structural type query, ``gqa_binary`` all others;
    ``distribution`` is a chi-square divided by 100, as the official script prints it."""
    correct = rows["llava"].to_numpy(float)
    structural, semantic = rows["structural"].to_numpy(), rows["semantic"].to_numpy()
    query = structural == OPEN
    parts = {"gqa_open": query, "gqa_binary": ~query & (structural != "")}
    for kind, values in (("structural", structural), ("semantic", semantic)):
        parts |= {f"{kind}_{name}": values == name for name in sorted(set(values) - {""})}
    metrics = {"gqa_accuracy": correct.mean()}
    metrics |= {name: correct[own].mean() for name, own in parts.items() if own.any()}
    for name in gqa_answers.RULES:
        if name != "llava":
            metrics[f"gqa_accuracy[{name}]"] = rows[name].to_numpy(float).mean()
    found = {name: 100 * float(value) for name, value in metrics.items()}
    found["long_replies"] = float(rows["long"].sum())
    if "global" in rows:  # not when resampled: a chi-square of repeated rows would be biased
        table = zip(rows["global"], rows["answer"], rows["parsed"], strict=True)
        if not math.isnan(distance := gqa_answers.distribution(table)):
            found["distribution"] = distance
    return found


def answer_files(asked: Sequence[Sample], rows: pd.DataFrame) -> dict[str, str]:
    """The prediction file of the official script, and its accuracies by the questions' lengths."""
    import pandas as pd

    pairs = zip(rows["id"], rows["parsed"], strict=True)
    predictions = [{"questionId": number, "prediction": text} for number, text in pairs]
    lengths = [
        {"length": kind, "of": of, "questions": len(own), "accuracy": 100 * own["llava"].mean()}
        for kind in ("words", "steps")
        for of, own in rows[rows[kind] > 0].groupby(kind)
    ]
    return {
        "testdev_balanced_predictions.json": json.dumps(predictions, indent=1) + "\n",
        "accuracy_by_length.csv": pd.DataFrame(lengths).to_csv(index=False),
    }


def binary(rows: pd.DataFrame, metric: str) -> pd.Series:
    return ~rows["structural"].isin((OPEN, ""))


def grouped(rows: pd.DataFrame, metric: str) -> pd.Series:
    """Questions that belong to one of GQA's global groups."""
    return rows["global"] != ""


TASK = Task(
    samples=samples,
    mark=mark,
    summarize=summarize,
    metrics=(
        Metric("gqa_accuracy", maximum=100.0, headline=True, of=RIGHT),
        Metric("gqa_accuracy[*]", maximum=100.0, of=by_rule()),
        Metric("gqa_open", maximum=100.0, rows=having("structural", OPEN), of=RIGHT),
        Metric("gqa_binary", maximum=100.0, rows=binary, of=RIGHT),
        Metric("structural_*", maximum=100.0, rows=after("_", "structural"), of=RIGHT),
        Metric("semantic_*", maximum=100.0, rows=after("_", "semantic"), of=RIGHT),
        count("long_replies"),
        Metric("distribution", False, maximum=None, rows=grouped, interval=False),
    ),
    columns=("structural", "semantic", "long", *gqa_answers.RULES),
    sources={"official": OFFICIAL, "mini": Source(make=mini.make)},
    also=("gqa", "GQA_TestDev_Balanced"),
    bounds=lambda sample: ("", sample.target["answer"]),
    files_after=answer_files,
    about=About(
        paper="arXiv 1902.09506",
        version="2",
        protocol="GQA's eval.py with the normalisation of LLaVA @ c121f04",
        differs="Replies are stripped, as LLaVA's runner does. Consistency, validity, plausibility "
        "and grounding are not reported, because their files do not exist for testdev (a script "
        "that ignores this prints 0). `distribution` has no interval: resampling would bias a "
        "chi-square. A missing reply is unscored; the official script raises an error. "
        "VLMEvalKit's table has no question types, so it gives the accuracy only.",
        compares="`[lmms-eval]` and `[vlmevalkit]` read the same replies by the rules of those "
        "toolkits: a model that ends its replies with a full stop gets 0 from VLMEvalKit. GQA's "
        "train split is part of LLaVA's instruction data: models trained on it know the style of "
        "the answers.",
        licence="MIT according to the hub's copy; Visual Genome images have terms of their own",
        size="12,578 questions about 398 images",
        cost="12,578 short replies",
    ),
)
