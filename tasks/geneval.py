"""GenEval: does the image show the objects, counts, colours and positions that were asked for?

Paper: arXiv 2310.11513. Protocol: djghosh13/geneval @ af4902f, the scorer's rules and file formats.
An object detector finds objects, a colour namer names those that need it, fixed rules decide.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from harmon_eval.core import Answer, Draw, Instruments, Row, Sample, Suite, Task, UserError
from harmon_eval.scoring.geneval_rules import surviving, verdict
from harmon_eval.scoring.images import read_rgb

TAGS = ("single_object", "two_object", "counting", "colors", "position", "color_attr")


def read_metadata(file: Path) -> list[dict[str, Any]]:
    """Lines of ``evaluation_metadata.jsonl``. Raises UserError naming the line and the field."""
    items = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            item = json.loads(line)
            for field in ("tag", "include", "prompt"):
                item[field]
            for clause in [*item["include"], *item.get("exclude", [])]:
                str(clause["class"]), int(clause["count"])
        except (json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
            raise UserError(f"{file}, line {number}: not a GenEval prompt ({error!r})") from None
        items.append(item)
    return items


def samples(suite: Suite) -> Iterator[Sample]:
    metadata = read_metadata(suite.data("geneval") / "evaluation_metadata.jsonl")
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
    images = [read_rgb(answer.image, exif_orientation=True) for answer in answers]
    found = instruments["detector"](images)
    rows = []
    for answer, image, detections in zip(answers, images, found, strict=True):
        metadata = answer.sample.target

        def color_of(name: str, i: int, image: Any = image, detections: Any = detections) -> str:
            boxes, masks = detections[name]
            part = None if masks is None else masks[i : i + 1]
            return instruments["color"](image, boxes[i : i + 1], part, name)[0]

        boxes = {name: boxes for name, (boxes, _) in detections.items()}
        correct, reason = verdict(metadata, boxes, color_of)
        rows.append(
            {
                "tag": metadata["tag"],
                "prompt": metadata["prompt"],
                "correct": correct,
                "reason": reason,
                "metadata": json.dumps(metadata),
                "details": json.dumps(details(boxes, metadata["tag"])),
            }
        )
    return rows


def details(boxes: Mapping[str, np.ndarray], tag: str) -> dict[str, list[list[float]]]:
    """All objects that count, class by class in detector order, most confident first."""
    survivors = {name: surviving(found, tag) for name, found in boxes.items()}
    return {name: [f.box.tolist() for f in each] for name, each in survivors.items() if each}


def summarize(rows: pd.DataFrame) -> dict[str, float]:
    """Overall is the unweighted mean of the means of the tags present."""
    tags = rows.groupby("tag")["correct"].mean()
    prompts = rows.groupby("group")["correct"].any()
    return {
        "overall": float(tags.mean()),
        **{tag: float(tags[tag]) for tag in TAGS if tag in tags.index},
        "correct_images": float(rows["correct"].mean()),
        "correct_prompts": float(prompts.mean()),
    }


def exports(drawn: Sequence[Sample], rows: pd.DataFrame | None) -> dict[str, str]:
    """The official folder's metadata files, and ``results.jsonl`` once there are marks."""
    if rows is None:
        return {
            f"images/{sample.group}/metadata.jsonl": json.dumps(dict(sample.target))
            for sample in drawn
        }
    official = pd.DataFrame({"filename": "images/" + rows["id"] + ".png"})
    for column in ("tag", "prompt", "correct", "reason", "metadata", "details"):
        official[column] = rows[column].to_numpy()
    return {"results.jsonl": official.to_json(orient="records", lines=True)}


TASK = Task(
    samples=samples,
    mark=mark,
    summarize=summarize,
    headline="overall",
    higher_is_better=True,
    paper="arXiv 2310.11513",
    version="1",
    instruments=("detector", "color"),
    exports=exports,
    licence="prompts MIT (djghosh13/geneval)",
    size="553 prompts x 4 images",
)

__all__ = ["TASK", "verdict"]
