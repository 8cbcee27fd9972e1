"""GenEval: does the image show the objects, counts, colours and positions that were asked for?

Paper: Ghosh et al. 2023, arXiv 2310.11513. Protocol: djghosh13/geneval @ af4902f, the scorer's
rules and file formats. A detector finds objects, a colour namer names those that need it, fixed
rules decide: one yes or no an image; the score is the unweighted mean over six kinds of prompts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from harmon_eval.core import (
    Answer,
    Draw,
    Instruments,
    Interval,
    Row,
    Sample,
    Suite,
    Summarize,
    Task,
    UserError,
)
from harmon_eval.scoring.geneval_folder import read_metadata
from harmon_eval.scoring.geneval_prompts import OBJECT_NAMES, TAGS
from harmon_eval.scoring.geneval_rules import PUBLISHED, Protocol, surviving, verdict
from harmon_eval.scoring.images import read_rgb
from harmon_eval.statistics import bootstrap_intervals

# Masks of this many images are in memory at a time, up to a hundred of each image's size.
DETECT_BATCH = 8
COUNTS = ("tags", "prompts", "images")
# Objects above this score are stored with each mark; no threshold of use lies below it.
LOWEST_SCORE = 0.05
STORED = Protocol(threshold=LOWEST_SCORE, counting_threshold=LOWEST_SCORE)


def samples(suite: Suite, data: str = "geneval") -> Iterator[Sample]:
    """Each prompt ``suite.images_per_prompt`` times; ids are paths in GenEval's image folder."""
    metadata = read_metadata(suite.data(data) / "evaluation_metadata.jsonl")
    for index, item in enumerate(metadata):
        for k in range(suite.images_per_prompt):
            yield Sample(
                id=f"{index:05d}/samples/{k:04d}",
                request=Draw(item["prompt"], index=k),
                target=item,
                group=f"{index:05d}",
                stratum=item["tag"],
            )


def mark(answers: Sequence[Answer], instruments: Instruments) -> list[Row]:
    """One row an image: the verdict, its reason, and every object that counts.

    Raises Unscorable when a file is no image."""
    rows = []
    for start in range(0, len(answers), DETECT_BATCH):
        batch = answers[start : start + DETECT_BATCH]
        images = [read_rgb(answer.image, exif_orientation=True) for answer in batch]
        found = instruments["detector"](images)
        for answer, image, detections in zip(batch, images, found, strict=True):
            rows.append(mark_image(answer.sample.target, image, detections, instruments["color"]))
    return rows


def mark_image(
    metadata: Mapping[str, Any],
    image: np.ndarray,
    detections: Mapping[str, tuple[np.ndarray, np.ndarray | None]],
    name_colors: Any,
) -> Row:
    """Image (H, W, 3) uint8; detections class -> boxes (n, 5) float32 and masks (n, H, W) bool.

    ``detections`` and ``colors`` in the row are all that ``verdicts`` needs."""
    boxes, colors = {}, {}
    colored = {c["class"] for c in metadata["include"] if "color" in c}
    for name, (found, masks) in detections.items():
        # In the detector's order: equal scores are told apart by it.
        kept = sorted(each.row for each in surviving(found, metadata["tag"], STORED))
        if not kept:
            continue
        boxes[name] = found[kept]
        if name in colored:
            colors[name] = name_colors(
                image, found[kept], None if masks is None else masks[kept], name
            )
    return {
        **judge(metadata, boxes, colors, PUBLISHED),
        "detections": json.dumps({name: found.tolist() for name, found in boxes.items()}),
        "colors": json.dumps(colors),
    }


