"""MMMU's tables: one folder of Parquet files a subject, as the hub has them, or a copy.

Copies: the hub's files without subjects (lmms-lab/MMMU) and VLMEvalKit's MMMU_DEV_VAL.tsv, which
writes an open question as one with two options.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harmon_eval.core import Sample, Source, UserError
from harmon_eval.files.packed_questions import find_files, read_tsv_images, vlmevalkit_table
from harmon_eval.files.question_files import field, read_json, read_parquet, unpacked
from harmon_eval.replies.mmmu_answers import literal_list
from harmon_eval.replies.prompts import LETTER, SHORT_ANSWER, listed, vlmevalkit_choice

if TYPE_CHECKING:
    import pandas as pd

DISCIPLINES = {
    "Art_and_Design": ("Art", "Art_Theory", "Design", "Music"),
    "Business": ("Accounting", "Economics", "Finance", "Manage", "Marketing"),
    "Science": ("Biology", "Chemistry", "Geography", "Math", "Physics"),
    "Health_and_Medicine": (
        "Basic_Medical_Science",
        "Clinical_Medicine",
        "Diagnostics_and_Laboratory_Medicine",
        "Pharmacy",
        "Public_Health",
    ),
    "Humanities_and_Social_Science": ("History", "Literature", "Sociology", "Psychology"),
    "Tech_and_Engineering": (
        "Agriculture",
        "Architecture_and_Engineering",
        "Computer_Science",
        "Electronics",
        "Energy_and_Power",
        "Materials",
        "Mechanical_Engineering",
    ),
}
SUBJECTS = {subject: name for name, subjects in DISCIPLINES.items() for subject in subjects}
MARKER = re.compile(r"<image (\d)>")
IMAGES = range(1, 8)
TSV, HUB = "MMMU_DEV_VAL.tsv", ("data/{}-*.parquet", "{}-*.parquet")
PATTERNS = ("Accounting", TSV, *(pattern.format("validation") for pattern in HUB))
OFFICIAL = Source(
    PATTERNS,
    "the dataset MMMU/MMMU (a folder of Parquet files for each subject)",
    (vlmevalkit_table("VLMEval/MMMU_DEV_VAL.tsv", "585e8ad75e73f75dcad265dfd0417d64"),),
    hub="MMMU/MMMU",
)
OTHER_ANSWERS = "Other Answers"
NO_ANSWER = ("", "?")
ANSWERS = "answer_dict_{}.json"  # as the official answer_dict_val.json
Read = Iterator[tuple[str, dict[str, Any], dict[int, Path]]]


def read_questions(folder: Path, split: str) -> Read:
    """(subject, row, image number -> file) of every question. Raises UserError."""
    if not (folder / PATTERNS[0]).is_dir():
        if (file := folder / TSV).is_file():
            yield from _of_tsv(file, split)
            return
        if files := find_files(folder, [pattern.format(split) for pattern in HUB]):
            yield from _of_tables(files)
            return
    for subject in SUBJECTS:
        files = sorted((folder / subject).glob(f"{split}-*.parquet"))
        if not files:
            raise UserError(f"{folder / subject} has no {split}-*.parquet: MMMU needs 30 subjects")
        yield from _of_tables(files, subject)


def with_answers(questions: Read, folder: Path, split: str) -> Read:
    """Questions with a text as ``answer``: the table's, or that of the official answer file.

    Raises UserError where some have an answer and some have none."""
    file = folder / ANSWERS.format("val" if split == "validation" else split)
    known = _answer_file(file) if file.is_file() else {}
    first: bool | None = None
    for subject, row, images in questions:
        answer, number = str(row.get("answer") or ""), row.get("id")
        if answer.strip() in NO_ANSWER:
            answer = known.get(str(number), "")
        if first is None:
            first = bool(answer)
        elif first != bool(answer):
            raise UserError(
                f"MMMU {split}: {number} has {'an' if answer else 'no'} answer, unlike others: "
                f"give the answers of all questions in {file}, or of none"
            )
        yield subject, {**row, "answer": answer}, images


def _answer_file(file: Path) -> dict[str, str]:
    """Question -> answer, of ``{"ID": {"ground_truth": ...}}``. Raises UserError."""
    entries = read_json(file)
    if not isinstance(entries, dict):
        raise UserError(f"{file} is no JSON object of questions: get it again")
    found = {}
    for number, entry in entries.items():
        truth = entry.get("ground_truth") if isinstance(entry, dict) else entry
        if not isinstance(truth, str | list) or not truth:
            raise UserError(f"{file}: {number} has no ground_truth: get it again")
        found[number] = truth if isinstance(truth, str) else str(truth)
    return found


def _of_tables(files: list[Path], subject: str = "") -> Read:
    for file in files:
        rows = read_parquet(file)
        images = unpacked(file, _images(file, rows))
        for row in rows:
            own = {k: images / f"{row['id']}-{k}.png" for k in IMAGES if row.get(f"image_{k}")}
            yield subject or _subject(field(row, "id", str(file)), str(file)), row, own


def _subject(number: str, where: str) -> str:
    """That of an id such as validation_Art_Theory_1."""
    subject = number.partition("_")[2].rpartition("_")[0]
    if subject not in SUBJECTS:
        raise UserError(f"{where}: {number[:60]!r} names none of 30 subjects: get the file again")
    return subject


def number_of(name: str) -> int:
    """That of an id such as validation_Art_12; 0 for an id of another form."""
    digits = name.rpartition("_")[2]
    return int(digits) if digits.isdecimal() else 0


def _of_tsv(file: Path, split: str) -> Read:
    for row, images in read_tsv_images(file):
        if row.get("split") != split:
            continue
        where = f"{file}, row {row['index']}"
        subject = field(row, "category", where).replace(" ", "_")
        number = str(row.get("id") or f"{split}_{subject}_{row['index']}")
        options = ["" if row.get(n) in (None, "nan") else row[n] for n in "ABCDEFGHI" if n in row]
        while options and not options[-1]:
            options.pop()
        if "" in options:  # the letters after it would be others
            raise UserError(f"{where}: option {'ABCDEFGHI'[options.index('')]} is empty")
        question = {"id": number, "question": field(row, "question", where)}
        if options[1:] == [OTHER_ANSWERS]:
            question |= {"options": "[]", "answer": options[0]}
        else:
            question |= {"options": str(options), "answer": row.get("answer", "")}
        yield _subject(f"{split}_{subject}_0", where), question, dict(enumerate(images, start=1))


def _images(file: Path, rows: list[dict[str, Any]]) -> Iterator[tuple[str, bytes]]:
    for row in rows:
        name = field(row, "id", str(file))
        if not re.fullmatch(r"[\w-]+", name):
            raise UserError(f"{file}: id {name[:60]!r} is no plain name: get the file again")
        for number in IMAGES:
            if image := row.get(f"image_{number}"):
                data = image.get("bytes") if isinstance(image, dict) else image
                if not isinstance(data, bytes) or not data:
                    raise UserError(f"{file}, {name}: image_{number} is empty: get the file again")
                yield f"{name}-{number}", data


def options_of(row: Mapping[str, Any], where: str) -> dict[str, str]:
    """Letter -> option; empty for an open question."""
    texts = literal_list(field(row, "options", where), where)
    return {chr(ord("A") + i): text for i, text in enumerate(texts)}


def phrased(question: str, options: Mapping[str, str], prompt: str) -> str:
    """The text of a question as ``official`` ((A) lines), ``lmms-eval`` (A. lines) or
    ``vlmevalkit`` words it; markers of images stay."""
    if prompt == "vlmevalkit":
        return vlmevalkit_choice(question, options) if options else f"Question: {question}\n"
    if not options:
        return f"{question}\n\n{SHORT_ANSWER}"
    if prompt == "lmms-eval":
        return f"{question}\n{listed(options)}\n\n{LETTER}"
    return f"{question}\n\n{listed(options, '({}) {}')}\n\n{LETTER}"


def ordered_images(text: str, images: Mapping[int, Path]) -> tuple[Path, ...]:
    """Images by the first marker that names them; all of them where no marker does."""
    named = dict.fromkeys(int(number) for number in MARKER.findall(text))
    found = tuple(images[number] for number in named if number in images)
    return found or tuple(images.values())


def answer_files(asked: Sequence[Sample], rows: pd.DataFrame) -> dict[str, str]:
    """``answers.json``, id -> letter or reply, for the official "evaluation only" route."""
    table = zip(rows["id"], rows["choice"], rows["parsed"], rows["reply"], strict=True)
    # In a table None may have become NaN, which no reader of JSON takes.
    answers = {i: (p if isinstance(p, str) else "") if c else r for i, c, p, r in table}
    return {"answers.json": json.dumps(answers, indent=1, ensure_ascii=False) + "\n"}
