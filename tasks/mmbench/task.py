"""MMBench: twenty abilities in single-choice questions, asked in every rotation of the options.

Paper: Liu et al. 2023, arXiv 2307.06281. ``circular`` counts a question only if every rotation is
right. ``vanilla_all`` is plain accuracy over all rows, which some papers print under the same name.

``mmbench:SET+PROMPT`` takes another set (``dev_en``, ``test_en``, ``dev_cn`` or ``test_cn``; V1.1
as ``dev_en_v11`` and so on) or another prompt (``llava``, ``vlmevalkit``, ``janus`` or
``lmms-eval``). The test sets come without answers: the replies are written to the file that the
evaluation server marks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import pandas as pd

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
from harmon_eval.files.question_files import field, whole_number
from harmon_eval.metrics.rows import both, having
from harmon_eval.replies import prompts
from harmon_eval.replies.multiple_choice import given_options, lmms_eval_rule, vlmevalkit_rule
from harmon_eval.settings import variant
from harmon_eval.tasks.mmbench import mini
from harmon_eval.tasks.mmbench.circular import Groups, mean, whole
from harmon_eval.tasks.mmbench.files import LEVELS, SETS, of_level, official, read_set
from harmon_eval.tasks.mmbench.submission import submission

PROMPTS = ("llava", "vlmevalkit", "janus", "lmms-eval")
ROTATION = 1_000_000
METRICS = (
    Metric("circular", maximum=100.0, rows=whole, headline=True),
    Metric("circular[*]", maximum=100.0, rows=whole),
    Metric("circular_*", maximum=100.0, rows=both(whole, of_level)),
    Metric("vanilla_0", maximum=100.0, rows=having("base", True)),
    Metric("vanilla_all", maximum=100.0),
    Metric("vanilla_all[*]", maximum=100.0),
    *map(count, ("unmatched", "incomplete_questions", "answered")),
)


def samples(data: Data, part: str, prompt: str) -> Iterator[Sample]:
    where = f"MMBench {part}"
    for row, image in read_set(data.folder, part):
        index = field(row, "index", where)
        options = given_options({letter: row.get(letter) for letter in "ABCD"})
        asked = prompts.CHOICES["llava_cn" if "_cn" in part and prompt == "llava" else prompt](
            field(row, "question", where), options, row.get("hint", "")
        )
        level = row.get("l2-category") or row.get("L2-category") or ""
        yield Sample(
            id=index,
            request=Ask(asked, (image,), max_new_tokens=64),
            target={
                **{"options": options, "answer": row.get("answer") or ""},
                **{"l2-category": level, "category": row.get("category") or ""},
                "columns": row,
            },
            group=str(whole_number(row, "index", where) % ROTATION),
            stratum=level,
        )


def mark(answers: Sequence[Answer], instruments: Instruments) -> list[Row]:
    rows = []
    for answer in answers:
        target, options = answer.sample.target, answer.sample.target["options"]
        parsed, rule = vlmevalkit_rule(answer.reply, options)
        truth = target["answer"]
        rows.append(
            {
                **{level: target[level] for level in LEVELS},
                "base": int(answer.sample.id) < ROTATION,
                "options": len(options),
                "answer": truth,
                "reply": answer.reply,
                "parsed": parsed,
                "rule": f"vlmevalkit-rule@e8e78f0: {rule}",
                "unmatched": parsed is None,
                "correct": bool(truth) and parsed == truth,
                "lmms-eval": bool(truth) and lmms_eval_rule(answer.reply, options) == truth,
            }
        )
    return rows


def summarize(rows: pd.DataFrame) -> dict[str, float]:
    """Percent. Questions with missing rotations have no circular mark; they are counted."""
    unmatched = rows["unmatched"].to_numpy(dtype=bool)
    counts = {"unmatched": float(unmatched.sum())}
    if not rows["answer"].astype(bool).any():
        return {"answered": float(len(rows)), **counts}
    correct = rows["correct"].to_numpy(dtype=float)
    groups = Groups.of(rows["group"].to_numpy(), rows["options"].to_numpy())
    circular = groups.circular(correct)
    drawn = np.where(unmatched, 1 / (rows["options"].to_numpy() + 1), correct)
    metrics = {
        "circular": mean(circular),
        "vanilla_all": mean(correct),
        "vanilla_0": mean(correct[rows["base"].to_numpy(dtype=bool)]),
        "circular[random-letter]": mean(groups.circular(drawn)),
        "vanilla_all[random-letter]": mean(drawn),
        "circular[lmms-eval]": mean(groups.circular(rows["lmms-eval"].to_numpy(float))),
    }
    for level in LEVELS:
        names = groups.first(rows[level].to_numpy())
        metrics |= {f"circular_{name}": mean(circular[names == name]) for name in sorted({*names})}
    counts["incomplete_questions"] = float((~groups.whole).sum())
    return {**{name: 100 * value for name, value in metrics.items()}, **counts}


def open_task(argument: str = "") -> Task:
    chosen = variant(argument, part=SETS, prompt=PROMPTS)
    part, prompt = chosen["part"], chosen["prompt"]
    return Task(
        samples=partial(samples, part=part, prompt=prompt),
        mark=mark,
        summarize=summarize,
        metrics=METRICS,
        columns=(*LEVELS, "base", "options", "answer", "unmatched", "correct", "lmms-eval"),
        sources={"official": official(part), "mini": Source(make=mini.make)},
        bounds=lambda sample: ("Z", sample.target["answer"]),
        files_after=submission if "test" in part else None,
        about=About(
            paper="arXiv 2307.06281",
            version=f"1, {part}, prompt {prompt}",
            protocol="VLMEvalKit @ e8e78f0 (the official evaluator), exact matching without a "
            "judge",
            differs="A reply without a letter is wrong and counted as `unmatched`. The original "
            "asks a judge and then draws a random letter; the expected score of that is "
            "`[random-letter]`. A question with missing rotations has no circular mark.",
            compares="`circular` is VLMEvalKit's Overall with exact matching, "
            "`circular[lmms-eval]` reads the same replies by lmms-eval's rules. Janus reports "
            "plain accuracy (`vanilla_all`); Harmon does not say which it reports. VLMEvalKit's "
            "own prompt is `mmbench:vlmevalkit`.",
            licence="Apache-2.0 (open-compass/MMBench); the images' own terms are not established",
            size="dev_en: 1,164 questions, 4,329 rows; test_en: 1,784 questions, 6,666 rows",
            cost="4,329 short replies",
        ),
    )


TASK = open_task()
