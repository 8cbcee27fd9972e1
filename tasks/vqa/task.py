"""Your own questions about your own images: ``--tasks vqa:FILE``, no code.

FILE is .jsonl, .json, .csv, .tsv or .parquet with these columns:

- ``image``: a file beside FILE, or the bytes in Parquet; may be empty
- ``question``
- ``answer``: a text, or a list of accepted texts
- ``options``, for multiple choice: a list, or a list written as text. The answer is then a letter
  or one of the options.
- ``id`` and ``group`` are optional.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

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
    UserError,
    count,
)
from harmon_eval.files.question_files import field, find_image, read_table, unpacked
from harmon_eval.metrics.rows import having
from harmon_eval.replies import prompts, short_answers
from harmon_eval.replies.mmmu_answers import literal_list
from harmon_eval.replies.multiple_choice import vlmevalkit_rule
from harmon_eval.tasks.vqa import mini

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXY"  # Z is a refusal to choose


def samples(data: Data, path: str) -> Iterator[Sample]:
    file = Path(path) if path else data.folder / "questions.jsonl"
    rows = read_table(file)
    stored = [
        (i, row["image"]["bytes"])
        for i, row in enumerate(rows)
        if isinstance(row.get("image"), dict)
    ]
    folder = unpacked(file, ((str(i), encoded) for i, encoded in stored)) if stored else file.parent
    for number, row in enumerate(rows):
        where = f"{file}, row {number + 1}"
        options = dict(zip(LETTERS, as_list(row.get("options"), where), strict=False))
        answers = as_list(row.get("answer"), where)
        if not answers:
            raise UserError(f"{where}: the field 'answer' is missing")
        if options:
            answers = [letter_of(answers[0], options, where)]
        image = f"{number}.png" if isinstance(row.get("image"), dict) else row.get("image")
        images = (find_image(str(image), [folder]),) if image else ()
        question = field(row, "question", where)
        asked = (
            prompts.llava_choice(question, options)
            if options
            else f"{question}\n{prompts.SHORT_ANSWER}"
        )
        name = str(row.get("id") or f"{number:06d}")
        yield Sample(
            id=re.sub(r"[^\w.+=@()-]+", "-", name).strip(".-") or f"{number:06d}",
            request=Ask(asked, images, max_new_tokens=32),
            target={"answers": answers, "options": options},
            group=str(row.get("group") or image or number),
        )


def as_list(value: Any, where: str) -> list[str]:
    """A list, a list written as text, one text, or nothing (also a table's empty cell)."""
    if value is None or value == "" or value != value:
        return []
    if isinstance(value, str):
        return literal_list(value, where) if re.fullmatch(r"\s*\[.*\]\s*", value) else [value]
    return [str(item) for item in value] if isinstance(value, list | tuple) else [str(value)]


def letter_of(answer: str, options: Mapping[str, str], where: str) -> str:
    """Raises UserError for an answer that is neither a letter nor the text of an option."""
    by_text = {text: letter for letter, text in options.items()}
    if answer not in by_text and answer not in options:
        raise UserError(f"{where}: the answer {answer[:60]!r} is none of the options")
    return by_text.get(answer, answer)


def mark(answers: Sequence[Answer], instruments: Instruments) -> list[Row]:
    rows = []
    for answer in answers:
        wanted, options = answer.sample.target["answers"], answer.sample.target["options"]
        parsed: str | None = answer.reply.strip()
        rule = "numbers by value, words as they are"
        if options:
            parsed, how = vlmevalkit_rule(answer.reply, options)
            rule = f"vlmevalkit-rule@e8e78f0: {how}"
            correct = parsed == wanted[0]
        else:
            correct = any(short_answers.same(answer.reply, text) for text in wanted)
        rows.append(
            {
                "choice": bool(options),
                "reply": answer.reply,
                "parsed": parsed,
                "rule": rule,
                "unmatched": parsed is None,
                "correct": correct,
            }
        )
    return rows


def summarize(rows: pd.DataFrame) -> dict[str, float]:
    """Percent; multiple choice and open answers also apart."""
    correct, choice = rows["correct"].to_numpy(float), rows["choice"].to_numpy(bool)
    parts = {"accuracy": choice | ~choice, "accuracy_choice": choice, "accuracy_open": ~choice}
    metrics = {name: 100 * float(correct[own].mean()) for name, own in parts.items() if own.any()}
    return {**metrics, "unmatched": float(rows["unmatched"].sum())}


def open_task(path: str = "") -> Task:
    return Task(
        samples=partial(samples, path=path),
        mark=mark,
        summarize=summarize,
        metrics=(
            Metric("accuracy", maximum=100.0, headline=True),
            Metric("accuracy_choice", maximum=100.0, rows=having("choice", True)),
            Metric("accuracy_open", maximum=100.0, rows=having("choice", False)),
            count("unmatched"),
        ),
        columns=("choice", "correct", "unmatched"),
        sources={"mini": Source(make=mini.make)},
        bounds=lambda sample: ("", sample.target["answers"][0]),
        about=About(
            paper="none",
            version="2",
            protocol="this one: letters by VLMEvalKit's rule; other answers are right if they are the "
            "same numbers (3.0 is 3, three is 3, -5 is not 5) and the same words",
            differs="There is no original.",
            compares="It is accuracy by these rules; no other toolkit's numbers correspond to it.",
            licence="that of your data",
            size="as many questions as the file has",
            cost="one short reply for each question",
        ),
    )


TASK = open_task()
