"""SEED-Bench, image part: questions with four options in nine dimensions.

Paper: Li et al. 2023, arXiv 2307.16125. This is what papers on unified models call SEED: the model
is asked for a letter. There are no rotations and no videos.

``seed:PROMPT`` changes the wording: ``llava`` (default), ``vlmevalkit``, ``janus`` or
``lmms-eval``. ``seed:likelihood`` ranks the texts of the options by their probability, as the
official runner does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

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
    UserError,
    count,
)
from harmon_eval.metrics.rows import of
from harmon_eval.metrics.shares import by_rule, mean_of, share
from harmon_eval.replies import multiple_choice as choices
from harmon_eval.replies import prompts
from harmon_eval.settings import variant
from harmon_eval.tasks.seed import likelihood, mini
from harmon_eval.tasks.seed.files import DIMENSIONS, OFFICIAL, read_questions

if TYPE_CHECKING:
    import pandas as pd

PROMPTS = {
    "llava": prompts.llava_choice,
    "vlmevalkit": prompts.vlmevalkit_choice,
    "janus": prompts.janus_choice,
    "lmms-eval": prompts.llava_choice,  # worded differently than for MMBench
}
LIKELIHOOD = "likelihood"
OTHER_RULES = ("first-char", "llava-exact", "whole-letter")
OFFICIAL_SIZE = range(14_230, 14_236)


def with_random_letters(rows: pd.DataFrame) -> np.ndarray:
    """Marks (n,): if the judge also fails, VLMEvalKit picks one of four letters or Z at random."""
    return np.where(rows["unmatched"].to_numpy(bool), 1 / 5, rows["correct"].to_numpy(float))


RIGHT = share("correct")
METRICS = (
    Metric("seed_image", maximum=100.0, headline=True, of=RIGHT),
    Metric("seed_image[*]", maximum=100.0, of=by_rule({"random-letter": with_random_letters})),
    Metric("macro_dimensions", maximum=100.0, mean_of=mean_of(DIMENSIONS.values())),
    *(Metric(name, True, 100.0, of("dimension"), of=RIGHT) for name in DIMENSIONS.values()),
    count("unmatched"),
)


def samples(data: Data, prompt: str) -> Iterator[Sample]:
    questions = list(read_questions(data.folder))
    if data.suite == "official" and len(questions) not in OFFICIAL_SIZE:
        raise UserError(
            f"{data.folder} has {len(questions)} image questions, not about 14,232: "
            "download the file again"
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
        parsed, rule = choices.vlmevalkit_rule(reply, target["options"])
        rows.append(
            {
                "dimension": target["dimension"],
                "answer": target["answer"],
                "reply": reply,
                "parsed": parsed,
                "rule": f"vlmevalkit-rule@e8e78f0: {rule}",
                "unmatched": parsed is None,
                "correct": parsed == target["answer"],
                "first-char": choices.first_character(reply) == target["answer"],
                "llava-exact": choices.whole_reply(reply, target["options"]) == target["answer"],
                "whole-letter": choices.whole_letter_rule(reply, target["options"])[0]
                == target["answer"],
            }
        )
    return rows


def summarize(rows: pd.DataFrame) -> dict[str, float]:
    """All values in percent. ``seed_image`` averages over questions, ``macro_dimensions`` over the
    dimensions present."""
    correct = rows["correct"].to_numpy(float)
    dimension = rows["dimension"].to_numpy()
    parts = {n: correct[dimension == n].mean() for n in DIMENSIONS.values() if n in dimension}
    metrics = {
        "seed_image": correct.mean(),
        **parts,
        "macro_dimensions": np.mean(list(parts.values())),
        **{f"seed_image[{rule}]": rows[rule].to_numpy(float).mean() for rule in OTHER_RULES},
        "seed_image[random-letter]": with_random_letters(rows).mean(),
    }
    percent = {name: 100 * float(value) for name, value in metrics.items()}
    return {**percent, "unmatched": float(rows["unmatched"].sum())}


def open_task(argument: str = "") -> Task:
    if argument == LIKELIHOOD:
        return likelihood.variant_of(TASK)
    prompt = variant(argument, prompt=(*PROMPTS, LIKELIHOOD))["prompt"]
    return Task(
        samples=partial(samples, prompt=prompt),
        mark=mark,
        summarize=summarize,
        metrics=METRICS,
        columns=("dimension", "correct", "unmatched", *OTHER_RULES),
        sources={"official": OFFICIAL, "mini": Source(make=mini.make)},
        also=("seedbench", "SEEDBench_IMG"),
        bounds=lambda sample: ("Z", sample.target["answer"]),
        about=About(
            paper="arXiv 2307.16125",
            version=f"2, prompt {prompt}",
            protocol="letters as in VLMEvalKit @ e8e78f0, exact matching; prompt of LLaVA @ "
            "c121f04",
            differs="The official runner ranks the texts of the options by likelihood: that is "
            "`seed:likelihood`, which never shares this column. A reply without a "
            "letter is wrong and counted as `unmatched`. VLMEvalKit instead picks a random letter; "
            "`[random-letter]` is the expected score of that.",
            compares="`seed_image` is VLMEvalKit's Overall of SEEDBench_IMG without a judge, "
            "`[first-char]` is lmms-eval's seed_image, `[llava-exact]` is LLaVA's converter. "
            'VLMEvalKit takes the first letter of any word after "answer is" ("the answer is '
            'blue" is B); `[whole-letter]` is the same rule, but the letter must stand by itself. '
            "LLaVA-1.5's 58.6 in papers on unified models is for images and videos together.",
            licence="CC BY-NC 4.0 (AILab-CVC/SEED-Bench)",
            size="14,232 questions (14,233 in some releases) in 9 dimensions",
            cost="14,232 short replies",
        ),
    )


TASK = open_task()
