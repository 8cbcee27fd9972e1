"""POPE: does the model see objects that are not there?

Paper: Li et al. 2023, arXiv 2305.10355. It asks yes/no questions about objects, half of which are
absent. The absent objects are chosen in three ways (random, popular, adversarial) for each of three
image sources. The three splits share their yes questions, so identical pairs of image and text are
asked once and counted in every split.

``pope:PROMPT`` changes the wording: ``short`` (default), ``official``, ``vlmevalkit`` or ``janus``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from harmon_eval.core import About, Answer, Ask, Data, Instruments, Row, Sample, Source, Task
from harmon_eval.replies import prompts, yes_no
from harmon_eval.settings import variant
from harmon_eval.tasks.pope import mini
from harmon_eval.tasks.pope.files import FILES, OFFICIAL, SPLITS, answer_files, read_questions
from harmon_eval.tasks.pope.rules import METRICS, OTHER_RULES

if TYPE_CHECKING:
    import pandas as pd

PROMPTS = {
    "short": "{}\n" + prompts.SHORT_ANSWER,
    "official": "{}",
    "vlmevalkit": "{} " + prompts.YES_OR_NO,
    "janus": "\n{}\n" + prompts.SHORT_ANSWER,
}


def samples(data: Data, prompt: str) -> Iterator[Sample]:
    """One sample per distinct (source, image, text); ``target`` lists its rows."""
    found = read_questions(data.folder, published=data.suite == "official")
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
    """All values in percent. ``SOURCE_f1_macro[RELEASE]`` is the mean F1 of the three splits."""
    import pandas as pd

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
            if name == "strict":  # replies that it cannot read are unscored, not wrong
                seen[pd.isna(verdict)] = 0
            part = yes_no.scores(labels, verdict, seen, drop_unread=name == "lmms-eval")
            metrics[f"{source}_f1_pooled[{name}]"] = 100 * part["f1"]
            metrics[f"{source}_acc_pooled[{name}]"] = 100 * part["accuracy"]
        unread = pd.isna(verdicts["strict"])
        differ = (verdicts["parsed"] != verdicts["strict"]) & ~unread
        metrics[f"{source}_unreadable"] = float(pooled[unread].sum())
        metrics[f"{source}_strict_disagrees"] = float(pooled[differ].sum())
    return metrics


def open_task(prompt: str = "") -> Task:
    chosen = variant(prompt, prompt=tuple(PROMPTS))["prompt"]
    return Task(
        samples=partial(samples, prompt=chosen),
        mark=mark,
        summarize=summarize,
        metrics=METRICS,
        columns=("source", "label", "release", *SPLITS, "parsed", *OTHER_RULES),
        sources={"official": OFFICIAL, "mini": Source(make=mini.make)},
        also=("pope", "POPE"),
        bounds=lambda s: ("no", "yes") if s.target["label"] == "yes" else ("yes", "no"),
        files_after=answer_files,
        about=About(
            paper="arXiv 2305.10355",
            version=f"2, prompt {chosen}",
            protocol="AoiDragon/POPE @ 08d957b; the metrics name the release, pope-3000 or "
            "pope-2910",
            differs="Only the first line of a reply is read, because a line break turns the "
            "official no into a yes. Precision is 0 if nothing is answered yes; the official "
            "script divides by zero.",
            compares="`f1_pooled[vlmevalkit]` is VLMEvalKit's Overall, `[lmms-eval]` is what "
            "lmms-eval prints. lmms-eval's yes ratio counts the labels and has no counterpart "
            "here. LLaVA's 85.9 is `f1_macro` on pope-2910; Janus-1.3B's 87.0 is the random split "
            "alone.",
            licence="questions MIT (AoiDragon/POPE); images under the terms of COCO and Visual "
            "Genome",
            size="9 files with 3,000 questions each, 15,443 distinct; COCO alone 5,127",
            cost="15,443 short replies",
        ),
    )


TASK = open_task()
