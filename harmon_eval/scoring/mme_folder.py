"""MME's release folder and evaluation files, and its sums.

Source: the official tool of BradyFU/Awesome-Multimodal-Large-Language-Models @ dd29509.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from harmon_eval.core import UserError

# Images a subtask; every image has one question whose answer is Yes and one whose answer is No.
PERCEPTION = {"existence": 30, "count": 30, "position": 30, "color": 30, "posters": 147,
              "celebrity": 170, "scene": 200, "landmark": 200, "artwork": 200,
              "OCR": 20}  # fmt: skip
COGNITION = {"commonsense_reasoning": 70, "numerical_calculation": 20, "text_translation": 20,
             "code_reasoning": 20}  # fmt: skip
SUBTASKS = {**PERCEPTION, **COGNITION}
IMAGE_SUFFIXES = (".jpg", ".png", ".jpeg")


def read_release(folder: Path) -> Iterator[tuple[str, Path, str, str]]:
    """(subtask, image, question, "Yes" or "No") in both layouts of the release.

    Raises UserError for a missing subtask, and for an image without its pair of questions."""
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
            named = (images / (file.stem + suffix) for suffix in IMAGE_SUFFIXES)
            image = next((path for path in named if path.is_file()), None)
            if image is None:
                raise UserError(f"the image of {file} is missing: put it into {images}")
            lines = [line.split("\t") for line in file.read_text("utf-8").splitlines() if line]
            if sorted(line[-1] for line in lines) != ["No", "Yes"] or {*map(len, lines)} != {2}:
                raise UserError(f"{file}: needs two lines, question TAB Yes and question TAB No")
            for question, answer in lines:
                yield subtask, image, question, answer


def check_sizes(found: Mapping[str, int]) -> None:
    """Raises UserError where the images a subtask are not those of the release."""
    for subtask, size in SUBTASKS.items():
        if found.get(subtask) != size:
            raise UserError(f"MME's {subtask} has {found.get(subtask, 0)} images, not {size}: "
                            "unpack the release again")  # fmt: skip


def evaluation_line(image: str, question: str, truth: str, reply: str) -> str:
    """A line of the official tool's files; tabs would break it, and so would line breaks."""
    return "\t".join([image, question, truth, reply.replace("\t", " ")]) + "\n"


def subtask_scores(
    subtasks: np.ndarray, groups: np.ndarray, correct: np.ndarray
) -> dict[str, tuple[float, float]]:
    """Accuracy and accuracy+ of each subtask present, in percent.

    Pairs are formed by image. A subtask with half a pair (an unscored reply) is not a number."""
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
