"""MME's release folder, copies of it, its evaluation files, and its sums.

Source: the official tool of BradyFU/Awesome-Multimodal-Large-Language-Models @ dd29509. Copies: the
hub's Parquet files (lmms-lab/MME) and VLMEvalKit's MME.tsv.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harmon_eval.core import Sample, Source, UserError
from harmon_eval.files.found import find_suffix
from harmon_eval.files.packed_questions import (
    find_files,
    read_parquet_images,
    read_tsv_images,
    vlmevalkit_table,
)
from harmon_eval.files.question_files import field, read_text
from harmon_eval.replies.yes_no import first_line

if TYPE_CHECKING:
    import pandas as pd

# Images a subtask; every image has one question whose answer is Yes and one whose answer is No.
PERCEPTION = {
    "existence": 30,
    "count": 30,
    "position": 30,
    "color": 30,
    "posters": 147,
    "celebrity": 170,
    "scene": 200,
    "landmark": 200,
    "artwork": 200,
    "OCR": 20,
}
COGNITION = {
    "commonsense_reasoning": 70,
    "numerical_calculation": 20,
    "text_translation": 20,
    "code_reasoning": 20,
}
SUBTASKS = {**PERCEPTION, **COGNITION}
TSV, HUB = "MME.tsv", ("data/test-*.parquet", "test-*.parquet")
PATTERNS = ("existence", TSV, *HUB)
OFFICIAL = Source(
    PATTERNS,
    "the 14 folders of MME_Benchmark_release_version (by request to the authors)",
    (vlmevalkit_table("VLMEval/MME.tsv", "b36b43c3f09801f5d368627fb92187c3"),),
)


@dataclass(frozen=True)
class Question:
    """``image`` is the image's name, unique within its subtask only; ``truth`` is Yes or No."""

    subtask: str
    image: str
    file: Path
    text: str
    truth: str


def read_questions(folder: Path) -> Iterator[Question]:
    """All questions, of the release if it is there, else of a copy, those of an image adjacent.

    Raises UserError for a missing subtask, and for an image without its pair of questions."""
    released = (folder / PATTERNS[0]).is_dir()
    if not released and (file := folder / TSV).is_file():
        yield from _copied(read_tsv_images(file), str(file), "image_path")
    elif not released and (files := find_files(folder, HUB)):
        yield from _copied(read_parquet_images(files), str(folder), "question_id")
    else:
        yield from read_release(folder)


def _copied(
    table: Iterator[tuple[dict[str, Any], tuple[Path, ...]]], where: str, name: str
) -> Iterator[Question]:
    """``name`` is the column whose last path segment names the image."""
    pairs: dict[tuple[str, str], dict[str, Question]] = {}
    for row, (file, *_) in table:
        subtask, truth = field(row, "category", where), field(row, "answer", where)
        image = field(row, name, where).rpartition("/")[2]
        pair = pairs.setdefault((subtask, image), {})
        if subtask not in SUBTASKS or truth not in ("Yes", "No") or truth in pair:
            raise UserError(
                f"{where}: {subtask}/{image} needs one question whose answer is Yes "
                "and one whose answer is No, of one of 14 subtasks"
            )
        pair[truth] = Question(subtask, image, file, field(row, "question", where), truth)
    for subtask in SUBTASKS:
        own = [pair for (part, _), pair in pairs.items() if part == subtask]
        if not own or min(map(len, own)) < 2:
            raise UserError(f"{where}: {subtask} is missing or has half a pair: get it again")
        for pair in own:
            yield from (pair["Yes"], pair["No"])


def read_release(folder: Path) -> Iterator[Question]:
    """The release, in both of its layouts."""
    for subtask in SUBTASKS:
        part = folder / subtask
        if not part.is_dir():
            raise UserError(f"{part} is missing: MME needs all 14 subtasks")
        texts, images = part / "questions_answers_YN", part / "images"
        if not (texts.is_dir() and images.is_dir()):
            texts = images = part
        files = sorted(texts.glob("*.txt"))
        if not files:
            raise UserError(f"{texts} holds no questions: unpack MME's release again")
        for file in files:
            image = find_suffix(images / file.stem)
            if not image.is_file():
                raise UserError(f"the image of {file} is missing: put it into {images}")
            lines = [line.split("\t") for line in read_text(file).splitlines() if line]
            if sorted(line[-1] for line in lines) != ["No", "Yes"] or {*map(len, lines)} != {2}:
                raise UserError(f"{file}: needs two lines, question TAB Yes and question TAB No")
            for question, answer in lines:
                yield Question(subtask, image.name, image, question, answer)


def check_sizes(found: Mapping[str, int]) -> None:
    """Raises UserError where the images a subtask are not those of the release."""
    for subtask, size in SUBTASKS.items():
        if found.get(subtask) != size:
            raise UserError(
                f"MME's {subtask} has {found.get(subtask, 0)} images, not {size}: "
                "unpack the release again"
            )


def answer_files(asked: Sequence[Sample], rows: pd.DataFrame) -> dict[str, str]:
    """The files that the official tool reads, once a subtask is answered completely."""
    replies = dict(zip(rows["id"], rows["reply"], strict=True))
    lines: dict[str, list[str]] = {}
    for sample in asked:
        subtask, _, image = sample.group.partition("/")
        reply = replies.get(sample.id)
        asking = sample.target["question"], sample.target["truth"]
        line = "" if reply is None else evaluation_line(image, *asking, first_line(reply))
        lines.setdefault(f"Your_Results/{subtask}.txt", []).append(line)
    return {name: "".join(found) for name, found in lines.items() if all(found)}


def evaluation_line(image: str, question: str, truth: str, reply: str) -> str:
    """A line of the official tool's files: tabs and line breaks of a field become blanks."""
    return "\t".join(re.sub(r"[\t\r\n]", " ", f) for f in (image, question, truth, reply)) + "\n"


def subtask_scores(
    subtasks: np.ndarray, groups: np.ndarray, correct: np.ndarray
) -> dict[str, tuple[float, float]]:
    """Accuracy and accuracy+ of each subtask present, in percent.

    Pairs are formed by image. A subtask with half a pair (an unscored reply) is not a number."""
    import pandas as pd

    codes, _ = pd.factorize(groups)
    right, size = np.bincount(codes, weights=correct), np.bincount(codes)
    first = np.unique(codes, return_index=True)[1]
    scores = {}
    for name in SUBTASKS:
        own = subtasks[first] == name
        if not own.any():
            continue
        whole = (size[own] == 2).all()
        accuracy = float(right[own].sum() / size[own].sum())
        both = float((right[own] == 2).mean())
        scores[name] = (100 * accuracy, 100 * both) if whole else (math.nan, math.nan)
    return scores


def sums(scores: Mapping[str, tuple[float, float]]) -> dict[str, float]:
    """Perception and cognition; not a number unless all of their subtasks have a score."""
    return {
        name: sum(sum(scores.get(part, (math.nan, math.nan))) for part in parts)
        for name, parts in (("perception", PERCEPTION), ("cognition", COGNITION))
    }
