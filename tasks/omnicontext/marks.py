"""What OmniContext's judge is asked about one result, and its row."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harmon_eval.core import Answer, Ask, Instruments, Row, Sample, Unscorable
from harmon_eval.files.judged_images import as_jpeg
from harmon_eval.instruments.editing import Verdicts, mark_aspects, unscored
from harmon_eval.tasks.omnicontext import rules


def asked(sample: Sample, image: Path | None) -> dict[str, Ask]:
    """Aspect -> request: all sources in order, then the result."""
    images = () if image is None else (*map(rules.shown, sample.request.files), as_jpeg(image))
    questions = sample.target["questions"]
    return {name: Ask(questions[name], images, rules.MAX_TOKENS) for name in rules.ASPECTS}


def judged(sample: Sample, image: Path | None) -> list[Ask]:
    return list(asked(sample, image).values())


def mark(answers: Sequence[Answer], instruments: Instruments) -> list[Row]:
    return mark_aspects(
        instruments["judge"], answers, asked, lambda sample, aspect: rules.parse, _row, _scores
    )


def _row(sample: Sample, verdicts: Verdicts, judge: str) -> Row:
    told = {**about(sample), "judge": judge, "rubric": sample.target["rubric"]}
    for verdict in verdicts.values():
        if isinstance(verdict, Unscorable):
            return {**told, **unscored(verdict, _fate)}
    replies = [verdict.reply for verdict in verdicts.values()]
    return {
        **told,
        **_scores(sample, verdicts),
        **{f"{name}_reply": verdict.reply for name, verdict in verdicts.items()},
        "original_guesses": any(map(rules.original_guesses, replies)),
        "original_stops": any(map(rules.original_stops, replies)),
    }


def _fate(reply: str) -> str:
    return "draws a random score" if rules.original_guesses(reply) else "stops or reads it"


def _scores(sample: Sample, verdicts: Verdicts) -> Row:
    if any(isinstance(verdict, Unscorable) for verdict in verdicts.values()):
        return {}
    return rules.scores(*(verdicts[name].value for name in rules.ASPECTS))


def about(sample: Sample) -> Row:
    names = ("task_type", "instruction", "rubric_kind")
    return {name: sample.target[name] for name in names}


def bounds(sample: Sample) -> tuple[Row, Row]:
    def row(points: float) -> Row:
        fates = {"original_guesses": False, "original_stops": False}
        return {**about(sample), "judge": None, **rules.scores(points, points), **fates}

    return row(0.0), row(10.0)
