"""GenEval: does the image show the objects, counts, colours and positions that the prompt names?

Paper: Ghosh et al. 2023, arXiv 2310.11513. Protocol: djghosh13/geneval @ af4902f, the scorer's
rules and file formats. A detector finds the objects, a classifier their colours where the prompt
names some, and fixed rules decide. The score is the unweighted mean over six kinds of prompts.

``geneval:threshold=0.4`` changes the detection score above which objects count, and
``geneval:counting=0.95`` does so for prompts that ask for a number
(``geneval:threshold=0.4+counting=0.95`` changes both). Such a variant is marked from the stored
detections of ``geneval``, without a detector or images. Its scores never share a column with those
for the published thresholds.

``geneval:rewritten`` marks a GenEval folder of images that were generated from rewritten prompts
(``--model folder:IMAGES``). As in the original scorer, only what a prompt asks for counts:
``tag``, ``include`` and ``exclude`` must be those of the published prompt with the same number.

``geneval:share`` and ``geneval:flow_grpo`` are graded numbers for training (docs/serve.md), made
from the same stored detections: the share of clauses that hold, and Flow-GRPO's reward.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from harmon_eval.core import (
    About,
    Answer,
    Data,
    Draw,
    Instruments,
    Metric,
    Row,
    Sample,
    Source,
    Task,
    count,
)
from harmon_eval.files.images import portions, read_rgb
from harmon_eval.metrics.rows import of
from harmon_eval.metrics.shares import groups_with, mean_of, share
from harmon_eval.tasks.geneval import graded, mini, prompts, thresholds
from harmon_eval.tasks.geneval.layout import files_after, files_before, read_images, read_metadata
from harmon_eval.tasks.geneval.marks import mark_image, unknown_class
from harmon_eval.tasks.geneval.prompts import TAGS
from harmon_eval.tasks.geneval.rules import PUBLISHED, Protocol

if TYPE_CHECKING:
    import pandas as pd

# Masks of this many images are in memory at once: up to a hundred per image, each of its size.
DETECT_BATCH = 8
COUNTS = ("tags", "prompts", "images")


def samples(data: Data) -> Iterator[Sample]:
    """``data.images_per_prompt`` samples per prompt; ids are paths in GenEval's image folder."""
    metadata = read_metadata(data.folder / prompts.FILE)
    for index, item in enumerate(metadata):
        for k in range(data.images_per_prompt):
            yield Sample(
                id=f"{index:05d}/samples/{k:04d}",
                request=Draw(item["prompt"], index=k),
                target=item,
                group=f"{index:05d}",
                stratum=item["tag"],
            )


def mark(
    answers: Sequence[Answer], instruments: Instruments, protocol: Protocol = PUBLISHED
) -> list[Row]:
    """One row an image: the verdict, its reason, and every object that counts.

    Raises Unscorable when a file is no image."""
    rows = []
    eights = (answers[i : i + DETECT_BATCH] for i in range(0, len(answers), DETECT_BATCH))
    for batch in (some for eight in eights for some in portions(eight, lambda a: [a.image])):
        images = [read_rgb(answer.image) for answer in batch]
        found = instruments["detector"](images)
        for answer, image, detections in zip(batch, images, found, strict=True):
            target, color = answer.sample.target, instruments["color"]
            if stranger := unknown_class(target, instruments["detector"]):
                rows.append({"unscored": f"the detector knows no {stranger!r}"})
                continue
            rows.append(mark_image(target, image, detections, color, protocol))
    return rows


def summarize(rows: pd.DataFrame) -> dict[str, float]:
    """``overall`` is the unweighted mean over the tags present. ``tags``, ``prompts`` and
    ``images`` say how many were scored. A prompt is correct if any of its images is correct."""
    correct = rows["correct"].astype(bool)
    tags = correct.groupby(rows["tag"]).mean()
    by_prompt = correct.groupby(rows["group"]).any()
    return {
        "overall": float(tags.mean()),
        **{tag: float(tags[tag]) for tag in TAGS if tag in tags.index},
        "correct_images": float(correct.mean()),
        "correct_prompts": float(by_prompt.mean()),
        **dict(zip(COUNTS, map(float, (len(tags), len(by_prompt), len(rows))), strict=True)),
    }


def bounds(sample: Sample) -> tuple[Row, Row]:
    return {"tag": sample.stratum, "correct": False}, {"tag": sample.stratum, "correct": True}


def open_task(argument: str = "") -> Task:
    """``threshold=SCORE``, ``counting=SCORE``, or both joined with a plus; ``rewritten``, ``share``
    or ``flow_grpo``."""
    return thresholds.variant(TASK, argument)


TASK = Task(
    samples=samples,
    mark=mark,
    summarize=summarize,
    metrics=(
        Metric("overall", headline=True, mean_of=mean_of(TAGS)),
        *(Metric(tag, rows=of("tag"), of=share("correct")) for tag in TAGS),
        Metric("correct_images", of=share("correct")),
        Metric("correct_prompts", of=groups_with("correct", "any")),
        *map(count, COUNTS),
    ),
    about=About(
        paper="arXiv 2310.11513",
        version="1",
        protocol="djghosh13/geneval @ af4902f",
        differs="The rules are the original's. Results of a detector other than its Mask2Former "
        "have a different name and never share a column with it.",
        compares="Neither lmms-eval nor VLMEvalKit has it. Papers often rewrite its prompts; such "
        "numbers are not comparable.",
        licence="prompts MIT (djghosh13/geneval)",
        size="553 prompts x 4 images",
        cost="2,212 generated images",
    ),
    sources={
        "official": Source(
            files=(prompts.FILE,),
            text="prompts/evaluation_metadata.jsonl of djghosh13/geneval",
            make=prompts.write_official,
        ),
        "mini": Source(make=mini.make),
    },
    instruments={"detector": "mask2former", "color": "clip"},
    bounds=bounds,
    files_before=files_before,
    files_after=files_after,
    layout=read_images,
    layout_shown="00000/metadata.jsonl and 00000/samples/0000.png",
    rewritten="rewritten",
    columns=("tag", "correct"),
    census=prompts.census,
    reward=graded.OFFICIAL,
)