def judge(
    metadata: Mapping[str, Any],
    boxes: Mapping[str, np.ndarray],
    colors: Mapping[str, Sequence[str]],
    protocol: Protocol,
) -> Row:
    """The official row of one image from its objects and their colours."""
    correct, reason = verdict(metadata, boxes, lambda name, i: colors[name][i], protocol)
    return {
        "tag": metadata["tag"],
        "prompt": metadata["prompt"],
        "correct": correct,
        "reason": reason,
        "metadata": json.dumps(dict(metadata)),
        "details": json.dumps(details(boxes, metadata["tag"], protocol)),
    }


def verdicts(rows: pd.DataFrame, protocol: Protocol) -> pd.DataFrame:
    """Stored rows marked again by other thresholds, without detector and images.

    Raises UserError for a threshold below what was stored, or rows that hold no objects."""
    if min(protocol.threshold, protocol.counting_threshold) < LOWEST_SCORE:
        raise UserError(f"objects below {LOWEST_SCORE} are not stored: choose a higher threshold")
    if protocol.max_objects > STORED.max_objects:
        raise UserError(f"no more than {STORED.max_objects} objects of a class are stored")
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
    """All objects that count, in COCO's class order (other classes last, by name), best first."""
    place = {name: i for i, name in enumerate(OBJECT_NAMES)}
    names = sorted(boxes, key=lambda name: (place.get(name, len(place)), name))
    survivors = {name: surviving(boxes[name], tag, protocol) for name in names}
    return {name: [f.box.tolist() for f in each] for name, each in survivors.items() if each}


def summarize(rows: pd.DataFrame) -> dict[str, float]:
    """``overall`` is the unweighted mean of the means of the tags present; ``tags``, ``prompts``
    and ``images`` say how many were scored. A prompt is correct if any of its images is."""
    correct = rows["correct"].astype(bool)
    tags = correct.groupby(rows["tag"]).mean()
    prompts = correct.groupby(rows["group"]).any()
    return {
        "overall": float(tags.mean()),
        **{tag: float(tags[tag]) for tag in TAGS if tag in tags.index},
        "correct_images": float(correct.mean()),
        "correct_prompts": float(prompts.mean()),
        **dict(zip(COUNTS, map(float, (len(tags), len(prompts), len(rows))), strict=True)),
    }


def intervals(rows: pd.DataFrame, summarize: Summarize) -> dict[str, Interval]:
    """Bootstrap over prompts within each tag; counts have no interval."""

    def shares(rows: pd.DataFrame) -> dict[str, float]:
        return {name: value for name, value in summarize(rows).items() if name not in COUNTS}

    return bootstrap_intervals(rows, shares)


def exports(drawn: Sequence[Sample], rows: pd.DataFrame | None) -> dict[str, str]:
    """The official folder's metadata files, and ``results.jsonl`` once there are marks."""
    if rows is None:
        return {f"images/{s.group}/metadata.jsonl": json.dumps(dict(s.target)) for s in drawn}
    official = pd.DataFrame({"filename": [f"images/{name}.png" for name in rows["id"]]})
    for column in ("tag", "prompt", "correct", "reason", "metadata", "details"):
        official[column] = rows[column].to_numpy()
    return {"results.jsonl": official.to_json(orient="records", lines=True)}


def assume(sample: Sample, right: bool) -> Row:
    return {"tag": sample.stratum, "correct": right}


TASK = Task(
    samples=samples,
    mark=mark,
    summarize=summarize,
    headline="overall",
    higher_is_better=True,
    paper="arXiv 2310.11513",
    version="1",
    instruments=("detector", "color"),
    intervals=intervals,
    exports=exports,
    assume=assume,
    licence="prompts MIT (djghosh13/geneval)",
    size="553 prompts x 4 images",
    protocol="djghosh13/geneval @ af4902f",
    differs="The rules are the original's; another detector than its Mask2Former has another name "
    "in the results and shares no column with it.",
    compares="Neither lmms-eval nor VLMEvalKit has it. Papers often rewrite its prompts: such a "
    "number does not compare.",
    cost="2,212 drawings",
)

__all__ = ["TASK", "verdict", "verdicts"]
