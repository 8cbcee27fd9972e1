"""MME: fourteen subtasks of perception and cognition, two yes/no questions an image.

Paper: Fu et al. 2023, arXiv 2306.13394. A subtask scores accuracy + accuracy+ (both questions of an
image right), so at most 200; perception (ten subtasks) at most 2000, cognition (four) 800.
``mme:PROMPT`` asks in other words: ``short`` (default, as lmms-eval), ``official``, ``both``,
``janus`` (both, after a line break).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import pandas as pd

from harmon_eval.core import Answer, Ask, Instruments, Row, Sample, Suite, Task
from harmon_eval.metrics.statistics import scaled_intervals
from harmon_eval.replies import prompts, yes_no
from harmon_eval.settings import variant
from harmon_eval.tasks.mme.files import (
    SUBTASKS,
    check_sizes,
    evaluation_line,
    read_questions,
    subtask_scores,
    sums,
)

SUFFIX = f" {prompts.YES_OR_NO}"
PROMPTS = ("short", "official", "both", "janus")
OTHER_RULES = {"lmms-eval": yes_no.mme_lmms_eval, "vlmevalkit": yes_no.vlmevalkit}
MAXIMA = {"perception": 2000.0, "cognition": 800.0, **dict.fromkeys(SUBTASKS, 200.0)}


def phrased(question: str, prompt: str) -> str:
    if prompt == "official":
        return question
    kept = question.removesuffix(SUFFIX) if prompt == "short" else question
    start = "\n" if prompt == "janus" else ""
    return f"{start}{kept}\n{prompts.SHORT_ANSWER}"


def samples(suite: Suite, prompt: str) -> Iterator[Sample]:
    found = list(read_questions(suite.data("mme")))
    if suite.name == "official":
        images = {(question.subtask, question.image) for question in found}
        check_sizes(Counter(subtask for subtask, _ in images))
    for q in found:
        yield Sample(
            id=f"{q.subtask}/{Path(q.image).stem}/{q.truth.lower()}",
            request=Ask(phrased(q.text, prompt), (q.file,), max_new_tokens=16),
            target={"subtask": q.subtask, "question": q.text, "truth": q.truth},
            group=f"{q.subtask}/{q.image}",
            stratum=q.subtask,
        )


def mark(answers: Sequence[Answer], instruments: Instruments) -> list[Row]:
    rows = []
    for answer in answers:
        truth = str(answer.sample.target["truth"]).lower()
        parsed = yes_no.mme_official(yes_no.first_line(answer.reply))
        rows.append(
            {
                "subtask": answer.sample.target["subtask"],
                "truth": truth,
                "reply": answer.reply,
                "parsed": parsed,
                "rule": "mme official, on the first line",
                "correct": parsed == truth,
                "other": parsed is None,
                **{name: rule(answer.reply) == truth for name, rule in OTHER_RULES.items()},
            }
        )
    return rows


def summarize(rows: pd.DataFrame) -> dict[str, float]:
    """Points; ``other`` counts replies that are neither, ``at_50`` subtasks of exactly 50.

    Fourteen of those are the mark of a constant reply or of lost ones."""
    subtasks, groups = rows["subtask"].to_numpy(), rows["group"].to_numpy()
    scores = subtask_scores(subtasks, groups, rows["correct"].to_numpy(dtype=float))
    metrics = sums(scores)
    for name, (accuracy, both) in scores.items():
        metrics[name] = accuracy + both
        metrics |= {f"{name}_accuracy": accuracy, f"{name}_accuracy_plus": both}
    for rule in OTHER_RULES:
        other = sums(subtask_scores(subtasks, groups, rows[rule].to_numpy(dtype=float)))
        metrics |= {f"{name}[{rule}]": value for name, value in other.items()}
    metrics["other"] = float(rows["other"].sum())
    metrics["at_50"] = float(sum(sum(score) == 50 for score in scores.values()))
    return metrics


def maximum(name: str) -> float | None:
    return None if name in ("other", "at_50") else MAXIMA.get(name.partition("[")[0], 100.0)


def exports(asked: Sequence[Sample], rows: pd.DataFrame | None) -> dict[str, str]:
    """The files that the official tool reads, once a subtask is answered completely."""
    if rows is None:
        return {}
    replies = dict(zip(rows["id"], rows["reply"], strict=True))
    lines: dict[str, list[str]] = {}
    for sample in asked:
        subtask, _, image = sample.group.partition("/")
        reply = replies.get(sample.id)
        line = (
            ""
            if reply is None
            else evaluation_line(
                image, sample.target["question"], sample.target["truth"], yes_no.first_line(reply)
            )
        )
        lines.setdefault(f"Your_Results/{subtask}.txt", []).append(line)
    return {name: "".join(found) for name, found in lines.items() if all(found)}


def open_task(argument: str = "") -> Task:
    prompt = variant(argument, prompt=PROMPTS)["prompt"]
    columns = ("subtask", "correct", "other", *OTHER_RULES)
    return Task(
        samples=partial(samples, prompt=prompt),
        mark=mark,
        summarize=summarize,
        headline="perception",
        higher_is_better=True,
        paper="arXiv 2306.13394",
        version=f"1, prompt {prompt}",
        intervals=partial(scaled_intervals, maximum=maximum, columns=columns),
        exports=exports,
        extremes=lambda s: ("No", "Yes") if s.target["truth"] == "Yes" else ("Yes", "No"),
        licence="research use, images by e-mail request to the authors",
        size="2,374 questions about 1,187 images in 14 subtasks",
        protocol="eval_tool of BradyFU/Awesome-Multimodal-Large-Language-Models @ dd29509",
        differs="Replies are stripped and cut at the first line break, which the official files "
        "cannot hold. Pairs are formed by image, not by line number. Perception needs all ten "
        "subtasks: sums over fewer are refused. Neither yes nor no is wrong, and counted.",
        compares="Same sums as lmms-eval (default prompt here) and VLMEvalKit (reports `reasoning` "
        "for cognition); both readings of the same replies stand beside as `[lmms-eval]` and "
        "`[vlmevalkit]`. VLMEvalKit's Janus adapter asks with `mme:janus`. Prompts move the sum by "
        "hundreds of points.",
        cost="2,374 short replies",
    )


TASK = open_task()
