"""What judging edits shares: asking about several aspects, why a result has no verdict, and the
judge in a metric's name."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harmon_eval.core import Answer, Ask, Row, Sample, Unscorable
from harmon_eval.instruments.judging import Judge, judge_of

if TYPE_CHECKING:
    import pandas as pd

Aspect = Hashable
Verdicts = Mapping[Any, Any]  # aspect -> Verdict, or Unscorable

OURS = "ours"  # the kind of a rubric that is shipped here; the original's wording is the user's
# Words of endpoints and of ``replies.thoughts`` for a request that the judge will not answer.
_REFUSED = ("held the reply back", "refused", "content_filter", "content management policy")


def mark_aspects(
    judge: Judge,
    answers: Sequence[Answer],
    asked: Callable[[Sample, Path | None], Mapping[Any, Ask]],
    reader: Callable[[Sample, Any], Callable[[str], Any]],
    row: Callable[[Sample, Verdicts, str], Row],
    scores: Callable[[Sample, Verdicts], Row],
) -> list[Row]:
    """One row a result; floors are judged in the same way where the data hold their images.

    ``asked`` gives the judge's requests by aspect, and ``reader`` what reads the replies to one:
    the same object where they are read alike. ``row`` makes a result's row, with the judge's name,
    and ``scores`` the columns of a floor."""
    requests: dict[Any, list[tuple[tuple[str, str, Aspect], Ask]]] = {}
    for answer in answers:
        sample = answer.sample
        for name, image in {"": answer.image, **sample.target["floors"]}.items():
            for aspect, ask in asked(sample, image).items():
                key = sample.id, name, aspect
                requests.setdefault(reader(sample, aspect), []).append((key, ask))
    said: dict[tuple[str, str], dict[Aspect, Any]] = {}
    for read, own in requests.items():
        found = judge.verdicts([ask for _, ask in own], read)
        for ((sample_id, name, aspect), _), verdict in zip(own, found, strict=True):
            said.setdefault((sample_id, name), {})[aspect] = verdict
    rows = []
    for answer in answers:
        sample = answer.sample
        marks = row(sample, said[sample.id, ""], judge.name)
        for name in sample.target["floors"]:
            own_scores = scores(sample, said[sample.id, name])
            marks |= {f"{name}:{column}": value for column, value in own_scores.items()}
        rows.append(marks)
    return rows


def unscored(verdict: Unscorable, fate: Callable[[str], str]) -> dict[str, str]:
    """The row of a result that the judge did not mark: the reason, and what the judge said.

    ``fate`` says what the original script makes of such a reply."""
    text, reply = str(verdict), verdict.reply
    if any(word in text for word in _REFUSED):
        text = f"refused by the judge: {text}"
    elif "does not parse" in text:
        text = f"the judge's reply has no scores: the original {fate(reply)}"
    return {"unscored": text, "reply": reply}


def label_of(rows: pd.DataFrame) -> str:
    """The judge, and whose rubric it was given, for the metric's name."""
    ours = "rubric_kind" in rows and bool((rows["rubric_kind"] == OURS).any())
    return judge_of(rows) + (", our rubric" if ours else "")
