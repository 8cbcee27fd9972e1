"""GenEval: does the image show the objects, counts, colours and positions that were asked for?

Paper: Ghosh et al. 2023, arXiv 2310.11513. Protocol: djghosh13/geneval @ af4902f, the scorer's
rules and file formats. A detector finds objects, a colour namer names those that need it, fixed
rules decide: one yes or no an image; the score is the unweighted mean over six kinds of prompts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

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
)
from harmon_eval.files.images import read_rgb
from harmon_eval.metrics.statistics import bootstrap_intervals
from harmon_eval.tasks.geneval.layout import read_metadata
from harmon_eval.tasks.geneval.marks import details, mark_image, verdicts
from harmon_eval.tasks.geneval.prompts import TAGS
from harmon_eval.tasks.geneval.rules import verdict

# Masks of this many images are in memory at a time, up to a hundred of each image's size.
DETECT_BATCH = 8
COUNTS = ("tags", "prompts", "images")


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

__all__ = ["TASK", "details", "verdict", "verdicts"]
