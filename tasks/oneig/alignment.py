"""Alignment: a graph of questions about each prompt of a person, a thing or a style."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from harmon_eval.core import About, Data, Source, Task, UserError
from harmon_eval.files.question_files import say_fewer
from harmon_eval.tasks.checklist.asking import read_templates
from harmon_eval.tasks.checklist.benchmark import Checklist, benchmark
from harmon_eval.tasks.checklist.files import Item, Point, check_items
from harmon_eval.tasks.checklist.rules import Protocol
from harmon_eval.tasks.oneig.files import ALIGNED, PROMPTS, read_prompts, read_questions
from harmon_eval.tasks.oneig.layout import read_images, without_black

PUBLISHED = {"en": 695, "zh": 895}  # prompts with questions
PROTOCOL = Protocol(dependency="direct")


def load(data: Data, language: str) -> Checklist:
    """Raises UserError for questions without a prompt, and for a graph with a flaw."""
    prompts = read_prompts(data.folder, language)
    items = []
    for cls in ALIGNED[language]:
        for own, questions in read_questions(data.folder, cls, language).items():
            prompt = prompts.get(f"{cls}-{own}")
            if prompt is None:
                raise UserError(
                    f"{data.folder}: the questions of {cls} {own} have no prompt: get "
                    f"{PROMPTS[language]} again"
                )
            points = tuple(Point(q.id, q.text, parents=q.parents) for q in questions)
            items.append(Item(prompt.name, points, prompt.text, {"class": cls}, images=4))
    check_items(items, str(data.folder))
    if data.suite == "official":
        say_fewer(len(items), PUBLISHED[language], "prompt of alignment", data.folder)
    return Checklist(items, PROTOCOL, read_templates(data.folder))


def task(language: str, about: About, sources: dict[str, Source]) -> Task:
    made = benchmark(
        f"oneig_alignment_{language}",
        partial(load, language=language),
        protocol=PROTOCOL,
        about=about,
        sources=sources,
    )
    return replace(
        made,
        mark=partial(without_black, mark=made.mark),
        layout=read_images,
        layout_shown="CLASS/MODEL/000.webp",
    )
