"""WISE, the original release: does the image show what a prompt means but does not name?

Paper: Niu et al. 2025, arXiv 2503.07265. Protocol: PKU-YuanGroup/WISE @ eb51174, WISE_legacy, the
release that papers used up to April 2026 (judge GPT-4o-2024-05-13). A judge reads the prompt, an
explanation and the image, and gives 0 to 2 points each for consistency, realism and aesthetic
quality. Its numbers do not compare with those of ``wise_verified``, which has other prompts,
another judge and another scale.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from harmon_eval.core import Data, Metric, Reward, Row, Sample, Source, Task
from harmon_eval.metrics.shares import share
from harmon_eval.tasks.wise import mini
from harmon_eval.tasks.wise import rules as wise
from harmon_eval.tasks.wise.layout import read_images

if TYPE_CHECKING:
    import pandas as pd


def samples(data: Data) -> Iterator[Sample]:
    yield from wise.samples(data.folder, wise.LEGACY)


def scores(points: Mapping[str, int]) -> Row:
    """The three scores and WiScore."""
    return {**points, "wiscore": wise.wiscore(**points)}


def summarize(rows: pd.DataFrame) -> dict[str, float]:
    """WiScore as published (see ``wise.totals``), and the three scores as shares of their 2."""
    shares = {name: float(rows[name].mean()) / 2 for name in wise.SCORES}
    return wise.totals(rows, "wiscore", wise.LEGACY, "wiscore") | shares


def bounds(sample: Sample) -> tuple[Row, Row]:
    def row(points: int) -> Row:
        return wise.assumed(sample, scores(dict.fromkeys(wise.SCORES, points)))

    return row(0), row(2)


def files_after(drawn: Sequence[Sample], rows: pd.DataFrame) -> Mapping[str, str]:
    return {} if rows.empty else wise.result_files(rows, wise.SCORES)


TASK = Task(
    samples=samples,
    mark=partial(wise.mark, parse=wise.parse_legacy, scores=scores),
    summarize=summarize,
    metrics=(
        *wise.metrics("wiscore", "wiscore", wise.LEGACY),
        *(Metric(name, of=share(name, 2)) for name in wise.SCORES),
    ),
    about=replace(
        wise.ABOUT,
        protocol="PKU-YuanGroup/WISE @ eb51174, WISE_legacy",
        differs="Replies are read with both edges of a score in view: the original takes 1 for 10, "
        "for 1.5 and for a range, and 5 for 5; here these are no scores, while Markdown, JSON and "
        "full-width forms are read. A reply that cannot be parsed is asked for again and then "
        "unscored, with bounds, instead of dropped. Each answer is stored when it comes, not at "
        "the end. The rubric is our wording unless you give the official one (docs/judges.md), and "
        "the judge is part of the metric's name.",
        compares="Neither lmms-eval nor VLMEvalKit is followed. Published rows are of "
        "gpt-4o-2024-05-13; another judge does not compare. BAGEL's 0.52 is `unweighted_mean`: "
        "its script left out the weights until May 2026; weighted it is 0.50.",
    ),
    sources={
        "official": Source(
            files=(wise.LEGACY.files[0],),
            text="the three files of WISE_legacy/data in PKU-YuanGroup/WISE",
            downloads=wise.downloads(
                "WISE_legacy/data",
                wise.LEGACY,
                (
                    "7a59216c768698280cea37caa574b52f3faf054d73b398b9bb6b3161baf8e3aa",
                    "e27d797885ad86e64d857d0cc93d33e04be572a8dcae95692a2c7e7876233f9a",
                    "b262fae58e413c7a4bd3c3d5a089f8c6529feac227e4b6606be261a949035544",
                ),
            ),
        ),
        "mini": Source(make=mini.make),
    },
    instruments={"judge": ""},
    judged=wise.judged,
    bounds=bounds,
    files_after=files_after,
    also=("WISE",),
    layout=read_images,
    layout_shown="1.png to 1000.png",
    columns=("category", "total", "judge", "wiscore", *wise.SCORES),
    reward=Reward.of_columns(
        "wiscore", *wise.SCORES, target=partial(wise.target, release=wise.LEGACY)
    ),
)
