"""SEED-Bench, image part: four-option questions in nine dimensions.

Paper: Li et al. 2023, arXiv 2307.16125. What unified-model papers call SEED: a letter is asked for
and read, no rotations, no videos. ``seed:PROMPT``: ``llava`` (default), ``vlmevalkit``, ``janus``,
``lmms-eval``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import pandas as pd

from harmon_eval.core import Answer, Ask, Instruments, Row, Sample, Suite, Task, UserError
from harmon_eval.metrics.statistics import scaled_intervals
from harmon_eval.replies import prompts
from harmon_eval.replies.multiple_choice import first_character, vlmevalkit_rule, whole_reply
from harmon_eval.settings import variant
from harmon_eval.tasks.seed.files import DIMENSIONS, read_questions

PROMPTS = {
    "llava": prompts.llava_choice,
    "vlmevalkit": prompts.vlmevalkit_choice,
    "janus": prompts.janus_choice,
    "lmms-eval": prompts.llava_choice,  # other words than for MMBench
}
OTHER_RULES = ("first-char", "llava-exact")
OFFICIAL_SIZE = range(14_230, 14_236)


def samples(suite: Suite, prompt: str) -> Iterator[Sample]:
    folder = suite.data("seed")
    questions = list(read_questions(folder))
    if suite.name == "official" and len(questions) not in OFFICIAL_SIZE:
        raise UserError(
            f"{folder} has {len(questions)} image questions, not about 14,232: get the file again"
        )
    for q in questions:
        yield Sample(
            id=q.number,
            request=Ask(PROMPTS[prompt](q.text, q.options, ""), (q.file,), max_new_tokens=64),
            target={"dimension": q.dimension, "options": q.options, "answer": q.answer},
            group=q.image,
        )


def mark(answers: Sequence[Answer], instruments: Instruments) -> list[Row]:
    rows = []
    for answer in answers:
        target, reply = answer.sample.target, answer.reply
        parsed, rule = vlmevalkit_rule(reply, target["options"])
        rows.append(
            {
                "dimension": target["dimension"],
                "answer": target["answer"],
                "reply": reply,
                "parsed": parsed,
                "rule": f"vlmevalkit-rule@e8e78f0: {rule}",
                "unmatched": parsed is None,
                "correct": parsed == target["answer"],
                "first-char": first_character(reply) == target["answer"],
                "llava-exact": whole_reply(reply, target["options"]) == target["answer"],
            }
        )
    return rows


def summarize(rows: pd.DataFrame) -> dict[str, float]:
    """Percent. ``seed_image`` is over questions, ``macro_dimensions`` over dimensions present."""
    correct, unmatched = rows["correct"].to_numpy(float), rows["unmatched"].to_numpy(bool)
    dimension = rows["dimension"].to_numpy()
    parts = {
        name: correct[own].mean()
        for name in DIMENSIONS.values()
        if (own := dimension == name).any()
    }
    metrics = {
        "seed_image": correct.mean(),
        **parts,
        "macro_dimensions": np.mean(list(parts.values())),
        **{f"seed_image[{rule}]": rows[rule].to_numpy(float).mean() for rule in OTHER_RULES},
        # VLMEvalKit's last resort, after a judge failed: one of four letters or Z.
        "seed_image[random-letter]": np.where(unmatched, 1 / 5, correct).mean(),
    }
    percent = {name: 100 * float(value) for name, value in metrics.items()}
    return {**percent, "unmatched": float(unmatched.sum())}


def maximum(name: str) -> float | None:
    return None if name == "unmatched" else 100.0


def open_task(argument: str = "") -> Task:
    prompt = variant(argument, prompt=tuple(PROMPTS))["prompt"]
    columns = ("dimension", "correct", "unmatched", *OTHER_RULES)
    return Task(
        samples=partial(samples, prompt=prompt),
        mark=mark,
        summarize=summarize,
        headline="seed_image",
        higher_is_better=True,
        paper="arXiv 2307.16125",
        version=f"1, prompt {prompt}",
        intervals=partial(scaled_intervals, maximum=maximum, columns=columns),
        extremes=lambda sample: ("Z", sample.target["answer"]),
        licence="CC BY-NC 4.0 (AILab-CVC/SEED-Bench)",
        size="14,232 questions (14,233 in some releases) in 9 dimensions",
        protocol="letters as in VLMEvalKit @ e8e78f0, exact matching; prompt of LLaVA @ c121f04",
        differs="The official runner ranks option texts by their likelihood and needs logits: "
        "another protocol, never in this column. A reply without a letter is wrong and counted as "
        "`unmatched`; the toolkit's random letter has the expected score `[random-letter]`.",
        compares="`seed_image` is VLMEvalKit's SEEDBench_IMG Overall without a judge, "
        "`[first-char]` is lmms-eval's seed_image, `[llava-exact]` LLaVA's converter. LLaVA-1.5's "
        "58.6 in the tables of unified models is image and video together.",
        cost="14,232 short replies",
    )


TASK = open_task()
