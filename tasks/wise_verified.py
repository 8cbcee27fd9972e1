"""WISE, the verified release (April 2026): is the image right in what only knowledge can tell?

Paper: Niu et al. 2025, arXiv 2503.07265. Protocol: PKU-YuanGroup/WISE @ eb51174, data_verified
(judge Qwen3.5-35B-A3B with thinking off), which scores each image 0 or 1. Its ids are those of
``wise`` with other prompts: images drawn for one release must not be marked by the other, and their
numbers do not compare.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from harmon_eval.core import Data, Reward, Row, Sample, Source, Task
from harmon_eval.tasks.wise import mini
from harmon_eval.tasks.wise import rules as wise
from harmon_eval.tasks.wise.layout import read_images

if TYPE_CHECKING:
    import pandas as pd


def samples(data: Data) -> Iterator[Sample]:
    yield from wise.samples(data.folder, wise.VERIFIED)


def scores(score: int) -> Row:
    return {"score": score}


def summarize(rows: pd.DataFrame) -> dict[str, float]:
    return wise.totals(rows, "score", wise.VERIFIED, "verified_score")


def bounds(sample: Sample) -> tuple[Row, Row]:
    return wise.assumed(sample, scores(0)), wise.assumed(sample, scores(1))


def files_after(drawn: Sequence[Sample], rows: pd.DataFrame) -> Mapping[str, str]:
    return {} if rows.empty else wise.result_files(rows, ["score"])


TASK = Task(
    samples=samples,
    mark=partial(wise.mark, parse=wise.parse_verified, scores=scores),
    summarize=summarize,
    metrics=wise.metrics("verified_score", "score", wise.VERIFIED),
    about=replace(
        wise.ABOUT,
        protocol="PKU-YuanGroup/WISE @ eb51174, data_verified",
        differs="Replies are read with both edges of a score in view, as in `wise`. A reply that "
        "cannot be parsed is asked for again, then unscored with bounds instead of dropped. The "
        "rubric is our wording unless you give the official one (docs/judges.md), and the judge is "
        "part of the metric's name.",
        compares="Neither lmms-eval nor VLMEvalKit is followed. Never compare it with `wise`, "
        "which has other prompts, another rubric and another scale. Published rows are of "
        "Qwen3.5-35B-A3B without thinking.",
    ),
    sources={
        "official": Source(
            files=(wise.VERIFIED.files[0],),
            text="the three files of data_verified in PKU-YuanGroup/WISE",
            downloads=wise.downloads(
                "data_verified",
                wise.VERIFIED,
                (
                    "23482925266e2784b2ba24b75239fdc6691bf85ae253d2c4aa38b71b45fefa89",
                    "42c0b9d829365e392c2d4af283850dc76b1f922ab0c79198366de4f306eaf2b6",
                    "6f346c336f16f611e5c73e0fcacdccb336c200d534cf111526b22d50ea912555",
                ),
            ),
        ),
        "mini": Source(make=mini.make_verified),
    },
    instruments={"judge": ""},
    judged=wise.judged,
    bounds=bounds,
    files_after=files_after,
    layout=read_images,
    layout_shown="1.png to 1000.png",
    columns=("category", "total", "judge", "score"),
    reward=Reward.of_columns("score", target=partial(wise.target, release=wise.VERIFIED)),
)
