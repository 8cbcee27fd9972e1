"""MMMU: college-level questions with images in thirty subjects, validation set.

Paper: Yue et al. 2023, arXiv 2311.16502. Letters and open answers are read by the official rules.
Where those draw a random letter, the reply counts as unmatched.

``mmmu:SPLIT+PROMPT`` takes another split (``validation`` by default, ``dev`` or ``test``) or prompt
(``official`` by default, ``lmms-eval`` or ``vlmevalkit``). The test split comes without answers:
``answers.json`` is the file that its server marks.
"""

from __future__ import annotations

import json
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
from harmon_eval.files.question_files import field
from harmon_eval.metrics.rows import having, of
from harmon_eval.replies import mmmu_answers
from harmon_eval.settings import variant
from harmon_eval.tasks.mmmu import files, mini
from harmon_eval.tasks.mmmu.files import DISCIPLINES, OFFICIAL, SUBJECTS

SPLITS, PROMPTS = ("validation", "dev", "test"), ("official", "lmms-eval", "vlmevalkit")
NO_ANSWER = ("", "?")
METRICS = (
    Metric("mmmu_val", maximum=100.0, headline=True),
    Metric("mmmu_val[*]", maximum=100.0),
    Metric("mmmu_mc", maximum=100.0, rows=having("choice", True)),
    Metric("mmmu_open", maximum=100.0, rows=having("choice", False)),
    *(Metric(name, maximum=100.0, rows=having("subject", *s)) for name, s in DISCIPLINES.items()),
    *(Metric(name, maximum=100.0, rows=of("subject")) for name in SUBJECTS),
    *map(count, ("unmatched", "answered", "expected_random")),
)


def samples(data: Data, split: str, prompt: str) -> Iterator[Sample]:
    for subject, row, images in files.read_questions(data.folder, split):
        where = f"MMMU {row.get('id')}"
        options = files.options_of(row, where)
        text = files.phrased(field(row, "question", where), options, prompt)
        yield Sample(
            id=field(row, "id", where),
            request=Ask(text, files.ordered_images(text, images), max_new_tokens=128),
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


def worst_and_best(sample: Sample) -> tuple[str, str]:
    answer = sample.target["answer"]
    return "", answer if sample.target["options"] else mmmu_answers.truths(answer)[0]


def open_task(argument: str = "") -> Task:
    chosen = variant(argument, split=SPLITS, prompt=PROMPTS)
    return Task(
        samples=partial(samples, split=chosen["split"], prompt=chosen["prompt"]),
        mark=mark,
        summarize=summarize,
        metrics=METRICS,
        columns=("subject", "choice", "options", "answer", "known", "unmatched", "correct"),
        sources={"official": OFFICIAL, "mini": Source(make=mini.make)},
        bounds=worst_and_best,
        files_after=files.answer_files,
        about=About(
            paper="arXiv 2311.16502",
            version=f"1, {chosen['split']}, prompt {chosen['prompt']}",
            protocol="MMMU-Benchmark/MMMU @ bb0b95a",
            differs="No letter is drawn at random: a reply without a letter is unmatched, wrong "
            "and counted. `[random-42]` draws letters as the original does, in the order of the "
            "table; `[random-letter]` is their expectation. Models that take several images "
            "(`openai:`, `vlm:`) get each in the place of its marker; Janus gets them before the "
            "text, as in VLMEvalKit. A model that takes one image gets the first that is "
            "mentioned; the official runner gives it image_1, or none if the options hold several.",
            compares="lmms-eval marks every open question wrong (so 94.1 at most) and reads "
            "letters inside words. VLMEvalKit marks open questions as questions with two options: "
            "compare `mmmu_mc`.",
            licence="mixed sources, as the data card says (MMMU/MMMU)",
            size="900 questions in 30 subjects: 847 multiple choice, 53 open",
            cost="900 replies of up to 128 tokens",
        ),
    )


TASK = open_task()
