"""How close a result of MagicBrush is to its target image and to the target's caption."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harmon_eval.core import Answer, Instruments, Row
from harmon_eval.instruments.likeness import JointVectors, Vectors, cosine, distances

MEASURES = ("l1", "l2", "clip_i", "dino", "clip_t")


def mark(answers: Sequence[Answer], instruments: Instruments) -> list[Row]:
    """One row a result, and what trivial models get."""
    clip, dino = JointVectors(instruments["clip"]), Vectors(instruments["dino"])
    networks = {f"{role}_network": instruments[role].name for role in ("clip", "dino")}
    rows = []
    for answer in answers:
        target = answer.sample.target
        row: Row = {name: target[name] for name in ("instruction", "turn", "counted")}
        row |= networks | _measured(answer.image, target, clip, dino)
        for name, image in target["floors"].items():
            marks = _measured(image, target, clip, dino)
            row |= {f"{name}:{column}": value for column, value in marks.items()}
        rows.append(row)
    return rows


def _measured(result: Path, target: Mapping[str, Any], clip: JointVectors, dino: Vectors) -> Row:
    wanted = target["target"]
    l1, l2 = distances(result, wanted)
    text = clip.text(target["caption"]) if target["caption"] else None
    return {
        **{"l1": l1, "l2": l2},
        "clip_i": cosine(clip.image(result), clip.image(wanted)),
        "dino": cosine(dino.image(result), dino.image(wanted)),
        "clip_t": None if text is None else cosine(clip.image(result), text),
    }
