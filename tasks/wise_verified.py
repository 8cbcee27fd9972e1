"""WISE, verified edition (April 2026): is the image right in what only knowledge can tell, 0 or 1?

Paper: Niu et al. 2025, arXiv 2503.07265. Protocol: PKU-YuanGroup/WISE @ eb51174, data_verified (the
judge Qwen3.5-35B-A3B, thinking off). Its ids are those of ``wise`` with other prompts: images of
one edition must not be marked by the other, and numbers do not compare.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from harmon_eval.core import Answer, Instruments, Row, Sample, Suite, Task, Unscorable
from harmon_eval.tasks.wise import rules as wise


def samples(suite: Suite) -> Iterator[Sample]:
    yield from wise.samples(suite.data("wise_verified"), wise.VERIFIED)


def mark(answers: Sequence[Answer], instruments: Instruments) -> list[Row]:
    """One row an image: the score 0 or 1, and what the judge said."""
    judge = instruments["judge"]
    requests = [ask for a in answers for ask in wise.judged(a.sample, a.image)]
    verdicts = judge.verdicts(requests, wise.parse_verified)
    return [
        {"unscored": str(verdict)}
        if isinstance(verdict, Unscorable)
        else {**wise.told(answer.sample, verdict, judge.name), "score": verdict.value}
        for answer, verdict in zip(answers, verdicts, strict=True)
    ]


def summarize(rows: pd.DataFrame) -> dict[str, float]:
    return wise.totals(rows, "score", wise.VERIFIED, "verified_score")


def exports(drawn: Sequence[Sample], rows: pd.DataFrame | None) -> Mapping[str, str]:
    return {} if rows is None or rows.empty else wise.result_files(rows, ["score"])


TASK = Task(
    samples=samples,
    mark=mark,
    summarize=summarize,
    headline="verified_score",
    higher_is_better=True,
    paper="arXiv 2503.07265",
    version="1",
    instruments=("judge",),
    exports=exports,
    judged=wise.judged,
    assume=lambda sample, right: wise.assumed(sample, {"score": int(right)}),
    intervals=wise.intervals,
    licence="none stated by PKU-YuanGroup/WISE; prompts are not redistributed",
    size="1,000 prompts in 6 categories",
    protocol="PKU-YuanGroup/WISE @ eb51174, verified edition",
    differs="Replies are read by the same rule; what does not parse is asked again, then unscored "
    "with bounds instead of dropped. The rubric is our wording unless you give the official one "
    "(docs/judges.md), and the judge is part of the metric.",
    compares="Neither lmms-eval nor VLMEvalKit is followed, and never with `wise`: other prompts, "
    "another rubric and another scale. Published rows are of Qwen3.5-35B-A3B without thinking.",
    cost="1,000 drawings and 1,000 judge calls with an image",
)
