"""GenEval's rules from detections to a verdict (arXiv 2310.11513, scorer of djghosh13/geneval).

Thresholds are strict and compared in float32. Reasons are worded as in the original, but relations
in a reason are sorted, because the original's order depends on string hashing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harmon_eval.instruments.vocabulary import PALETTE

ColorOf = Callable[[str, int], str]


@dataclass(frozen=True)
class Protocol:
    """The scorer's options and their published values. ``max_overlap`` 1 turns suppression off."""

    threshold: float = 0.3
    counting_threshold: float = 0.9
    max_objects: int = 16
    max_overlap: float = 1.0
    position_threshold: float = 0.1

    def score_threshold(self, tag: str) -> np.float32:
        return np.float32(self.counting_threshold if tag == "counting" else self.threshold)


PUBLISHED = Protocol()


@dataclass(frozen=True)
class Found:
    """One object that counts: its row in the detections of its class, and its box."""

    row: int
    box: np.ndarray


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boxes. Each side is one pixel longer than the difference of
    its coordinates."""

    def area(x0: float, y0: float, x1: float, y1: float) -> float:
        return max(x1 - x0 + 1, 0.0) * max(y1 - y0 + 1, 0.0)

    box_a, box_b = a[:4].tolist(), b[:4].tolist()
    shared = [*map(max, box_a[:2], box_b[:2]), *map(min, box_a[2:], box_b[2:])]
    both = area(*shared)
    union = area(*box_a) + area(*box_b) - both
    return both / union if union else 0.0


def surviving(boxes: np.ndarray, tag: str, protocol: Protocol = PUBLISHED) -> list[Found]:
    """Rows of boxes (n, 5) that count as objects, highest score first.

    Equal scores are in reverse input order, as in a reversed ascending sort. Suppression considers
    only the best ``max_objects``."""
    boxes = np.asarray(boxes, dtype=np.float32).reshape(-1, 5)
    order = np.argsort(boxes[:, 4], kind="stable")[::-1]
    above = [int(i) for i in order if boxes[i, 4] > protocol.score_threshold(tag)]
    kept: list[int] = []
    for i in above[: protocol.max_objects]:
        suppressed = protocol.max_overlap < 1 and any(
            overlap(boxes[i], boxes[j]) >= protocol.max_overlap for j in kept
        )
        if not suppressed:
            kept.append(i)
    return [Found(i, boxes[i]) for i in kept]


def relative_position(a: np.ndarray, b: np.ndarray, threshold: float = 0.1) -> set[str]:
    """Where box a is relative to box b: left of, right of, above, below (at most two of them)."""
    a, b = np.asarray(a[:4], np.float64), np.asarray(b[:4], np.float64)
    offset = (a[:2] + a[2:]) / 2 - (b[:2] + b[2:]) / 2
    sizes = np.abs(a[2:] - a[:2]) + np.abs(b[2:] - b[:2])
    revised = np.maximum(np.abs(offset) - threshold * sizes, 0) * np.sign(offset)
    if np.all(np.abs(revised) < 1e-3):
        return set()
    # Divide by the length of the offset before revision, as the original does.
    dx, dy = revised / np.linalg.norm(offset)
    sides = {"left of": dx < -0.5, "right of": dx > 0.5, "above": dy < -0.5, "below": dy > 0.5}
    return {name for name, holds in sides.items() if holds}


def _color_failure(
    clause: Mapping[str, Any], found: Sequence[Found], color_of: ColorOf
) -> str | None:
    name, wanted, count = clause["class"], clause["color"], clause["count"]
    colors = [color_of(name, each.row) for each in found]
    if colors.count(wanted) >= count:
        return None
    known = [*PALETTE, *sorted(set(colors) - set(PALETTE))]
    observed = ", ".join(f"{colors.count(c)} {c}" for c in known if c in colors)
    return (
        f"expected {wanted} {name}>={count}, found {colors.count(wanted)} {wanted}; and {observed}"
    )


def _position_failure(
    clause: Mapping[str, Any],
    found: Sequence[Found],
    targets: Sequence[Found] | None,
    protocol: Protocol,
) -> str | None:
    name, (relation, _) = clause["class"], clause["position"]
    if targets is None:
        return f"no target for {name} to be {relation}"
    for each in found:
        for target in targets:
            relations = relative_position(each.box, target.box, protocol.position_threshold)
            if relation not in relations:
                observed = " and ".join(sorted(relations))
                return f"expected {name} {relation} target, found {observed} target"
    return None


def verdict(
    metadata: Mapping[str, Any],
    detections: Mapping[str, np.ndarray],
    color_of: ColorOf,
    protocol: Protocol = PUBLISHED,
) -> tuple[bool, str]:
    """Whether the image shows what ``metadata`` asks for, and the reasons joined by newlines.

    ``detections`` maps class name -> float32 (n, 5) [x0, y0, x1, y1, score] in detector order.
    ``color_of(class_name, i)`` names the colour of row i. It is called only if a clause requires a
    colour and enough objects were found.
    """
    objects = counted(metadata, detections, protocol)
    included, excluded = failures(metadata, objects, color_of, protocol)
    reasons = [reason for reason in (*included, *excluded) if reason is not None]
    return not reasons, "\n".join(reasons)


def counted(
    metadata: Mapping[str, Any], detections: Mapping[str, np.ndarray], protocol: Protocol
) -> dict[str, list[Found]]:
    """The objects that count, by class; classes without any are left out."""
    return {
        name: survivors
        for name, boxes in detections.items()
        if (survivors := surviving(boxes, metadata["tag"], protocol))
    }


def failures(
    metadata: Mapping[str, Any],
    objects: Mapping[str, Sequence[Found]],
    color_of: ColorOf,
    protocol: Protocol,
) -> tuple[list[str | None], list[str | None]]:
    """Why each clause of ``include`` and of ``exclude`` fails; None for one that holds."""
    included: list[str | None] = []
    matched: list[Sequence[Found] | None] = []
    for clause in metadata["include"]:
        name, count = clause["class"], clause["count"]
        found = objects.get(name, [])[:count]
        failure = None
        if len(found) < count:
            failure = f"expected {name}>={count}, found {len(found)}"
        elif "color" in clause:
            failure = _color_failure(clause, found, color_of)
        if failure is None and "position" in clause:
            targets = matched[clause["position"][1]]
            failure = _position_failure(clause, found, targets, protocol)
        included.append(failure)
        matched.append(found if failure is None else None)
    excluded: list[str | None] = []
    for clause in metadata.get("exclude", []):
        name, count = clause["class"], clause["count"]
        number = len(objects.get(name, []))
        excluded.append(f"expected {name}<{count}, found {number}" if number >= count else None)
    return included, excluded
