"""SpecV, text to image: a list of specified points, checked one by one.

Protocol: SpecV @ 2af3845, track t2i. A judge answers all questions about an image as JSON. The
score of a dimension is the mean of its items, the headline the mean of the dimensions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harmon_eval.core import About, Data, Row, Source, Task, UserError
from harmon_eval.files.question_files import field, read_json, say_fewer
from harmon_eval.tasks.checklist.asking import read_templates
from harmon_eval.tasks.checklist.benchmark import (
    Checklist,
    Published,
    as_published,
    benchmark,
    only_shuffle,
)
from harmon_eval.tasks.checklist.files import NO, WEIGHTS, YES, Item, Point, check_items
from harmon_eval.tasks.checklist.rules import BY
from harmon_eval.tasks.specv import mini
from harmon_eval.tasks.specv.rules import PROTOCOL, published_parse, published_score

if TYPE_CHECKING:
    import pandas as pd

FOLDER, PROMPT = "t2i", "prompt"


def load(data: Data) -> Checklist:
    """Raises UserError naming the file and what is wrong in it."""
    files = sorted((data.folder / FOLDER).glob("*/*.json"))
    items = [_item(file) for file in files]
    if not items:
        raise UserError(f"{data.folder}/{FOLDER} holds no DIMENSION/ID.json")
    check_items(items, str(data.folder))
    if data.suite == "official":
        say_fewer(len(items), 200, "item", data.folder / FOLDER)
    return Checklist(items, PROTOCOL, read_templates(data.folder))


def _item(file: Path) -> Item:
    table = read_json(file)
    rows = table.get("questions") if isinstance(table, dict) else table
    if not isinstance(rows, list) or not rows or not all(isinstance(r, dict) for r in rows):
        raise UserError(f"{file} must hold a list of questions")
    text = table.get(PROMPT, "") if isinstance(table, dict) else ""
    beside = file.with_suffix(".txt")
    prompt = str(text) or (beside.read_text("utf-8").strip() if beside.is_file() else "")
    if not prompt.strip():
        raise UserError(f"{file} holds no prompt: write it there, or into {beside.name} beside it")
    name = re.sub(r"[^\w.-]", "-", f"{file.parent.name}-{file.stem}")
    points = tuple(_point(row, f"{file}, question {n}") for n, row in enumerate(rows, start=1))
    return Item(name, points, prompt, {"dimension": file.parent.name}, images=1)


def _point(row: Mapping[str, Any], where: str) -> Point:
    expect = field(row, "expected_answer", where).strip().lower()
    if expect not in (YES, NO):
        raise UserError(f"{where}: the expected answer {expect!r} is neither Yes nor No")
    try:
        weight = float(field(row, "score", where))
    except ValueError:
        raise UserError(f"{where}: its score is no number") from None
    if not 0 <= weight <= WEIGHTS[1]:  # a sum of larger ones could be infinite
        raise UserError(f"{where}: its score must be from 0 to {WEIGHTS[1]:,.0f}, not {weight!r}")
    kind = "/".join(
        str(row[key]).replace("/", "|") for key in ("category", "subcategory") if row.get(key)
    )
    return Point(
        field(row, "id", where), field(row, "question", where), expect, weight=weight, kind=kind
    )


def row(item: Item, replies: Sequence[str]) -> Row:
    """The published score of the image; none where the script cannot read the reply."""
    parsed = published_parse(replies[0])
    answers = (
        {str(e.get("id")): e.get("answer") for e in parsed if isinstance(e, dict)}
        if isinstance(parsed, list)
        else {}
    )
    if not answers.keys() >= {point.id for point in item.points}:
        return {"published": None}
    points = [
        {"answer": answers[p.id], "expected_answer": p.expect.capitalize()} for p in item.points
    ]
    return {"published": published_score(points)}


def totals(rows: pd.DataFrame) -> dict[str, float]:
    """Rounded to two digits at every level, as published."""
    if "published" not in rows or rows["published"].isna().all():
        return {}
    own = rows[rows["published"].notna()]
    means = own.groupby(f"{BY}dimension")["published"].apply(lambda s: round(float(s.mean()), 2))
    return {"as_published": round(float(means.mean()), 2)}


ABOUT = About(
    paper="none",
    version="2",
    protocol="SpecV @ 2af3845, track t2i",
    differs="A reply must hold each point once, in any case of yes and no; the original counts "
    "`yes` for `Yes` as wrong (`as_published`, which also rounds at every level). Weights are "
    "read by nobody there and not used here either. The question is our wording unless you "
    "give ask.txt.",
    compares="No published rows are known to us.",
    licence="Apache-2.0 for the files; images and outputs are for research",
    size="200 items, 3,806 points",
    cost="200 drawings, one judge request each",
)
SOURCES = {
    "official": Source(
        files=(f"{FOLDER}/*/*.json",),
        text="the folder t2i of SpecV's data, with the prompts as t2i/DIMENSION/ID.txt where "
        "the files do not hold them",
    ),
    "mini": Source(make=mini.make),
}


def open_task(argument: str = "") -> Task:
    """``specv:shuffle=SEED`` asks about the points in another order."""
    return benchmark(
        "specv",
        load,
        protocol=PROTOCOL,
        published=Published(row, totals, as_published("as_published", column="published")),
        about=ABOUT,
        sources=SOURCES,
        shuffle=only_shuffle("specv", argument),
    )


TASK = open_task()
