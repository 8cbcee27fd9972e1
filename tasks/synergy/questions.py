"""Synergy's questions: from an entry in ``shown`` to a request, and from a reply to its mark."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harmon_eval.core import Answer, Ask, Row, UserError
from harmon_eval.files.question_files import field, find_image
from harmon_eval.replies import gqa_answers, prompts, yes_no


def asked(entry: Any, folders: Sequence[Any], where: str) -> tuple[Ask, dict[str, Any]]:
    """The request and target for one entry of ``shown``. Raises UserError naming a bad field."""
    answers = entry.get("answers") if isinstance(entry, dict) else None
    if not (isinstance(answers, list) and answers and all(isinstance(a, str) for a in answers)):
        raise UserError(f"{where}: the field 'answers' is missing: give a list of texts")
    question = f"{field(entry, 'question', where)}\n{prompts.SHORT_ANSWER}"
    image = find_image(field(entry, "image", where), folders)
    return Ask(question, (image,), max_new_tokens=16), {"answers": answers}


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
