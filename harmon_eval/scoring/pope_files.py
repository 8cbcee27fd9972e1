"""POPE's question files: three sources, three splits each, whose yes questions are the same.

Source: AoiDragon/POPE @ 08d957b, folders output/coco and output/seem.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from harmon_eval.core import UserError
from harmon_eval.scoring.question_files import field as value
from harmon_eval.scoring.question_files import read_json_rows

SPLITS = ("random", "popular", "adversarial")
FILES = {
    "coco": "coco_pope_{}.json",
    "aokvqa": "aokvqa_pope_seem_{}.json",
    "gqa": "gqa_pope_seem_{}.json",
}


@dataclass
class Question:
    """A distinct (image, text) of a source; ``rows`` holds its ids in each split."""

    source: str
    release: str
    image: str
    text: str
    label: str
    rows: dict[str, list[int]] = field(default_factory=dict)


def distinct_questions(folder: Path) -> Iterator[Question]:
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
        found: dict[tuple[str, str], Question] = {}
        for split, file in files.items():
            for row in rows[split]:
                key = value(row, "image", str(file)), value(row, "text", str(file))
                label = value(row, "label", str(file))
                question = found.setdefault(key, Question(source, release, *key, label))
                if label not in ("yes", "no") or label != question.label:
                    raise UserError(f"{file}: {key[1]!r} about {key[0]} needs one label, yes or no")
                number = int(value(row, "question_id", str(file)))
                question.rows.setdefault(split, []).append(number)
        yield from found.values()
