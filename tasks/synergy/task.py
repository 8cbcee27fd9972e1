"""Synergy: can the model name what it is shown, and draw what it names?

Paper: none, this benchmark is ours. Protocol: this file. A concept (object, coloured object, count
or relation) is a GenEval prompt with pictures that show it. The model is asked about the pictures
and draws the prompt. The concept counts as named if more than half of the replies are right, as
drawn if more than half of the drawings are. A tag's 2 x 2 table is ``both``, ``named_only``,
``drawn_only`` and ``neither``, as shares of its concepts, with its phi coefficient.

``synergy.jsonl`` holds one concept a line: the object of GenEval's ``evaluation_metadata.jsonl``
(``tag``, ``include``, ``exclude``, ``prompt``) and ``shown``, a list of ``{"image": a file beside
it, "question": text, "answers": [accepted texts]}``. Where the answer is yes or no, ask for each
equally often: no constant reply then names a concept. ``asymmetric.jsonl`` in the run's folder
lists the concepts that can only be named or only be drawn, ``tables.csv`` the tables.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from harmon_eval.core import (
    Answer,
    Ask,
    Draw,
    Instruments,
    Row,
    Sample,
    Suite,
    Task,
    UserError,
)
from harmon_eval.files.question_files import field, find_image
from harmon_eval.replies import gqa_answers, prompts, yes_no
from harmon_eval.tasks.geneval import task as geneval
from harmon_eval.tasks.geneval.layout import read_metadata
from harmon_eval.tasks.synergy.two_by_two import (
    asymmetric,
    by_tag,
    concepts,
    intervals,
    overall,
    table,
)


def samples(suite: Suite, data: str = "synergy") -> Iterator[Sample]:
    """The questions about a concept, then its ``suite.images_per_prompt`` drawings: one group."""
    folder = suite.data(data)
    file = folder / f"{data}.jsonl"
    for index, item in enumerate(read_metadata(file)):
        shown, where = item.pop("shown", None), f"{file}, line {index + 1}"
        if not isinstance(shown, list) or not shown:
            raise UserError(f"{where}: the field 'shown' is missing: give a list of questions")
        group, tag = f"{index:05d}", item["tag"]
        for k, entry in enumerate(shown):
            request, target = asked(entry, [folder], f"{where}, shown[{k}]")
            target |= {"tag": tag, "prompt": item["prompt"]}
            yield Sample(f"{group}/questions/{k:04d}", request, target, group, tag)
        for k in range(suite.images_per_prompt):
            draw = Draw(item["prompt"], index=k)
            yield Sample(f"{group}/samples/{k:04d}", draw, item, group, tag)


def asked(entry: Any, folders: Sequence[Any], where: str) -> tuple[Ask, dict[str, Any]]:
    """One entry of ``shown``. Raises UserError that names the field."""
    answers = entry.get("answers") if isinstance(entry, dict) else None
    if not (isinstance(answers, list) and answers and all(isinstance(a, str) for a in answers)):
        raise UserError(f"{where}: the field 'answers' is missing: give a list of texts")
    question = f"{field(entry, 'question', where)}\n{prompts.SHORT_ANSWER}"
    image = find_image(field(entry, "image", where), folders)
    return Ask(question, (image,), max_new_tokens=16), {"answers": answers}


def mark(answers: Sequence[Answer], instruments: Instruments) -> list[Row]:
    """Drawings by GenEval's verdict, replies by the first word or by exact match."""
    drawn = [isinstance(answer.sample.request, Draw) for answer in answers]
    pictures = [answer for answer, is_drawn in zip(answers, drawn, strict=True) if is_drawn]
    verdicts = iter(geneval.mark(pictures, instruments))
    return [
        {"side": "drawn", "unreadable": False, **next(verdicts)} if is_drawn else mark_reply(answer)
        for answer, is_drawn in zip(answers, drawn, strict=True)
    ]


def mark_reply(answer: Answer) -> Row:
    target, reply = answer.sample.target, answer.reply
    wanted = target["answers"]
    parsed: str | None = reply.strip()
    if set(wanted) <= {"yes", "no"}:
        parsed, rule = yes_no.strict(reply), "yes or no as the first word"
        correct = parsed in wanted
    else:
        rule = "lmms-eval's GQA normalisation"
        correct = any(gqa_answers.lmms_eval(reply, text) for text in wanted)
    named = {"side": "named", "tag": target["tag"], "prompt": target["prompt"], "correct": correct}
    return {**named, "reply": reply, "parsed": parsed, "rule": rule, "unreadable": parsed is None}


def summarize(rows: pd.DataFrame) -> dict[str, float]:
    """``CELL`` is the mean of ``TAG_CELL``; ``naming`` and ``drawing`` are shares of responses.

    ``one_sided`` counts concepts without a scored reply or without a scored drawing, which are in
    no table, ``unreadable`` replies that are neither yes nor no where that was asked."""
    found = concepts(rows)
    metrics = overall(found) if len(found) else {}
    for tag, own in by_tag(found).items():
        metrics |= {f"{tag}_{name}": value for name, value in table(own).items()}
        metrics[f"{tag}_concepts"] = float(len(own))
    metrics["one_sided"] = float(rows["group"].nunique() - len(found))
    return {**metrics, "unreadable": float(rows["unreadable"].sum())}


def exports(chosen: Sequence[Sample], rows: pd.DataFrame | None) -> dict[str, str]:
    """GenEval's metadata beside the images; once marked, the tables and the asymmetric concepts."""
    if rows is None:
        return geneval.exports([s for s in chosen if isinstance(s.request, Draw)], None)
    found = concepts(rows) if len(rows) else pd.DataFrame({"stratum": []})
    tables = {tag: {**table(own), "concepts": len(own)} for tag, own in by_tag(found).items()}
    lines = [json.dumps(item) + "\n" for item in (asymmetric(rows) if len(rows) else ())]
    frame = pd.DataFrame.from_dict(tables, orient="index").rename_axis("tag")
    return {"tables.csv": frame.to_csv(), "asymmetric.jsonl": "".join(lines)}


def assume(sample: Sample, right: bool) -> Row:
    side = "drawn" if isinstance(sample.request, Draw) else "named"
    about = {name: sample.target[name] for name in ("tag", "prompt")}
    return {"side": side, **about, "correct": right, "unreadable": False}


TASK = Task(
    samples=samples,
    mark=mark,
    summarize=summarize,
    headline="both",
    higher_is_better=True,
    paper="none",
    version="1",
    instruments=geneval.TASK.instruments,
    intervals=intervals,
    exports=exports,
    assume=assume,
    licence="that of your pictures; the mini suite's are made here",
    size="as many concepts as the file has; mini: 80, each with 4 questions and 4 drawings",
    protocol="this file: GenEval's rules (djghosh13/geneval @ af4902f) for drawings, lmms-eval's "
    "exact match for short replies, the first word for yes or no",
    differs="There is no original. The official suite has no data: nobody publishes pictures of "
    "GenEval's prompts with questions. Give synergy.jsonl with pictures that are known to show "
    "their prompts (photographs, or drawings that a person checked; none by the model under test).",
    compares="With no other toolkit's numbers. Both sides are asked about the same concepts, not "
    "about the same pictures; half of yes-or-no replies are right by chance, drawings hardly ever.",
    cost="mini: 320 drawings and 320 short replies",
)
