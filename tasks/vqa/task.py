"""Your own questions about your own images: ``--tasks vqa:FILE``, no code.

FILE is .jsonl, .json, .csv, .tsv or .parquet, in UTF-8 (or UTF-16 with its mark). Columns, in any
case:

- ``question``; a ``hint`` or ``context`` goes before it.
- ``image``, ``images``, ``image_path`` and the like: a file beside FILE (in folders too, or behind
  links that lie there), base64 as in VLMEvalKit's tables, bytes in Parquet, or a list of these for
  several pictures. Also ``image_1``, ``image_2`` ... The cell may be empty.
  ``<image>`` or ``<image 2>`` in a text says where a picture belongs; they have to fit.
- ``answer`` or ``answers``: a text, or a list of accepted texts. JSON's ``true`` is true or yes.
- For multiple choice ``options`` or ``choices``: a list, an object ``{"A": ...}``, either of them
  written as text, ``cat|dog``, or one option a line. Or columns ``A``, ``B``, ``C`` ...
  (``option_a`` ..., ``option_1`` ...). Up to 26. The answer is then a letter or one of the options;
  of a list any is right.
- ``id`` and ``group`` are optional.

``--tasks vqa:datasets:NAME?question=Q&answer=A&image=I&split=test`` takes a dataset: a Parquet
file, a folder, or a name on the hub. Columns with the names above need not be named.

Other columns are not read, and that is said; one that looks like pictures or options is refused.
Pictures are shown upright, in 8 bits, with what is transparent on white.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

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
from harmon_eval.files.hub_datasets import PREFIX, dataset_table
from harmon_eval.metrics.rows import having
from harmon_eval.metrics.shares import share
from harmon_eval.replies import prompts, short_answers
from harmon_eval.replies.multiple_choice import vqa_rule
from harmon_eval.tasks.vqa import columns, imported, mini
from harmon_eval.tasks.vqa.files import read_questions

if TYPE_CHECKING:
    import pandas as pd


# What a dataset's columns are called by themselves; others are named, as question=Q.
COLUMNS = {
    "question": columns.QUESTION,
    "answer": columns.ANSWER,
    "image": columns.IMAGES,
    "options": columns.OPTIONS,
    "hint": columns.HINT,
    "id": columns.ID,
    "group": columns.GROUP,
}


def file_of(data: Data, path: str) -> Path:
    """The file of questions. Raises UserError."""
    if path.startswith(PREFIX):
        spec = path.removeprefix(PREFIX)
        return dataset_table(spec, COLUMNS, data.fetching, f"vqa:{path}", columns.LETTERED)
    return Path(path) if path else data.folder / "questions.jsonl"


def samples(data: Data, path: str) -> Iterator[Sample]:
    file = file_of(data, path)
    for row in read_questions(file):
        if row.options:
            asked = prompts.llava_choice(row.text, row.options, row.hint)
        else:
            asked = "\n".join(filter(None, (row.hint, row.text, prompts.SHORT_ANSWER)))
        yield Sample(
            id=row.id,
            request=Ask(asked, row.images, max_new_tokens=32),
            target={"answers": row.answers, "options": row.options},
            group=row.group,
        )


def mark(answers: Sequence[Answer], instruments: Instruments) -> list[Row]:
    rows = []
    for answer in answers:
        wanted, options = answer.sample.target["answers"], answer.sample.target["options"]
        parsed: str | None = answer.reply.strip()
        rule = "numbers by value, words as they are"
        if options:
            parsed, how = vqa_rule(answer.reply, options)
            rule = f"a whole letter or the text of one option: {how}"
            correct = parsed in wanted and how != "refusal"
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


RIGHT = share("correct")


def open_task(path: str = "") -> Task:
    if path.startswith(imported.FOLDER):
        return imported.imported_task(path.removeprefix(imported.FOLDER))
    return Task(
        samples=partial(samples, path=path),
        mark=mark,
        summarize=summarize,
        metrics=(
            Metric("accuracy", maximum=100.0, headline=True, of=RIGHT),
            Metric("accuracy_choice", maximum=100.0, rows=having("choice", True), of=RIGHT),
            Metric("accuracy_open", maximum=100.0, rows=having("choice", False), of=RIGHT),
            count("unmatched"),
        ),
        columns=("choice", "correct", "unmatched"),
        columns_once=(),
        sources={"mini": Source(make=mini.make)},
        bounds=lambda sample: ("", sample.target["answers"][0]),
        about=About(
            paper="none",
            version="2",
            protocol="this one: a letter that stands by itself, or the text of one option; other "
            "answers are right if they are the same numbers (3.0 is 3, three is 3, -5 is not 5) "
            "and the same words",
            differs="There is no original.",
            compares="It is accuracy by these rules; no other toolkit's numbers correspond to it.",
            licence="that of your data",
            size="as many questions as the file has",
            cost="one short reply for each question",
        ),
    )


TASK = open_task()
