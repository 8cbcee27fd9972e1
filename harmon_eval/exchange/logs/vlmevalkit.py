"""Predictions of VLMEvalKit: ``MODEL_DATASET.xlsx`` (or .tsv, .json), and beside it the file with
marks (``..._result.xlsx``) and the totals (``..._acc.csv``, ``..._score.csv``).

Pickles, which it writes too, are never opened.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harmon_eval.core import UserError
from harmon_eval.exchange.logs.log import (
    LETTERS,
    MAX_FILE,
    Log,
    LoggedSample,
    LoggedTask,
    number,
    parsed,
    plain,
    text_of,
)
from harmon_eval.files.question_files import read_separated

NEEDED = {"index", "question", "prediction"}
SUFFIXES = (".xlsx", ".tsv", ".json")
MARKS = ("hit", "score", "match", "acc")
FAILED = "Failed to obtain answer"  # what stands for a reply where the request failed
MAX_ROWS = 2**20


def read(place: Path) -> Log | None:
    """None for what is no such file. Raises UserError for a pickle, and where the model's or the
    dataset's name is not in the file's name."""
    if place.suffix == ".pkl":
        raise UserError(f"{place} is a pickle, which may run any code: give the .xlsx or .tsv file")
    if place.suffix not in SUFFIXES:
        return None
    rows = _rows(place)
    if not rows or not rows[0].keys() >= NEEDED:
        return None
    model, dataset = _named(place)
    marked = _marked(place)
    samples = [_sample(row, marked.get(plain(row["index"]), {})) for row in rows]
    task = LoggedTask(dataset, samples, _totals(place))
    return Log("vlmevalkit", model, [task], files=[place])


def _named(place: Path) -> tuple[str, str]:
    """Model and dataset: the folder is called like the model, or else the first underscore parts
    them."""
    for folder in place.absolute().parents[:3]:
        if folder.name and place.stem.startswith(f"{folder.name}_"):
            return folder.name, place.stem.removeprefix(f"{folder.name}_")
    model, _, dataset = place.stem.partition("_")
    if not dataset:
        raise UserError(f"{place}: VLMEvalKit calls its files MODEL_DATASET.xlsx: rename it")
    return model, dataset


def _rows(file: Path) -> list[dict[str, Any]]:
    if file.suffix == ".xlsx":
        return list(_spreadsheet(file))
    if file.suffix == ".tsv":
        return [dict(row) for row in read_separated(file, "\t")]
    value = parsed(text_of(file), file)
    if isinstance(value, dict) and value and all(isinstance(v, dict) for v in value.values()):
        columns = {str(name): list(own.values()) for name, own in value.items()}
        return [
            dict(zip(columns, row, strict=False)) for row in zip(*columns.values(), strict=False)
        ]
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def _spreadsheet(file: Path) -> Iterator[dict[str, Any]]:
    try:
        from openpyxl import load_workbook
        from openpyxl.utils.exceptions import InvalidFileException
    except ModuleNotFoundError:
        raise UserError(
            f"{file} needs the package openpyxl: pip install 'harmon-eval[submission]'"
        ) from None
    from xml.etree.ElementTree import ParseError
    from zipfile import BadZipFile, ZipFile

    try:
        with ZipFile(file) as archive:
            if sum(member.file_size for member in archive.infolist()) > MAX_FILE:
                raise UserError(f"{file} unpacks to more than {MAX_FILE:,} bytes: it is not read")
        sheet = load_workbook(file, read_only=True, data_only=True).worksheets[0]
        lines = sheet.iter_rows(values_only=True, max_row=MAX_ROWS)
        names = [str(name) for name in next(lines, ())]
        for line in lines:
            yield dict(zip(names, line, strict=False))
    except (OSError, BadZipFile, InvalidFileException, KeyError, ParseError, IndexError) as error:
        raise UserError(f"{file} is no sound spreadsheet ({str(error)[:80]})") from None


def _marked(place: Path) -> dict[str, Mapping[str, Any]]:
    """Rows with marks by index, of the file that the evaluation wrote."""
    for pattern in ("{}_*result.xlsx", "{}_*result.tsv", "{}_auxmatch.xlsx", "{}_score.xlsx"):
        for file in sorted(place.parent.glob(pattern.format(_escaped(place.stem)))):
            rows = _rows(file)
            if rows and "index" in rows[0] and any(mark in rows[0] for mark in MARKS):
                return {plain(row["index"]): row for row in rows}
    return {}


def _totals(place: Path) -> dict[str, float]:
    for end in ("_acc.csv", "_score.csv"):
        file = place.with_name(place.stem + end)
        if file.is_file():
            rows = read_separated(file, ",")
            if len(rows) == 1 or (rows and rows[0].get("split")):
                return {
                    k: v for k, v in ((k, _number(v)) for k, v in rows[0].items()) if v is not None
                }
    return {}


def _number(text: object) -> float | None:
    try:
        value = float(str(text))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _sample(row: Mapping[str, Any], marked: Mapping[str, Any]) -> LoggedSample:
    options = {c: plain(row[c]) for c in LETTERS if not _is_empty(row.get(c))}
    said = None if _is_empty(row["prediction"]) else plain(row["prediction"])
    failed = said is not None and FAILED in said
    every = {**row, **marked}
    values = {name: _number(every[name]) for name in MARKS if name in every}
    marks = {name: value for name, value in values.items() if number(value) is not None}
    hint = "" if _is_empty(row.get("hint")) else f"{plain(row['hint'])}\n"
    images = row.get("image_path")
    return LoggedSample(
        id=plain(row["index"]),
        question=hint + plain(row["question"]),
        answers=[] if _is_empty(row.get("answer")) else [plain(row["answer"])],
        reply=None if failed else said,
        read=None if failed else said,
        images=[plain(images)] if isinstance(images, str) and len(images) < 500 else [],
        options=options,
        marks={k: v for k, v in marks.items() if v is not None},
        error="the request failed" if failed else "",
        keys={plain(row["index"]), *(plain(row[k]) for k in ("id", "question_id") if row.get(k))},
    )


def _is_empty(value: object) -> bool:
    missing = value is None or (isinstance(value, float) and math.isnan(value))
    return missing or str(value).strip().lower() in ("", "nan")


def _escaped(name: str) -> str:
    return "".join(f"[{c}]" if c in "[*?" else c for c in name)
