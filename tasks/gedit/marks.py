"""What GEdit-Bench's judge says of one result, as a row."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harmon_eval.core import Answer, Ask, Instruments, Row, Sample, Unscorable
from harmon_eval.instruments.editing import unscored
from harmon_eval.instruments.judging import Judge, Verdict
from harmon_eval.replies.viescore import Scores, Unread, fate, parse
from harmon_eval.tasks.gedit import rules

Outcome = Verdict[Scores] | Unscorable


def judged(sample: Sample, image: Path | None) -> list[Ask]:
    return rules.asks(dict(sample.target), sample.request.files[0], image)


def mark(answers: Sequence[Answer], instruments: Instruments) -> list[Row]:
    """One row a result; floors are judged in the same way where the data hold their images."""
    judge: Judge = instruments["judge"]
    requests: list[Ask] = []
    for answer in answers:
        for image in (answer.image, *answer.sample.target["floors"].values()):
            requests += judged(answer.sample, image)
    verdicts = iter(judge.verdicts(requests, parse))
    rows: list[Row] = []
    for answer in answers:
        row = _row(answer.sample, next(verdicts), next(verdicts), judge.name)
        trivial = {n: (next(verdicts), next(verdicts)) for n in answer.sample.target["floors"]}
        # By the rubric a copy follows no instruction.
        floor: Row = {"copy_source:SC": 0.0, "copy_source:PQ": None, "copy_source:O": 0.0}
        for name, own in trivial.items():
            least = [v.value.least for v in own if not isinstance(v, Unscorable)]
            if len(least) == len(own):
                marks = rules.scores(*least)
                floor |= {f"{name}:{column}": value for column, value in marks.items()}
        rows.append({**row, **floor})
    return rows


def _row(sample: Sample, semantic: Outcome, quality: Outcome, judge: str) -> Row:
    told = {**about(sample), "judge": judge, "rubric": sample.target["rubric"]}
    if isinstance(semantic, Unscorable):
        return {**told, **unscored(semantic, _fate)}
    if isinstance(quality, Unscorable):
        return {**told, **unscored(quality, _fate)}
    replies = {"semantic": semantic, "quality": quality}
    models = sorted({verdict.model for verdict in replies.values() if verdict.model})
    return {
        **told,
        **rules.scores(semantic.value.least, quality.value.least),
        **{f"{name}_scores": list(v.value.values) for name, v in replies.items()},
        **{f"{name}_rule": v.value.rule for name, v in replies.items()},
        **{f"{name}_reply": v.reply for name, v in replies.items()},
        "attempts": sum(verdict.attempts for verdict in replies.values()),
        "judge_as_returned": ", ".join(models),
        **rules.original_fates([verdict.reply for verdict in replies.values()]),
    }


def _fate(reply: str) -> str:
    if fate(reply) is Unread.GUESS:
        return "draws a random score"
    return "asks without end"


def about(sample: Sample) -> Row:
    """What a row says of its sample."""
    target = sample.target
    names = ("task_type", "language", "intersection", "instruction", "rubric_kind")
    place = f"fullset/{target['task_type']}/{target['language']}/{target['key']}"
    return {**{name: target[name] for name in names}, "place": place}


def bounds(sample: Sample) -> tuple[Row, Row]:
    def row(points: float) -> Row:
        fates = {"original_guesses": False, "original_loops": False}
        return {**about(sample), "judge": None, **rules.scores(points, points), **fates}

    return row(0.0), row(10.0)
