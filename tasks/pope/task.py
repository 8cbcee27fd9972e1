"""POPE: does the model see objects that are not there?

Paper: Li et al. 2023, arXiv 2305.10355. Yes/no questions about objects, half of them absent; three
ways of choosing the absent object (random, popular, adversarial) in each of three image sources.
The splits share their yes questions: identical (image, text) pairs are asked once and counted in
every split. ``pope:PROMPT`` asks in other words: ``short`` (default), ``official``, ``vlmevalkit``,
``janus``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial

import numpy as np
import pandas as pd

from harmon_eval.core import Answer, Ask, Instruments, Row, Sample, Suite, Task
from harmon_eval.metrics.statistics import scaled_intervals
from harmon_eval.replies import prompts, yes_no
from harmon_eval.settings import variant
from harmon_eval.tasks.pope.files import FILES, SPLITS, read_questions

PROMPTS = {
    "short": "{}\n" + prompts.SHORT_ANSWER,
    "official": "{}",
    "vlmevalkit": "{} " + prompts.YES_OR_NO,
    "janus": "\n{}\n" + prompts.SHORT_ANSWER,
}
OTHER_RULES = {
    "lmms-eval": yes_no.exact,
    "vlmevalkit": yes_no.vlmevalkit,
    "strict": yes_no.strict,
}


def samples(suite: Suite, prompt: str) -> Iterator[Sample]:
    """One sample for every distinct (source, image, text); ``target`` lists its rows."""
    found = read_questions(suite.data("pope"), published=suite.name == "official")
    for number, (question, picture) in enumerate(found):
        yield Sample(
            id=f"{question.source}/{number:05d}",
            request=Ask(PROMPTS[prompt].format(question.text), (picture,), max_new_tokens=16),
            target=asdict(question),
            group=f"{question.source}/{question.image}",
            stratum=question.source,
        )


def mark(answers: Sequence[Answer], instruments: Instruments) -> list[Row]:
    rows = []
    for answer in answers:
        target, reply = answer.sample.target, answer.reply
        rows.append(
            {
                **{name: target[name] for name in ("source", "label", "release")},
                **{split: len(target["rows"].get(split, ())) for split in SPLITS},
                "reply": reply,
                "parsed": yes_no.pope_official(yes_no.first_line(reply)),
                "rule": "pope official, on the first line",
                **{name: rule(reply) for name, rule in OTHER_RULES.items()},
            }
        )
    return rows


def summarize(rows: pd.DataFrame) -> dict[str, float]:
    """Percent. ``SOURCE_f1_macro[RELEASE]`` is the mean of the three splits' F1."""
    metrics: dict[str, float] = {}
    for source in [name for name in FILES if (rows["source"] == name).any()]:
        own = rows[rows["source"] == source]
        release, labels = own["release"].iloc[0], own["label"].to_numpy()
        count = {split: own[split].to_numpy() for split in SPLITS}
        pooled = np.sum(list(count.values()), axis=0)
        verdicts = {name: own[name].to_numpy() for name in ("parsed", *OTHER_RULES)}
        parts = {s: yes_no.scores(labels, verdicts["parsed"], count[s]) for s in SPLITS}
        for name, label in (("f1", "f1"), ("accuracy", "acc")):
            mean = 100 * np.mean([part[name] for part in parts.values()])
            metrics[f"{source}_{label}_macro[{release}]"] = float(mean)
        every = yes_no.scores(labels, verdicts["parsed"], pooled)
        metrics[f"{source}_f1_pooled[{release}]"] = 100 * every["f1"]
        for split, part in parts.items():
            metrics |= {f"{source}_{split}_{name}": 100 * v for name, v in part.items()}
        for name in OTHER_RULES:
            seen, verdict = pooled.copy(), verdicts[name]
            if name == "strict":  # what it cannot read is unscored, not wrong
                seen[pd.isna(verdict)] = 0
            part = yes_no.scores(labels, verdict, seen, drop_unread=name == "lmms-eval")
            metrics[f"{source}_f1_pooled[{name}]"] = 100 * part["f1"]
            metrics[f"{source}_acc_pooled[{name}]"] = 100 * part["accuracy"]
        unread = pd.isna(verdicts["strict"])
        differ = (verdicts["parsed"] != verdicts["strict"]) & ~unread
        metrics[f"{source}_unreadable"] = float(pooled[unread].sum())
        metrics[f"{source}_strict_disagrees"] = float(pooled[differ].sum())
    return metrics


def maximum(name: str) -> float | None:
    return None if name.endswith(("_unreadable", "_disagrees")) else 100.0


def exports(asked: Sequence[Sample], rows: pd.DataFrame | None) -> dict[str, str]:
    """Answer files for the official script, in its order; only of files answered completely."""
    if rows is None:
        return {}
    replies = dict(zip(rows["id"], rows["reply"], strict=True))
    lines: dict[str, dict[int, str]] = {}
    for sample in asked:
        reply = replies.get(sample.id)
        line = {"question": sample.target["text"], "answer": yes_no.first_line(reply or "")}
        text = "" if reply is None else json.dumps(line) + "\n"
        for split, ids in sample.target["rows"].items():
            name = "answers/" + FILES[sample.target["source"]].format(split)
            lines.setdefault(name, {}).update(dict.fromkeys(ids, text))
    # Without the official ids there is no official order.
    whole = {name: found for name, found in lines.items() if all(found.values()) and min(found)}
    return {name: "".join(found[i] for i in sorted(found)) for name, found in whole.items()}


def open_task(prompt: str = "") -> Task:
    chosen = variant(prompt, prompt=tuple(PROMPTS))["prompt"]
    columns = ("source", "label", "release", *SPLITS, "parsed", *OTHER_RULES)
    return Task(
        samples=partial(samples, prompt=chosen),
        mark=mark,
        summarize=summarize,
        headline="coco_f1_macro",
        higher_is_better=True,
        paper="arXiv 2305.10355",
        version=f"1, prompt {chosen}",
        intervals=partial(scaled_intervals, maximum=maximum, columns=columns),
        exports=exports,
        extremes=lambda s: ("no", "yes") if s.target["label"] == "yes" else ("yes", "no"),
        licence="questions MIT (AoiDragon/POPE); images on the terms of COCO and Visual Genome",
        size="9 files x 3,000 questions, 15,443 distinct; coco alone 5,127",
        protocol="AoiDragon/POPE @ 08d957b; releases pope-3000 and pope-2910 by their own names",
        differs="Only the first line of a reply is read: a line break turns the official no into a "
        "yes. Precision is 0 where nothing is answered yes; the official script divides by zero.",
        compares="`f1_pooled[vlmevalkit]` is VLMEvalKit's Overall, `[lmms-eval]` what lmms-eval "
        "prints; its yes ratio counts the labels and has no counterpart. LLaVA's 85.9 is "
        "`f1_macro` on pope-2910; Janus-1.3B's 87.0 is the random split alone.",
        cost="15,443 short replies",
    )


TASK = open_task()
