"""What RISEBench's judge is asked about one result, and its row."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from harmon_eval.core import Answer, Ask, Instruments, Row, Sample, Unscorable
from harmon_eval.instruments.editing import Verdicts, mark_aspects, unscored
from harmon_eval.replies import final_score
from harmon_eval.tasks.rise import rules

MAX_TOKENS = 4096


def parse(reply: str) -> int | None:
    return final_score.parse(reply)


def parse_logical(reply: str) -> int | None:
    """Right or wrong, on the scale of the others."""
    found = final_score.parse(reply, 0, 1)
    return None if found is None else 4 * found + 1


def asked(sample: Sample, image: Path | None) -> dict[str, Ask]:
    """Aspect -> request."""
    found = {}
    for aspect, question in sample.target["questions"].items():
        pair = aspect == "consistency" or (aspect == "reasoning" and sample.target["shown"])
        images = () if image is None else (sample.target["before"], image) if pair else (image,)
        found[aspect] = Ask(question, images, MAX_TOKENS)
    return found


def judged(sample: Sample, image: Path | None) -> list[Ask]:
    return list(asked(sample, image).values())


def mark(answers: Sequence[Answer], instruments: Instruments) -> list[Row]:
    def reader(sample: Sample, aspect: str) -> Callable[[str], int | None]:
        return parse_logical if sample.target["category"] == rules.LOGICAL else parse

    return mark_aspects(instruments["judge"], answers, asked, reader, _row, _floor)


def _row(sample: Sample, verdicts: Verdicts, judge: str) -> Row:
    told = {**about(sample), "judge": judge, "rubric": sample.target["rubric"]}
    for verdict in verdicts.values():
        if isinstance(verdict, Unscorable):
            return {**told, **unscored(verdict, lambda reply: "leaves the edit out")}
    replies = {f"{aspect}_reply": verdict.reply for aspect, verdict in verdicts.items()}
    return {**told, **_scores(sample, {a: v.value for a, v in verdicts.items()}), **replies}


def _floor(sample: Sample, verdicts: Verdicts) -> Row:
    if any(isinstance(verdict, Unscorable) for verdict in verdicts.values()):
        return {}
    return _scores(sample, {aspect: v.value for aspect, v in verdicts.items()})


def _scores(sample: Sample, values: Mapping[str, float]) -> Row:
    """By aspect (NaN: not judged), together, as the original's script, and whether all is full."""
    found = {aspect: float(values.get(aspect, math.nan)) for aspect in rules.ASPECTS}
    category, own = sample.target["category"], tuple(found.values())
    return {
        **found,
        "score": rules.score(category, *own),
        "original": rules.original_score(category, *own),
        "complete": rules.complete(*own),
    }


def about(sample: Sample) -> Row:
    names = ("category", "subtask", "instruction", "rubric_kind")
    return {name: sample.target[name] for name in names}


def bounds(sample: Sample) -> tuple[Row, Row]:
    def row(value: float) -> Row:
        scores = dict.fromkeys(sample.target["questions"], value)
        return {**about(sample), "judge": None, **_scores(sample, scores)}

    return row(1.0), row(5.0)
