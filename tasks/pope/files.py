"""POPE's question files: three sources, three splits each, whose yes questions are the same.

Source: AoiDragon/POPE @ 08d957b, folders output/coco and output/seem. Copies of the COCO part are
read too: the hub's Parquet files (lmms-lab/POPE, either config) and VLMEvalKit's POPE.tsv.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harmon_eval.core import Sample, Source, UserError
from harmon_eval.files.packed_questions import (
    find_files,
    read_parquet_images,
    read_tsv_images,
    vlmevalkit_table,
)
from harmon_eval.files.question_files import field as value
from harmon_eval.files.question_files import find_image, read_json_rows, whole_number
from harmon_eval.replies.prompts import YES_OR_NO
from harmon_eval.replies.yes_no import first_line
from harmon_eval.store.digests import sha256_of

if TYPE_CHECKING:
    import pandas as pd

SPLITS = ("random", "popular", "adversarial")
FILES = {
    "coco": "coco_pope_{}.json",
    "aokvqa": "aokvqa_pope_seem_{}.json",
    "gqa": "gqa_pope_seem_{}.json",
}
TSV, HUB, HUB_SPLIT = "POPE.tsv", ("data/test-*.parquet", "test-*.parquet"), "Full/{}-*.parquet"
PATTERNS = (FILES["coco"].format("random"), TSV, *HUB, HUB_SPLIT.format("random"))
OFFICIAL = Source(
    PATTERNS,
    "output/coco/*.json and output/seem/*/*.json of AoiDragon/POPE, and the images named there "
    "(COCO val2014, GQA) as images/",
    (vlmevalkit_table("VLMEval/POPE.tsv", "c12f5acb142f2ef1f85a26ba2fbe41d5"),),
)
# The release of 3,000 questions a file, as sha256sum prints it.
SUMS = """
ac25245170b975a5bdf9080b23fd431dfe6be458bc038259c1f4f09a6bef7994  coco_pope_random.json
72c1a8ad45d0c13514f5f22598261df41d3b533854d29682e924db50ed8aa753  coco_pope_popular.json
420b3407db1fa9f1187a805dca41cb7b97fd91504e6c2179706188c107fb8ef8  coco_pope_adversarial.json
f06eecde6d6ef4a00b95a7bbb510490708a09a6a67d952b59b8bdd33ac2c7200  aokvqa_pope_seem_random.json
2ae5bedee3450cda52f9b033942c7b04a3917a86a110e859a66c1e41934c6ffd  aokvqa_pope_seem_popular.json
2ddd3bdfa0df7a77a2cb1765ed06ac5ed190b5a093aa405b96986e862e8cdac1  aokvqa_pope_seem_adversarial.json
6ce488eade3770185034939fabfe742fa32ed369011c8d9c3ac77bc0c85abd94  gqa_pope_seem_random.json
dd03f06a458dd216e83233160fbf6628af9c63c84b11e99599f4fc0304b3361d  gqa_pope_seem_popular.json
74e01b41d8308e2392e3b8d961167496ff3901c01100265d931a7a392f138a7a  gqa_pope_seem_adversarial.json
"""
DIGESTS = {name: digest for digest, name in map(str.split, SUMS.strip().splitlines())}


@dataclass
class Question:
    """A distinct (image, text) of a source; ``rows`` holds its ids in each split, 0 where a copy
    does not have them."""

    source: str
    release: str
    image: str
    text: str
    label: str
    rows: dict[str, list[int]] = field(default_factory=dict)


def read_questions(folder: Path, published: bool = False) -> Iterator[tuple[Question, Path]]:
    """Distinct questions with their images, of the official files if they are there, else of a
    copy. With ``published`` the official files must be those of the authors. Raises UserError."""
    if not (folder / PATTERNS[0]).is_file() and (rows := _copied_rows(folder)):
        yield from _copied(rows, str(folder))
        return
    images = [folder / "images", folder / "val2014", folder]
    for question in distinct_questions(folder, published):
        yield question, find_image(question.image, images)


def distinct_questions(folder: Path, published: bool = False) -> Iterator[Question]:
    """Sources whose files are there. Raises UserError for missing splits and unclear labels.

    The release is named after the size of the random split: pope-3000, or the older pope-2910."""
    for source, pattern in FILES.items():
        files = {split: folder / pattern.format(split) for split in SPLITS}
        missing = [file for file in files.values() if not file.is_file()]
        if len(missing) == len(files):
            continue
        if missing:
            raise UserError(f"{missing[0]} is missing: POPE's {source} part needs all three splits")
        rows = {split: read_json_rows(file) for split, file in files.items()}
        release = f"pope-{len(rows['random'])}"
        if published and release == "pope-3000":
            _check_digests(files.values())
        found: dict[tuple[str, str], Question] = {}
        for split, file in files.items():
            for row in rows[split]:
                key = value(row, "image", str(file)), value(row, "text", str(file))
                label = value(row, "label", str(file))
                number = whole_number(row, "question_id", str(file))
                _add(found, Question(source, release, *key, label), split, number, str(file))
        yield from found.values()


def _check_digests(files: Any) -> None:
    for file in files:
        if sha256_of(file) != DIGESTS[file.name]:
            raise UserError(f"{file} is not the published file: get it again from AoiDragon/POPE")


def _add(found: dict[Any, Question], new: Question, split: str, number: int, where: str) -> None:
    question = found.setdefault((new.image, new.text), new)
    if new.label not in ("yes", "no") or new.label != question.label:
        raise UserError(f"{where}: {new.text!r} about {new.image} needs one label, yes or no")
    question.rows.setdefault(split, []).append(number)


# -- copies ----------------------------------------------------------------------------------


def _copied_rows(folder: Path) -> list[tuple[dict[str, Any], list[str], Path]]:
    """(row, its splits, image) of the first copy that is there; empty where none is."""
    if (file := folder / TSV).is_file():
        table = read_tsv_images(file)
        return [(r, value(r, "category", str(file)).split(","), i[0]) for r, i in table]
    apart = {s: find_files(folder, [HUB_SPLIT.format(s)]) for s in SPLITS}
    if any(apart.values()):
        if missing := [split for split, files in apart.items() if not files]:
            raise UserError(f"{folder}/Full has no {missing[0]}-*.parquet: POPE needs all splits")
        return [(r, [s], i[0]) for s, files in apart.items() for r, i in read_parquet_images(files)]
    table = read_parquet_images(find_files(folder, HUB))
    return [(r, [value(r, "category", f"{folder}, a row")], i[0]) for r, i in table]


def _copied(
    rows: list[tuple[dict[str, Any], list[str], Path]], where: str
) -> Iterator[tuple[Question, Path]]:
    release = f"pope-{sum('random' in map(str.strip, splits) for _, splits, _ in rows)}"
    found: dict[Any, Question] = {}
    pictures: dict[tuple[str, str], Path] = {}
    for row, splits, picture in rows:
        text = value(row, "question", where).removesuffix(YES_OR_NO).strip()
        image = str(row.get("image_source") or picture.stem)
        label = value(row, "answer", where).strip().lower()
        number = int(row.get("question_id") or 0)
        pictures.setdefault((image, text), picture)
        for split in map(str.strip, splits):
            if split not in SPLITS:
                raise UserError(f"{where}: POPE has no split {split!r}: get the file again")
            _add(found, Question("coco", release, image, text, label), split, number, where)
    for key, question in found.items():
        yield question, pictures[key]


# -- answers -----------------------------------------------------------------------------------


def answer_files(asked: Sequence[Sample], rows: pd.DataFrame) -> dict[str, str]:
    """Answer files for the official script, in its order; only of files answered completely."""
    replies = dict(zip(rows["id"], rows["reply"], strict=True))
    lines: dict[str, dict[int, str]] = {}
    for sample in asked:
        reply = replies.get(sample.id)
        line = {"question": sample.target["text"], "answer": first_line(reply or "")}
        text = "" if reply is None else json.dumps(line) + "\n"
        for split, ids in sample.target["rows"].items():
            name = "answers/" + FILES[sample.target["source"]].format(split)
            lines.setdefault(name, {}).update(dict.fromkeys(ids, text))
    # Without the official ids there is no official order.
    whole = {name: found for name, found in lines.items() if all(found.values()) and min(found)}
    return {name: "".join(found[i] for i in sorted(found)) for name, found in whole.items()}
