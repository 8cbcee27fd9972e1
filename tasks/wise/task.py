"""WISE, legacy edition: does the image show what a prompt means that names it only indirectly?

Paper: Niu et al. 2025, arXiv 2503.07265. Protocol: PKU-YuanGroup/WISE @ eb51174, WISE_legacy (the
one in papers up to April 2026; judge GPT-4o-2024-05-13). A judge reads prompt, explanation and
image and gives consistency, realism and aesthetic quality 0 to 2. Never to be put beside
``wise_verified``, which has other prompts, another judge and another scale.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from harmon_eval.core import Answer, Instruments, Row, Sample, Suite, Task, Unscorable
from harmon_eval.tasks.wise import rules as wise


def samples(suite: Suite) -> Iterator[Sample]:
    yield from wise.samples(suite.data("wise"), wise.LEGACY)


def mark(answers: Sequence[Answer], instruments: Instruments) -> list[Row]:
    """One row an image: three scores, WiScore, and what the judge said."""
    judge = instruments["judge"]
    requests = [ask for a in answers for ask in wise.judged(a.sample, a.image)]
    rows: list[Row] = []
    verdicts = judge.verdicts(requests, wise.parse_legacy)
    for answer, verdict in zip(answers, verdicts, strict=True):
        if isinstance(verdict, Unscorable):
            rows.append({"unscored": str(verdict)})
            continue
        said = wise.told(answer.sample, verdict, judge.name)
        rows.append({**said, **verdict.value, "wiscore": wise.wiscore(**verdict.value)})
    return rows


def summarize(rows: pd.DataFrame) -> dict[str, float]:
    """WiScore as published (see ``wise.totals``), and the three scores as shares of their 2."""
    scores = {name: float(rows[name].mean()) / 2 for name in wise.SCORES}
    return wise.totals(rows, "wiscore", wise.LEGACY, "wiscore") | scores


def assume(sample: Sample, right: bool) -> Row:
    scores = dict.fromkeys(wise.SCORES, 2 * right)
    return wise.assumed(sample, {**scores, "wiscore": float(right)})


def exports(drawn: Sequence[Sample], rows: pd.DataFrame | None) -> Mapping[str, str]:
    return {} if rows is None or rows.empty else wise.result_files(rows, wise.SCORES)


TASK = Task(
    samples=samples,
    mark=mark,
    summarize=summarize,
    headline="wiscore",
    higher_is_better=True,
    paper="arXiv 2503.07265",
    version="1",
    instruments=("judge",),
    exports=exports,
    judged=wise.judged,
    assume=assume,
    intervals=wise.intervals,
    licence="none stated by PKU-YuanGroup/WISE; prompts are not redistributed",
    size="1,000 prompts in 6 categories",
    protocol="PKU-YuanGroup/WISE @ eb51174, legacy edition",
    differs="Replies are read by the same rule, but a digit beyond 2 is no score: the original "
    "takes 5 for 5. What does not parse is asked again, then unscored with bounds instead of "
    "dropped. Each answer is stored when it comes, not at the end. The rubric is our wording "
    "unless you give the official one (docs/judges.md), and the judge is part of the metric.",
    compares="Neither lmms-eval nor VLMEvalKit is followed. Published rows are of "
    "gpt-4o-2024-05-13; another judge does not compare. BAGEL's 0.52 is `unweighted_mean`: its "
    "script left out the weights until May 2026; weighted it is 0.50.",
    cost="1,000 drawings and 1,000 judge calls with an image",
)
