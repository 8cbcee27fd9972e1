"""MMMU: college-level questions with images in thirty subjects, validation set.

Paper: Yue et al. 2023, arXiv 2311.16502. Letters and open answers are read by the official rules.
Where those draw a random letter, the reply counts as unmatched.

``mmmu:SPLIT+PROMPT`` takes another split (``validation`` by default, ``dev`` or ``test``) or prompt
(``official`` by default, ``lmms-eval`` or ``vlmevalkit``). The answers of the test split, public
since February 2026, are taken from its tables or from ``answer_dict_test.json`` beside them.
Without them ``answers.json`` is written all the same, for a server to mark.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import partial

from harmon_eval.core import (
    About,
    Answer,
    Ask,
    Data,
    Instruments,
    Row,
    Sample,
    Source,
    Task,
)
from harmon_eval.files.question_files import field
from harmon_eval.replies import mmmu_answers
from harmon_eval.settings import variant
from harmon_eval.tasks.mmmu import files, mini
from harmon_eval.tasks.mmmu.files import NO_ANSWER, OFFICIAL
from harmon_eval.tasks.mmmu.scores import COLUMNS, PAST_TAILS, metrics, summarize

PROMPTS = ("official", "lmms-eval", "vlmevalkit")
HEADLINES = {"validation": "mmmu_val", "dev": "mmmu_dev", "test": "mmmu_test"}


def samples(data: Data, split: str, prompt: str) -> Iterator[Sample]:
    questions = files.with_answers(files.read_questions(data.folder, split), data.folder, split)
    for subject, row, images in questions:
        where = f"MMMU {row.get('id')}"
        options = files.options_of(row, where)
        text = files.phrased(field(row, "question", where), options, prompt)
        yield Sample(
            id=field(row, "id", where),
            request=Ask(text, files.ordered_images(text, images), max_new_tokens=128),
            target={"subject": subject, "options": options, "answer": row["answer"]},
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
            correct = past_tails = parsed == target["answer"]
        else:
            values, rule = mmmu_answers.open_values(answer.reply), "open"
            parsed = json.dumps(sorted(values, key=str))
            truths = mmmu_answers.truths(target["answer"])
            correct = mmmu_answers.open_correct(truths, values)
            values = mmmu_answers.past_empty_tails(answer.reply)
            past_tails = mmmu_answers.open_correct(truths, values)
        rows.append(
            {
                "subject": target["subject"],
                "number": files.number_of(answer.sample.id),
                "choice": bool(options),
                "options": "".join(options),
                "answer": target["answer"],
                "reply": answer.reply,
                "parsed": parsed,
                "rule": f"mmmu-official-det: {rule}",
                "known": known,
                "unmatched": parsed is None,
                "correct": known and correct,
                PAST_TAILS: known and past_tails,
            }
        )
    return rows


def worst_and_best(sample: Sample) -> tuple[str, str]:
    answer = sample.target["answer"]
    return "", answer if sample.target["options"] else mmmu_answers.truths(answer)[0]


def open_task(argument: str = "") -> Task:
    chosen = variant(argument, split=tuple(HEADLINES), prompt=PROMPTS)
    headline = HEADLINES[chosen["split"]]
    return Task(
        samples=partial(samples, split=chosen["split"], prompt=chosen["prompt"]),
        mark=mark,
        summarize=partial(summarize, headline=headline),
        metrics=metrics(headline),
        columns=COLUMNS,
        sources={"official": OFFICIAL, "mini": Source(make=mini.make)},
        also=("mmmu_val", "MMMU_DEV_VAL"),
        bounds=worst_and_best,
        files_after=files.answer_files,
        about=About(
            paper="arXiv 2311.16502",
            version=f"2, {chosen['split']}, prompt {chosen['prompt']}",
            protocol="MMMU-Benchmark/MMMU @ bb0b95a",
            differs="No letter is drawn at random: a reply without a letter is unmatched, wrong "
            "and counted. `[random-42]` draws letters as the original does, subjects by "
            "the alphabet; `[random-letter]` is their expectation. Models that take several images "
            "(`openai:`, `vlm:`) get each in the place of its marker; Janus gets them before the "
            "text, as in VLMEvalKit. A model that takes one image gets the first that is "
            "mentioned; the official runner gives it image_1, or none if the options hold several.",
            compares="In an open answer the original takes what stands behind words such as `is`. "
            "Where nothing does, as in a line that ends with `The answer is`, it reads `is`; "
            "`[empty-tail]` is our rule, which passes over such a line. "
            "lmms-eval marks every open question wrong (so 94.1 at most) and reads "
            "letters inside words. VLMEvalKit marks open questions as questions with two options: "
            "compare `mmmu_mc`.",
            licence="mixed sources, as the data card says (MMMU/MMMU)",
            size="900 questions in 30 subjects: 847 multiple choice, 53 open",
            cost="900 replies of up to 128 tokens",
        ),
    )


TASK = open_task()
