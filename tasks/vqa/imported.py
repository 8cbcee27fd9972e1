"""Questions of another tool's log: ``vqa:imported/NAME``, which the command ``import`` writes.

``NAME.jsonl`` in the data folder has a question a line: ``id``, ``question``, ``images`` (files
below ``images/``), ``options`` (letter to text), ``answers``, ``group``. A reply is an object:
``reply`` as it was said, ``read`` as the other tool read it, ``marks`` that it gave, and
``stated``, its totals. Marks are made again by the rules for own questions; the other tool's stay
beside them as metrics, ``METRIC[TOOL]``, and its totals as ``stated: METRIC``, without intervals.

``vqa:imported/NAME+theirs`` is for logs that our rules do not apply to: its headline is the first
of the other tool's metrics.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from harmon_eval.core import (
    About,
    Answer,
    Ask,
    Data,
    Instruments,
    Metric,
    Row,
    Sample,
    Source,
    Task,
    Unscorable,
    UserError,
    count,
)
from harmon_eval.files.question_files import find_image, read_json_rows
from harmon_eval.metrics.rows import known
from harmon_eval.replies import short_answers
from harmon_eval.replies.multiple_choice import vqa_rule
from harmon_eval.replies.thoughts import answered

if TYPE_CHECKING:
    import pandas as pd

FOLDER, THEIRS = "imported/", "+theirs"
STATED = "stated: "
UNBOUNDED, LOWER = ", unbounded", ", lower is better"


def samples(data: Data, name: str) -> Iterator[Sample]:
    """Raises UserError for a file that is not what ``import`` writes."""
    file = data.folder / f"{name}.jsonl"
    for number, row in enumerate(read_json_rows(file)):
        where = f"{file}, line {number + 1}"
        try:
            target = {"answers": list(row["answers"]), "options": dict(row["options"])}
            images = [find_image(str(image), [data.folder / "images"]) for image in row["images"]]
            request = Ask(str(row["question"]), tuple(images), max_new_tokens=1024)
            yield Sample(str(row["id"]), request, target, str(row["group"]))
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"{where} is not what `import` writes ({error}): import again"
            ) from None


def mark(answers: Sequence[Answer], instruments: Instruments) -> list[Row]:
    return [_marked(answer) for answer in answers]


def _marked(answer: Answer) -> Row:
    try:
        given = json.loads(answer.reply)
        said, read = str(given["reply"]), given["read"]
        marks = {str(name): float(value) for name, value in given["marks"].items()}
        stated = {f"{STATED}{name}": float(v) for name, v in given["stated"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Unscorable(f"not a reply that `import` stored: {error}") from None
    row: Row = {"question": answer.sample.request.text, "reply": said, **verdict(answer, read)}
    return {**row, **marks, **stated}


def verdict(answer: Answer, read: str | None) -> Row:
    """By the rules for own questions; no verdict where they do not apply, or nothing was said."""
    target = answer.sample.target
    wanted, options = target["answers"], target["options"]
    none: Row = {"parsed": None, "rule": "none", "choice": bool(options), "correct": None}
    if read is None or not applies(wanted, options):
        return {**none, "unmatched": False}
    try:
        reply = answered(read)
    except Unscorable as error:
        return {**none, "rule": str(error), "correct": 0.0, "unmatched": True}
    if options:
        parsed, how = vqa_rule(reply, options)
        right = parsed in wanted and how != "refusal"
        rule = f"a whole letter or the text of one option: {how}"
    else:
        parsed, rule = reply.strip(), "numbers by value, words as they are"
        right = any(short_answers.same(reply, text) for text in wanted)
    found = {"parsed": parsed, "rule": rule, "choice": bool(options), "correct": float(right)}
    return {**found, "unmatched": parsed is None}


def applies(wanted: Sequence[str], options: Any) -> bool:
    """To letters, and to answers of a few words."""
    return bool(wanted) and (bool(options) or all(len(text.split()) <= 6 for text in wanted))


def summarize(rows: pd.DataFrame) -> dict[str, float]:
    """Percent by our rules; the other tool's metrics in its own units."""
    import pandas as pd

    metrics: dict[str, float] = {}
    if "correct" in rows and (own := pd.to_numeric(rows["correct"])).notna().any():
        metrics["accuracy"] = 100 * float(own.mean())
        metrics["unmatched"] = float(rows["unmatched"].astype(float).sum())
    for name in map(str, rows.columns):
        values = pd.to_numeric(rows[name]) if _is_theirs(name) else None
        if values is not None and values.notna().any():
            stated = name.startswith(STATED)
            metrics[name] = float(values.dropna().iloc[0] if stated else values.mean())
    return metrics


def _is_theirs(name: str) -> bool:
    return name.startswith(STATED) or name.endswith("]")


def _rows(rows: pd.DataFrame, name: str) -> pd.Series:
    return rows[name].notna()


def _share(rows: pd.DataFrame, name: str) -> tuple[np.ndarray, np.ndarray]:
    import pandas as pd

    values = pd.to_numeric(rows[name]).to_numpy(np.float64)
    return np.nan_to_num(values), np.isfinite(values).astype(float)


def _correct(rows: pd.DataFrame, name: str) -> tuple[np.ndarray, np.ndarray]:
    return _share(rows, "correct")


def imported_task(name: str) -> Task:
    """``name``: that of the file, with ``+theirs`` for a headline of the other tool's."""
    theirs = name.endswith(THEIRS)
    plain = name.removesuffix(THEIRS)
    source = Source(files=(f"{plain}.jsonl",), text=f"{plain}.jsonl, which `import` writes")
    return Task(
        samples=partial(samples, name=plain),
        mark=mark,
        summarize=summarize,
        metrics=(
            Metric("accuracy", True, 100.0, known("correct"), headline=not theirs, of=_correct),
            count("unmatched"),
            count(f"{STATED}*"),
            Metric(f"*[*{UNBOUNDED}{LOWER}]", False, None, _rows),
            Metric(f"*[*{UNBOUNDED}]", True, None, _rows),
            Metric(f"*[*{LOWER}]", False, 1.0, _rows, of=_share),
            Metric("*[*]", True, 1.0, _rows, headline=theirs, of=_share),
        ),
        sources={"official": source, "mini": source},
        about=About(
            paper="none",
            version="1",
            protocol="the rules for own questions, on replies of another tool's log",
            differs="There is no original.",
            compares="METRIC[TOOL] are the other tool's own marks of the samples.",
            licence="that of the benchmark",
            size="as many questions as the log has",
            cost="nothing is asked",
        ),
    )
