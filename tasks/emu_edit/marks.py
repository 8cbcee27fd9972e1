"""What changed between source and result of Emu Edit, and whether the captions say so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harmon_eval.core import Answer, Instruments, Row
from harmon_eval.instruments.likeness import JointVectors, Vectors, cosine, distances

MEASURES = ("clip_dir", "clip_im", "clip_out", "dino", "l1")


def mark(answers: Sequence[Answer], instruments: Instruments) -> list[Row]:
    """One row a result, and what trivial models get."""
    clip, dino = JointVectors(instruments["clip"]), Vectors(instruments["dino"])
    networks = {f"{role}_network": instruments[role].name for role in ("clip", "dino")}
    rows = []
    for answer in answers:
        target, source = answer.sample.target, answer.sample.request.files[0]
        row: Row = {name: target[name] for name in ("kind", "instruction")}
        row |= networks | _measured(source, answer.image, target, clip, dino)
        for name, image in {"copy_source": source, **target["floors"]}.items():
            marks = _measured(source, image, target, clip, dino)
            row |= {f"{name}:{column}": value for column, value in marks.items()}
        rows.append(row)
    return rows


def _measured(
    source: Path, result: Path, target: Mapping[str, Any], clip: JointVectors, dino: Vectors
) -> Row:
    before, after = (target[name] for name in ("input_caption", "output_caption"))
    given, made = clip.image(source), clip.image(result)
    wanted = clip.text(after)
    # Captions that are the same ask for no change, so there is no direction to follow.
    told = None if before == after else wanted - clip.text(before)
    return {
        "clip_dir": None if told is None else direction(made, given, told),
        "clip_im": cosine(made, given),
        "clip_out": cosine(made, wanted),
        "dino": cosine(dino.image(result), dino.image(source)),
        "l1": distances(result, source)[0],
    }


def direction(made: np.ndarray, given: np.ndarray, told: np.ndarray) -> float:
    """CLIP-dir: the cosine of the change of the image with that of the caption, all of vectors (d,)
    as the network gives them; 0 where the image did not change."""
    return cosine(made - given, told)
