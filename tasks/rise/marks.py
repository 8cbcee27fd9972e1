"""What RISEBench's judge is asked about one result, and its row."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harmon_eval.core import Answer, Ask, Instruments, Row, Sample, Unscorable
from harmon_eval.instruments.editing import unscored
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
    """One row a result; floors are judged in the same way where the data hold their images."""
    judge = instruments["judge"]
    requests: dict[Any, list[tuple[tuple[str, str, str], Ask]]] = {parse: [], parse_logical: []}
    for answer in answers:
        sample = answer.sample
        read = parse_logical if sample.target["category"] == rules.LOGICAL else parse
        for name, image in {"": answer.image, **sample.target["floors"]}.items():
            for aspect, ask in asked(sample, image).items():
                requests[read].append(((sample.id, name, aspect), ask))
    said: dict[tuple[str, str], dict[str, Any]] = {}
    for read, own in requests.items():
        found = judge.verdicts([ask for _, ask in own], read) if own else []
        for ((key, name, aspect), _), verdict in zip(own, found, strict=True):
            said.setdefault((key, name), {})[aspect] = verdict
    rows = []
    for answer in answers:
        row = _row(answer.sample, said[answer.sample.id, ""], judge.name)
        for name in answer.sample.target["floors"]:
            verdicts = said[answer.sample.id, name]
            if not any(isinstance(verdict, Unscorable) for verdict in verdicts.values()):
                scores = _scores(answer.sample, {a: v.value for a, v in verdicts.items()})
                row |= {f"{name}:{column}": value for column, value in scores.items()}
        rows.append(row)
    return rows


def _row(sample: Sample, verdicts: Mapping[str, Any], judge: str) -> Row:
    told = {**about(sample), "judge": judge, "rubric": sample.target["rubric"]}
    for verdict in verdicts.values():
        if isinstance(verdict, Unscorable):
            return {**told, **unscored(verdict, lambda reply: "leaves the edit out")}
    replies = {f"{aspect}_reply": verdict.reply for aspect, verdict in verdicts.items()}
    return {**told, **_scores(sample, {a: v.value for a, v in verdicts.items()}), **replies}


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
