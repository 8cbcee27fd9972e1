"""MME: fourteen subtasks of perception and cognition, with two yes/no questions about each image.

Paper: Fu et al. 2023, arXiv 2306.13394. A subtask scores accuracy plus accuracy+ (the share of
images with both questions right), so at most 200. Perception is the sum over ten subtasks (at most
2000), cognition the sum over four (at most 800).

``mme:PROMPT`` changes the wording: ``short`` (default, as in lmms-eval), ``official``, ``both``
(both instructions) or ``janus`` (both, after a line break).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from harmon_eval.core import (
    About,
    Answer,
    Ask,
    Data,
    Instruments,
    Row,
    Sample,
    Source,
    Task,
)
from harmon_eval.replies import prompts, yes_no
from harmon_eval.settings import variant
from harmon_eval.tasks.mme import mini
from harmon_eval.tasks.mme.files import (
    OFFICIAL,
    answer_files,
    check_sizes,
    read_questions,
    subtask_scores,
    sums,
)
from harmon_eval.tasks.mme.scores import METRICS

if TYPE_CHECKING:
    import pandas as pd

SUFFIX = f" {prompts.YES_OR_NO}"
PROMPTS = ("short", "official", "both", "janus")
OTHER_RULES = {"lmms-eval": yes_no.mme_lmms_eval, "vlmevalkit": yes_no.vlmevalkit}


def phrased(question: str, prompt: str) -> str:
    if prompt == "official":
        return question
    kept = question.removesuffix(SUFFIX) if prompt == "short" else question
    start = "\n" if prompt == "janus" else ""
    return f"{start}{kept}\n{prompts.SHORT_ANSWER}"


def samples(data: Data, prompt: str) -> Iterator[Sample]:
    found = list(read_questions(data.folder))
    if data.suite == "official":
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
    """Points. ``other`` counts replies that are neither yes nor no, ``at_50`` subtasks of exactly
    50 points: fourteen of those mean that the reply never changes, or that replies were lost."""
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


def open_task(argument: str = "") -> Task:
    prompt = variant(argument, prompt=PROMPTS)["prompt"]
    return Task(
        samples=partial(samples, prompt=prompt),
        mark=mark,
        summarize=summarize,
        metrics=METRICS,
        columns=("subtask", "correct", "other", *OTHER_RULES),
        sources={"official": OFFICIAL, "mini": Source(make=mini.make)},
        also=("mme", "MME"),
        bounds=lambda s: ("No", "Yes") if s.target["truth"] == "Yes" else ("Yes", "No"),
        files_after=answer_files,
        about=About(
            paper="arXiv 2306.13394",
            version=f"2, prompt {prompt}",
            protocol="eval_tool of BradyFU/Awesome-Multimodal-Large-Language-Models @ dd29509",
            differs="Replies are stripped and cut at the first line break, which the official "
            "files cannot hold. Questions are paired by image, not by line number. Perception "
            "needs all ten subtasks: there is no sum over fewer. A reply that is neither yes nor "
            "no is wrong, and counted.",
            compares="The sums are those of lmms-eval (its prompt is the default here) and of "
            "VLMEvalKit (which calls cognition `reasoning`). `[lmms-eval]` and `[vlmevalkit]` read "
            "the same replies by their rules. VLMEvalKit's Janus adapter asks as `mme:janus` does. "
            "The prompt alone moves the sum by hundreds of points.",
            licence="research use; images on e-mail request to the authors",
            size="2,374 questions about 1,187 images in 14 subtasks",
            cost="2,374 short replies",
        ),
    )


TASK = open_task()
