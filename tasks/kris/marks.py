"""What KRIS-Bench's judge is asked about one result, and its row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path

from harmon_eval.core import Answer, Ask, Instruments, Row, Sample, Unscorable
from harmon_eval.instruments.editing import Verdicts, mark_aspects, unscored
from harmon_eval.tasks.kris import rules


def asked(sample: Sample, image: Path | None) -> dict[tuple[str, ...], Ask]:
    """Names of the scores -> request. The last one is about instruction and maybe knowledge."""
    questions, sources = sample.target["questions"], sample.request.files
    pair = (*sources, image) if image else ()
    last = sample.target["last"]
    names = ("instruction", "knowledge") if last == "knowledge" else ("instruction",)
    return {
        ("consistency",): Ask(questions["consistency"], pair, rules.MAX_TOKENS),
        ("quality",): Ask(questions["quality"], (image,) if image else (), rules.MAX_TOKENS),
        names: Ask(questions[last], pair, rules.MAX_TOKENS),
    }


def judged(sample: Sample, image: Path | None) -> list[Ask]:
    return list(asked(sample, image).values())


def mark(answers: Sequence[Answer], instruments: Instruments) -> list[Row]:
    return mark_aspects(
        instruments["judge"], answers, asked, lambda sample, names: _reader(names), _row, _scores
    )


@cache
def _reader(names: tuple[str, ...]) -> Callable[[str], dict[str, int] | None]:
    return partial(rules.parse, names=names)


def _row(sample: Sample, verdicts: Verdicts, judge: str) -> Row:
    told = {**about(sample), "judge": judge, "rubric": sample.target["rubric"]}
    for verdict in verdicts.values():
        if isinstance(verdict, Unscorable):
            return {**told, **unscored(verdict, lambda reply: "may take any digit of it")}
    replies = {f"{names[-1]}_reply": verdict.reply for names, verdict in verdicts.items()}
    return {**told, **_scores(sample, verdicts), **replies}


def _scores(sample: Sample, verdicts: Verdicts) -> Row:
    """By name; NaN for knowledge where it is not judged, and for what has no verdict."""
    found: Row = dict.fromkeys(rules.SCORES, float("nan"))
    for verdict in verdicts.values():
        if not isinstance(verdict, Unscorable):
            found |= {name: float(value) for name, value in verdict.value.items()}
    return found


def about(sample: Sample) -> Row:
    names = ("category", "kris_group", "kind", "rubric_kind")
    row: Row = {name: sample.target[name] for name in names}
    return {**row, "instruction_text": sample.target["instruction_text"]}


def bounds(sample: Sample) -> tuple[Row, Row]:
    def row(score: float) -> Row:
        knowledge = score if sample.target["last"] == "knowledge" else float("nan")
        scores = dict.fromkeys(rules.SCORES, score) | {"knowledge": knowledge}
        return {**about(sample), "judge": None, **scores}

    return row(1.0), row(5.0)
