"""UniGenBench++: which of 27 kinds of test points does the image meet?

Paper: Wang et al. 2025, arXiv 2510.18701. Protocol: CodeGoat24/UniGenBench @ 49d0bce. A judge marks
all criteria of an image with a list of 0 and 1. Points are added up by kind; the headline is the
mean of the primary dimensions, which the original does not compute.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from harmon_eval.core import About, Data, Remote, Row, Source, Task, UserError
from harmon_eval.files.question_files import field, read_separated, say_fewer
from harmon_eval.settings import variant
from harmon_eval.tasks.checklist.asking import read_templates
from harmon_eval.tasks.checklist.benchmark import (
    Checklist,
    Published,
    as_published,
    benchmark,
    shuffle_of,
)
from harmon_eval.tasks.checklist.files import Item, Point, check_items
from harmon_eval.tasks.unigenbench import mini
from harmon_eval.tasks.unigenbench.rules import PROTOCOL, published_scores, published_totals

if TYPE_CHECKING:
    import pandas as pd

# Part: file, column of the prompts, column and keys of the points.
PARTS = {
    "en": ("test_prompts_en.csv", "en", ("Testpoints", "Testpoint Description")),
    "en_long": ("test_prompts_en_long.csv", "en", ("Testpoints", "Testpoint Description")),
    "zh": ("test_prompts_zh.csv", "zh", ("考点", "考点对应描述")),
    "zh_long": ("test_prompts_zh_long.csv", "zh", ("考点", "考点对应描述")),
}


def load(data: Data, part: str) -> Checklist:
    """Raises UserError naming the row whose points cannot be read."""
    file, language, keys = PARTS[part]
    place = data.folder / file
    items = [
        _item(row, language, keys, f"{place}, row {number}")
        for number, row in enumerate(read_separated(place), start=2)
    ]
    if not items:
        raise UserError(f"{place} holds no prompts: get it again")
    check_items(items, str(place))
    if data.suite == "official":
        say_fewer(len(items), 600, "prompt", place)
    return Checklist(items, PROTOCOL, read_templates(data.folder))


def _item(row: Mapping[str, str], language: str, keys: tuple[str, str], where: str) -> Item:
    try:
        table = json.loads(field(row, f"sub_dims_{language}", where))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where}: its test points are no JSON ({error}): mend that row") from None
    kinds, texts = (table.get(key) if isinstance(table, dict) else None for key in keys)
    if not isinstance(kinds, list) or not isinstance(texts, list) or len(kinds) != len(texts):
        raise UserError(f"{where}: {' and '.join(keys)} must be lists, equally long")
    points = tuple(
        Point(str(number), str(text).strip(), kind=_path(str(kind)))
        for number, (kind, text) in enumerate(zip(kinds, texts, strict=True), start=1)
    )
    prompt = field(row, f"prompt_{language}", where)
    return Item(field(row, "index", where).strip(), points, prompt, images=4)


def _path(kind: str) -> str:
    """``Attribute - Size`` as a path; a slash inside a name is no step of it."""
    return "/".join(part.strip() for part in re.split("-", kind.replace("/", "|"), maxsplit=1))


def _column(kind: str) -> str:
    return f"published {kind}"


def row(item: Item, replies: Sequence[str]) -> Row:
    """What the published script makes of the reply: sums of each primary dimension."""
    try:
        scores: Sequence[Any] | None = published_scores(replies[0], len(item.points))
    except TypeError:
        scores = None
    primary, _ = published_totals([([p.kind.replace("/", "-") for p in item.points], scores)])
    found: Row = {"published": 1.0 if primary else None}
    for name, (right, total) in primary.items():
        found |= {f"published right:{name}": float(right), f"published of:{name}": float(total)}
    return found


def totals(rows: pd.DataFrame) -> dict[str, float]:
    start = "published of:"
    names = sorted(c.removeprefix(start) for c in rows.columns if c.startswith(start))
    found = {}
    for name in names:
        if total := float(rows[start + name].sum()):
            right = float(rows[f"published right:{name}"].sum())
            found[f"as_published/{name.strip()}"] = 100 * right / total
    return found


def open_task(part: str = "") -> Task:
    """``unigenbench:PART``: en (short English prompts), en_long, zh or zh_long; behind it
    ``+shuffle=SEED`` for the points in another order."""
    part, shuffle = shuffle_of(part)
    chosen = variant(part, part=tuple(PARTS))["part"]
    file = PARTS[chosen][0]
    return benchmark(
        "unigenbench",
        partial(load, part=chosen),
        protocol=PROTOCOL,
        shuffle=shuffle,
        published=Published(row, totals, as_published("as_published/*", column="published")),
        about=About(
            paper="arXiv 2510.18701",
            version="2",
            protocol="CodeGoat24/UniGenBench @ 49d0bce; right points by kind",
            differs="The headline is the mean over the 27 kinds; the original prints dimensions "
            "only. Replies are read from the last <score> with 0 and 1 in it, thoughts removed "
            "first; the original takes the first <score>, of a thought too, asks again up to "
            "eleven times and then skips the image. `as_published/*` keep its reading. The "
            "question is our wording unless you give ask.txt.",
            compares="Published rows are Gemini-2.5-Pro's or those of a tuned Qwen-VL.",
            licence="CC BY 4.0 (CodeGoat24/UniGenBench, License.txt)",
            size="600 prompts x 4 images; 1,813 points (short English)",
            cost="2,400 drawings, one judge request each",
        ),
        sources={
            "official": Source(
                files=(file,),
                text=f"data/{file} of CodeGoat24/UniGenBench",
                downloads=(
                    Remote(
                        "https://raw.githubusercontent.com/CodeGoat24/UniGenBench/49d0bce/data/"
                        + file,
                        file,
                    ),
                ),
            ),
            "mini": Source(
                make=partial(mini.make, file=file, language=PARTS[chosen][1], keys=PARTS[chosen][2])
            ),
        },
    )


TASK = open_task()
