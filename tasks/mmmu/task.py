"""MMMU: college-level questions with images in thirty subjects, validation set.

Paper: Yue et al. 2023, arXiv 2311.16502. Letters and open answers are read by the official rules;
where those draw a random letter, the reply is unmatched. ``mmmu:SPLIT+PROMPT``: ``validation``
(default), ``dev`` or ``test``; ``official`` (default), ``lmms-eval`` or ``vlmevalkit``. The test
split has no answers: ``answers.json`` is what its server marks.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import pandas as pd

from harmon_eval.core import Answer, Ask, Instruments, Row, Sample, Suite, Task
from harmon_eval.files.question_files import field
from harmon_eval.metrics.statistics import scaled_intervals
from harmon_eval.replies import mmmu_answers
from harmon_eval.settings import variant
from harmon_eval.tasks.mmmu import files as mmmu_files
from harmon_eval.tasks.mmmu.files import SUBJECTS

SPLITS, PROMPTS = ("validation", "dev", "test"), ("official", "lmms-eval", "vlmevalkit")
NO_ANSWER = ("", "?")


def samples(suite: Suite, split: str, prompt: str) -> Iterator[Sample]:
    for subject, row, images in mmmu_files.read_questions(suite.data("mmmu"), split):
        where = f"MMMU {row.get('id')}"
        options = mmmu_files.options_of(row, where)
        text = mmmu_files.phrased(field(row, "question", where), options, prompt)
        yield Sample(
            id=field(row, "id", where),
            request=Ask(text, mmmu_files.ordered_images(text, images), max_new_tokens=128),
            target={"subject": subject, "options": options, "answer": str(row.get("answer") or "")},
            group=field(row, "id", where),
            stratum=subject,
        )


def mark(answers: Sequence[Answer], instruments: Instruments) -> list[Row]:
    rows = []
    for answer in answers:
        target, options = answer.sample.target, answer.sample.target["options"]
        known = target["answer"] not in NO_ANSWER
        if options:
            parsed, rule = mmmu_answers.letter(answer.reply, options)
            correct = parsed == target["answer"]
        else:
            values, rule = mmmu_answers.open_values(answer.reply), "open"
            parsed = json.dumps(sorted(values, key=str))
            correct = known and mmmu_answers.open_correct(
                mmmu_answers.truths(target["answer"]), values
            )
        rows.append(
            {
                "subject": target["subject"],
                "choice": bool(options),
                "options": "".join(options),
                "answer": target["answer"],
                "reply": answer.reply,
                "parsed": parsed,
                "rule": f"mmmu-official-det: {rule}",
                "known": known,
                "unmatched": parsed is None,
                "correct": known and correct,
            }
        )
    return rows


def summarize(rows: pd.DataFrame) -> dict[str, float]:
    """Percent of questions. ``expected_random`` is how many random letters would be right."""
    correct, choice = rows["correct"].to_numpy(float), rows["choice"].to_numpy(bool)
    unmatched = rows["unmatched"].to_numpy(bool)
    counts = {"unmatched": float(unmatched.sum())}
    if not rows["known"].any():
        return {"answered": float(len(rows)), **counts}
    letters = rows["options"].to_numpy()
    chance = np.array([1 / len(some) if some else 0.0 for some in letters])
    drawn = correct.copy()
    random = mmmu_answers.random_letters(letters[unmatched])
    drawn[unmatched] = np.array(random) == rows["answer"].to_numpy()[unmatched]
    subjects = rows["subject"].to_numpy()
    disciplines = np.array([SUBJECTS[subject] for subject in subjects])
    parts = {"mmmu_mc": choice, "mmmu_open": ~choice}
    parts |= {name: disciplines == name for name in sorted(set(SUBJECTS.values()))}
    parts |= {name: subjects == name for name in SUBJECTS}
    metrics = {"mmmu_val": correct.mean()}
    metrics |= {name: correct[own].mean() for name, own in parts.items() if own.any()}
    metrics["mmmu_val[random-letter]"] = np.where(unmatched, chance, correct).mean()
    metrics["mmmu_val[random-42]"] = drawn.mean()
    counts["expected_random"] = float(chance[unmatched].sum())
    return {**{name: 100 * float(value) for name, value in metrics.items()}, **counts}


def maximum(name: str) -> float | None:
    return None if name in ("unmatched", "answered", "expected_random") else 100.0


def exports(asked: Sequence[Sample], rows: pd.DataFrame | None) -> dict[str, str]:
    """``answers.json``, id -> letter or reply, for the official "evaluation only" route."""
    if rows is None:
        return {}
    table = zip(rows["id"], rows["choice"], rows["parsed"], rows["reply"], strict=True)
    answers = {i: (p if p is not None else "") if c else r for i, c, p, r in table}
    return {"answers.json": json.dumps(answers, indent=1, ensure_ascii=False) + "\n"}


def worst_and_best(sample: Sample) -> tuple[str, str]:
    answer = sample.target["answer"]
    return "", answer if sample.target["options"] else mmmu_answers.truths(answer)[0]


def open_task(argument: str = "") -> Task:
    chosen = variant(argument, split=SPLITS, prompt=PROMPTS)
    columns = ("subject", "choice", "options", "answer", "known", "unmatched", "correct")
    return Task(
        samples=partial(samples, split=chosen["split"], prompt=chosen["prompt"]),
        mark=mark,
        summarize=summarize,
        headline="mmmu_val",
        higher_is_better=True,
        paper="arXiv 2311.16502",
        version=f"1, {chosen['split']}, prompt {chosen['prompt']}",
        intervals=partial(scaled_intervals, maximum=maximum, columns=columns),
        exports=exports,
        extremes=worst_and_best,
        licence="mixed sources, as the data card states (MMMU/MMMU)",
        size="900 questions in 30 subjects: 847 multiple choice, 53 open",
        protocol="MMMU-Benchmark/MMMU @ bb0b95a",
        differs="No random letters: a reply without a letter is unmatched, wrong and counted. "
        "`[random-42]` draws them as the original does, in the order of the table; "
        "`[random-letter]` is their expectation. Models that take several images (`openai:`, "
        "`vlm:`) get each in the place of its marker; Janus gets them before the text, as in "
        "VLMEvalKit. A model with one image slot takes the first that is mentioned, where the "
        "official runner takes image_1, and none if the options hold several.",
        compares="lmms-eval marks every open question wrong (94.1 at most) and reads letters in "
        "words; VLMEvalKit marks open questions as two-option ones: compare `mmmu_mc`.",
        cost="900 replies of up to 128 tokens",
    )


TASK = open_task()
