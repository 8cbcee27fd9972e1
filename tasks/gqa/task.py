"""GQA: short answers to questions generated from scene graphs, on testdev_balanced.

Paper: Hudson & Manning 2019, arXiv 1902.09506. Exact match of a word or phrase after LLaVA's
normalisation, as papers on unified models report it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from functools import partial

import pandas as pd

from harmon_eval.core import Answer, Ask, Instruments, Row, Sample, Suite, Task
from harmon_eval.metrics.statistics import scaled_intervals
from harmon_eval.replies import gqa_answers, prompts
from harmon_eval.tasks.gqa.files import read_questions

LONG = 3  # words; more of them are the sign of a wrong prompt


def samples(suite: Suite) -> Iterator[Sample]:
    for q in read_questions(suite.data("gqa")):
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
    """Percent. ``open`` are questions of the structural type query, ``binary`` all others;
    ``distribution`` is a chi-square, lower is better."""
    correct = rows["llava"].to_numpy(float)
    structural, semantic = rows["structural"].to_numpy(), rows["semantic"].to_numpy()
    query = structural == "query"
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


def maximum(name: str) -> float | None:
    return None if name in ("long_replies", "distribution") else 100.0


def exports(asked: Sequence[Sample], rows: pd.DataFrame | None) -> dict[str, str]:
    """The prediction file of the official script, and its accuracies by the questions' lengths."""
    if rows is None:
        return {}
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


TASK = Task(
    samples=samples,
    mark=mark,
    summarize=summarize,
    headline="gqa_accuracy",
    higher_is_better=True,
    paper="arXiv 1902.09506",
    version="1",
    intervals=partial(
        scaled_intervals,
        maximum=maximum,
        columns=("structural", "semantic", "long", *gqa_answers.RULES),
    ),
    exports=exports,
    extremes=lambda sample: ("", sample.target["answer"]),
    licence="MIT as stated by the hub copy; Visual Genome images have their own terms",
    size="12,578 questions about 398 images",
    protocol="GQA's eval.py with the normalisation of LLaVA @ c121f04",
    differs="Replies are stripped as LLaVA's runner does. Consistency, validity, plausibility and "
    "grounding are not reported: their files are missing for testdev (a script that passes over "
    "that prints 0). `distribution` has no interval: resampling would bias a chi-square. A missing "
    "reply is unscored where the official script raises. VLMEvalKit's table has no types: only "
    "the accuracy.",
    compares="`[lmms-eval]` and `[vlmevalkit]` read the same replies by those toolkits' rules: a "
    "model that ends with a full stop gets 0 from VLMEvalKit. GQA's train split is part of LLaVA's "
    "instruction mixture: models trained on it know the style of the answers.",
    cost="12,578 short replies",
)
