"""What ImgEdit-Bench's judge says of one result, as a row; what the task says of itself."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from harmon_eval.core import About, Answer, Ask, Instruments, Row, Sample, Unscorable
from harmon_eval.instruments.editing import unscored
from harmon_eval.instruments.judging import Judge, Verdict
from harmon_eval.suites.mini.edit_images import COPY
from harmon_eval.tasks.imgedit import rules

ABOUT = About(
    paper="arXiv 2505.20275",
    version="1",
    protocol="PKU-YuanGroup/ImgEdit @ 547185d",
    differs="Scores are read in bold, with a full stop, as n/5 and in JSON; the original drops "
    "such lines or images (`official_would_drop` counts images, `as_published` is the original's "
    "figure for the same replies). Other labels do not count as scores. A reply without scores is "
    "asked for again, then unscored with bounds. Temperature is 0. The rubric is our wording, "
    "which the metric's name says, unless you give the official one (docs/editing.md). Several "
    "turns are judged by people in the paper, and here turn by turn with UGE's rubric.",
    compares="The paper, its leaderboard and most papers take the unweighted mean of types; Bagel, "
    "TorchUMM and lmms-eval take `sample_mean`. Published rows are of GPT-4o or GPT-4.1, which do "
    "not compare. A copy of the source gets 1 by the rubric.",
    licence="none found in PKU-YuanGroup/ImgEdit; do not redistribute",
    size="737 edits in 9 types, 47 hard ones (UGE), sessions of 2 or 3 turns; mini: 140, 20 and "
    "12 of two turns",
    cost="one judge call a result; about 1.6 million tokens in",
)


def judged(sample: Sample, image: Path | None) -> list[Ask]:
    """The source and the result as they are, after the text."""
    images = (sample.request.files[0], image) if image else ()
    return [Ask(sample.target["question"], images, rules.MAX_TOKENS)]


def mark(answers: Sequence[Answer], instruments: Instruments) -> list[Row]:
    """One row a result; floors are judged in the same way where the data hold their images."""
    judge: Judge = instruments["judge"]
    by_labels: dict[tuple[str, ...], list[Answer]] = {}
    for answer in answers:
        by_labels.setdefault(tuple(answer.sample.target["labels"]), []).append(answer)
    marked: dict[str, Row] = {}
    for labels, own in by_labels.items():
        images = [(a, i) for a in own for i in (a.image, *a.sample.target["floors"].values())]
        asks = [ask for answer, image in images for ask in judged(answer.sample, image)]
        verdicts: Any = judge.verdicts(asks, partial(rules.parse, labels=labels))
        found = iter(verdicts)
        for answer in own:
            row = _row(answer.sample, next(found), judge.name)
            floor: Row = {f"{COPY}:score": 1.0, f"{COPY}:original": 1.0}  # by the rubric
            for name in answer.sample.target["floors"]:
                verdict = next(found)
                if not isinstance(verdict, Unscorable):
                    floor[f"{name}:score"] = verdict.value.mean
                    floor[f"{name}:original"] = _original(verdict.reply)
            marked[answer.sample.id] = {**row, **floor}
    return [marked[answer.sample.id] for answer in answers]


def _row(sample: Sample, verdict: Verdict[rules.Scores] | Unscorable, judge: str) -> Row:
    told = {**about(sample), "judge": judge, "rubric": sample.target["rubric"]}
    if isinstance(verdict, Unscorable):
        return {**told, **unscored(verdict, _fate)}
    return {
        **told,
        "score": verdict.value.mean,
        "scores": list(verdict.value.values),
        "rule": verdict.value.rule,
        "reply": verdict.reply,
        "original": _original(verdict.reply),
        "attempts": verdict.attempts,
        "judge_as_returned": verdict.model,
    }


def _original(reply: str) -> float | None:
    return None if rules.would_drop(reply) else rules.original_mean(reply)


def _fate(reply: str) -> str:
    return "leaves the image out" if rules.would_drop(reply) else "reads it"


def about(sample: Sample) -> Row:
    """What a row says of its sample."""
    names = ("edit_type", "turn", "instruction", "rubric_kind", "data_file")
    return {name: sample.target[name] for name in names}


def bounds(sample: Sample) -> tuple[Row, Row]:
    def row(score: float) -> Row:
        return {**about(sample), "judge": None, "score": score, "original": score}

    return row(1.0), row(5.0)
