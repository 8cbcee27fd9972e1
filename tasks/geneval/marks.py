"""GenEval's row for one image: the verdict, and the objects that other thresholds need."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from harmon_eval.core import Row, UserError
from harmon_eval.instruments.vocabulary import OBJECT_NAMES
from harmon_eval.tasks.geneval.rules import PUBLISHED, Protocol, surviving, verdict

if TYPE_CHECKING:
    import pandas as pd

# Objects above this score are stored with each mark. No useful threshold is lower.
LOWEST_SCORE = 0.05
STORED = Protocol(threshold=LOWEST_SCORE, counting_threshold=LOWEST_SCORE)


def mark_image(
    metadata: Mapping[str, Any],
    image: np.ndarray,
    detections: Mapping[str, tuple[np.ndarray, np.ndarray | None]],
    name_colors: Any,
    protocol: Protocol = PUBLISHED,
) -> Row:
    """Mark an image (H, W, 3) uint8, given class -> boxes (n, 5) float32, masks (n, H, W) bool.

    ``verdicts`` needs only ``detections`` and ``colors`` from the row."""
    boxes, colors = {}, {}
    colored = {c["class"] for c in metadata["include"] if "color" in c}
    for name, (found, masks) in detections.items():
        # Keep the detector's order, because it decides between equal scores.
        kept = sorted(each.row for each in surviving(found, metadata["tag"], STORED))
        if not kept:
            continue
        boxes[name] = found[kept]
        if name in colored:
            colors[name] = name_colors(
                image, found[kept], None if masks is None else masks[kept], name
            )
    return {
        **judge(metadata, boxes, colors, protocol),
        "detections": json.dumps({name: found.tolist() for name, found in boxes.items()}),
        "colors": json.dumps(colors),
    }


def unknown_class(metadata: Mapping[str, Any], detector: Any) -> str:
    """The first class that the prompt asks for and the detector cannot find; empty: none.

    A detector that does not say its ``classes`` is taken to know all."""
    known = getattr(detector, "classes", None)
    asked = [c["class"] for c in (*metadata["include"], *metadata.get("exclude", []))]
    return next((name for name in asked if known is not None and name not in known), "")


def judge(
    metadata: Mapping[str, Any],
    boxes: Mapping[str, np.ndarray],
    colors: Mapping[str, Sequence[str]],
    protocol: Protocol,
) -> Row:
    """The official row for one image, from its objects and their colours."""
    correct, reason = verdict(metadata, boxes, lambda name, i: colors[name][i], protocol)
    return {
        "tag": metadata["tag"],
        "prompt": metadata["prompt"],
        "correct": correct,
        "reason": reason,
        "metadata": json.dumps(dict(metadata)),
        "details": json.dumps(details(boxes, metadata["tag"], protocol)),
    }


def check_stored(protocol: Protocol) -> None:
    """Raises UserError for thresholds that need objects that are not stored with the marks."""
    if min(protocol.threshold, protocol.counting_threshold) < LOWEST_SCORE:
        raise UserError(f"objects below {LOWEST_SCORE} are not stored: choose a higher threshold")
    if protocol.max_objects > STORED.max_objects:
        raise UserError(f"no more than {STORED.max_objects} objects of a class are stored")


def verdicts(rows: pd.DataFrame, protocol: Protocol) -> pd.DataFrame:
    """Stored rows, marked again with other thresholds. Needs no detector and no images.

    Raises UserError for a threshold below the lowest stored score, or if rows hold no objects."""
    import pandas as pd

    check_stored(protocol)
    if "detections" not in rows:
        raise UserError("these rows hold no objects: mark the run again")
    again = []
    for metadata, found, colors in zip(
        rows["metadata"], rows["detections"], rows["colors"], strict=True
    ):
        boxes = {name: np.array(b, dtype=np.float32) for name, b in json.loads(found).items()}
        again.append(judge(json.loads(metadata), boxes, json.loads(colors), protocol))
    return rows.assign(**pd.DataFrame(again, index=rows.index))


def details(
    boxes: Mapping[str, np.ndarray], tag: str, protocol: Protocol = PUBLISHED
) -> dict[str, list[list[float]]]:
    """All objects that count, in COCO's class order (then other classes by name), best first."""
    place = {name: i for i, name in enumerate(OBJECT_NAMES)}
    names = sorted(boxes, key=lambda name: (place.get(name, len(place)), name))
    survivors = {name: surviving(boxes[name], tag, protocol) for name in names}
    return {name: [f.box.tolist() for f in each] for name, each in survivors.items() if each}
