"""DSG-1k: does the image show what each part of the prompt says, as a graph of questions?

Paper: Cho et al. 2023, arXiv 2310.18235. Protocol: j-min/DSG @ 7330119. A judge answers each
question with yes or no. A yes counts only if the questions that it depends on were answered yes
too (``direct``, what the released code does; its README describes another rule).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence

from harmon_eval.core import About, Data, Remote, Source, UserError
from harmon_eval.files.question_files import field, read_separated, say_fewer
from harmon_eval.tasks.checklist.asking import read_templates
from harmon_eval.tasks.checklist.benchmark import Checklist, benchmark
from harmon_eval.tasks.checklist.files import Item, Point, check_items
from harmon_eval.tasks.checklist.rules import Protocol
from harmon_eval.tasks.dsg import mini

FILE = "dsg-1k-anns.csv"
PROTOCOL = Protocol(dependency="direct")
logger = logging.getLogger(__name__)


def load(data: Data) -> Checklist:
    """Raises UserError naming the row and the column."""
    file = data.folder / FILE
    rows = read_separated(file)
    own: dict[str, list[Mapping[str, str]]] = {}
    for row in rows:
        own.setdefault(field(row, "item_id", str(file)), []).append(row)
    items = [_item(name, rows, f"{file}, item {name!r}") for name, rows in own.items()]
    if not items:
        raise UserError(f"{file} holds no questions")
    check_items(items, str(file))
    if data.suite == "official":
        say_fewer(len(items), 1060, "prompt", file)
    return Checklist(items, PROTOCOL, read_templates(data.folder))


def _item(name: str, rows: Sequence[Mapping[str, str]], where: str) -> Item:
    parents = [_parents(field(row, "dependency", where)) for row in rows]
    ids = [field(row, "proposition_id", where).strip() for row in rows]
    if not all(ids):
        raise UserError(f"{where}: the proposition_id of a question is empty: get the file again")
    # The released loader drops all dependencies of an item where one of them cannot be read.
    broken = any(own is None or not set(own) <= set(ids) for own in parents)
    if broken:
        logger.warning("%s: its dependencies cannot be followed and are left out", where)
    points = [
        Point(
            id=number,
            text=field(row, "question_natural_language", where).strip(),
            parents=() if broken else tuple(own or ()),
            kind="/".join(field(row, "tuple", where).split("(")[0].strip().split(" - ")),
        )
        for number, row, own in zip(ids, rows, parents, strict=True)
    ]
    group = {"source": re.sub(r"[_\d]*$", "", name) or name}
    return Item(name, tuple(points), field(rows[0], "text", where).strip(), group)


def _parents(written: str) -> list[str] | None:
    """The ids of a comma list, 0 being none; None for what is no such list."""
    parts = [part.strip() for part in written.split(",")]
    if not all(part.isdecimal() for part in parts):
        return None
    return [part for part in parts if int(part)]


TASK = benchmark(
    "dsg",
    load,
    protocol=PROTOCOL,
    about=About(
        paper="arXiv 2310.18235",
        version="1",
        protocol="j-min/DSG @ 7330119: direct dependencies, mean over points, then over prompts",
        differs="An image with a question that has no yes or no is unscored with bounds; the "
        "original gives 0 to an item without answers. The rows' `source` gives DSG's parts.",
        compares="Published rows are those of mPLUG-large, InstructBLIP and PaLI-17B as judges; "
        "the judge is part of the metric's name. Four images a prompt are averaged first.",
        licence="Apache-2.0 (j-min/DSG)",
        size="1,060 prompts, 8,182 questions, 4 images a prompt",
        cost="4,240 drawings, each asked all questions of its graph",
    ),
    sources={
        "official": Source(
            files=(FILE,),
            text="dsg-1k-anns.csv of j-min/DSG",
            downloads=(
                Remote(f"https://raw.githubusercontent.com/j-min/DSG/7330119/{FILE}", FILE),
            ),
        ),
        "mini": Source(make=mini.make),
    },
)
