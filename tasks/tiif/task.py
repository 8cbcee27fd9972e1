"""TIIF-Bench: does the image follow a short and a long wording of the same instruction?

Paper: Wei et al. 2025, arXiv 2506.02161. Protocol: A113N-W3I/TIIF-Bench @ 3aae750. A judge answers
all questions about an image at once, one line each. Points are added up by attribute and length,
then by the nine groups of attributes, then over the groups; short and long prompts stay apart.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harmon_eval.core import About, Data, Source, Task, UserError
from harmon_eval.files.question_files import field, read_json_rows
from harmon_eval.tasks.checklist.asking import read_templates
from harmon_eval.tasks.checklist.benchmark import Checklist, benchmark, only_shuffle
from harmon_eval.tasks.checklist.files import NO, YES, Item, Point, check_items
from harmon_eval.tasks.checklist.rules import BY
from harmon_eval.tasks.tiif import mini
from harmon_eval.tasks.tiif.rules import PROTOCOL

if TYPE_CHECKING:
    import pandas as pd

EVALUATION, DRAWN = "*_eval_prompts.jsonl", "*_prompts.jsonl"
logger = logging.getLogger(__name__)
LENGTHS = {"short": "short_description", "long": "long_description"}


def load(data: Data) -> Checklist:
    """Raises UserError for lists of unequal length and for prompts that are missing."""
    files = sorted(data.folder.rglob(EVALUATION))
    if not files:
        raise UserError(f"{data.folder} holds no {EVALUATION}")
    items = [item for file in files for item in _items(data.folder, file)]
    check_items(items, str(data.folder))
    asked = {file.name.replace("_eval_prompts", "_prompts") for file in files}
    for file in sorted(data.folder.rglob(DRAWN)):
        if file not in files and file.name not in asked:
            logger.warning("%s is left out: there are no questions about its prompts", file)
    return Checklist(items, PROTOCOL, read_templates(data.folder))


def _items(folder: Path, file: Path) -> Iterator[Item]:
    name = file.name.replace("_eval_prompts", "_prompts")
    places = [place for place in sorted(folder.rglob(name)) if place != file]
    if not places:
        raise UserError(f"{file} has no prompts beside it: put {name} there")
    asked, drawn = read_json_rows(file), read_json_rows(places[0])
    if len(asked) != len(drawn):
        raise UserError(f"{file} has {len(asked)} lines, {places[0]} {len(drawn)}: get both again")
    stem = re.sub(r"[^\w.-]", "-", file.stem.removesuffix("_eval_prompts"))
    for number, (questions, prompts) in enumerate(zip(asked, drawn, strict=True)):
        where = f"{file}, line {number + 1}"
        points, attribute = _points(questions, where), field(questions, "type", where).strip()
        if not attribute:
            raise UserError(f"{where}: the field 'type' is empty: get the file again")
        for length, key in LENGTHS.items():
            yield Item(
                f"{stem}-{number:04d}-{length}",
                points,
                field(prompts, key, f"{places[0]}, line {number + 1}"),
                {"attribute": attribute, "length": length},
                images=1,
            )


def _points(row: Mapping[str, Any], where: str) -> tuple[Point, ...]:
    texts, answers = row.get("yn_question_list"), row.get("yn_answer_list")
    if not isinstance(texts, list) or not isinstance(answers, list) or len(texts) != len(answers):
        raise UserError(f"{where}: yn_question_list and yn_answer_list must be lists, equally long")
    expected = [str(answer).strip().lower() for answer in answers]
    if odd := [answer for answer in expected if answer not in (YES, NO)]:
        raise UserError(f"{where}: the answer {odd[0]!r} is neither yes nor no")
    return tuple(
        Point(str(number), str(text).strip(), expect=answer)
        for number, (text, answer) in enumerate(zip(texts, expected, strict=True), start=1)
    )


def _instruction(item: Item) -> tuple[str, str]:
    """Both wordings of an instruction are one group."""
    return item.id.rpartition("-")[0], item.group["attribute"]


def of_length(rows: pd.DataFrame, metric: str) -> pd.Series:
    return rows[f"{BY}length"] == metric.removeprefix("total/")


ABOUT = About(
    paper="arXiv 2506.02161",
    version="2",
    protocol="A113N-W3I/TIIF-Bench @ 3aae750: points by attribute and length, the nine groups, "
    "then their mean; `total/short` and `total/long` are the published overalls",
    differs="The headline is the mean of the two overalls; the original gives no such number. "
    "A reply needs one line for each question, with a number or bullet before it at most; the "
    "original asks again without end, here the image is unscored after three tries. The "
    "question is our wording unless you give ask.txt.",
    compares="Published rows are GPT-4o's at temperature 1, with one of three wordings drawn "
    "at random. Missing images shrink the original's denominators without a word.",
    licence="none stated: bring the files",
    size="testmini: 277 instructions, short and long; full: 2,538",
    cost="one drawing and one judge request for each wording",
)
SOURCES = {
    "official": Source(
        files=(EVALUATION, f"*/{EVALUATION}"),
        text="the prompts of TIIF-Bench: *_eval_prompts.jsonl and the *_prompts.jsonl of the "
        "same names",
    ),
    "mini": Source(make=mini.make),
}


def open_task(argument: str = "") -> Task:
    """``tiif:shuffle=SEED`` asks about the points in another order."""
    return benchmark(
        "tiif",
        load,
        protocol=PROTOCOL,
        total=of_length,
        place=_instruction,
        about=ABOUT,
        sources=SOURCES,
        shuffle=only_shuffle("tiif", argument),
    )


TASK = open_task()
