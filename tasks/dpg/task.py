"""DPG-Bench: how much of a long, dense prompt does the image show?

Paper: Hu et al. 2024, arXiv 2403.05135. Protocol: TencentQQGYLab/ELLA @ 3c228f1. Each prompt has a
graph of yes/no questions, which are asked about each of four images. ``as_published*`` follow the
published script, which loses its first row and takes categories from the last image. They differ
from it in one thing: the script counts every answer but yes as no, but here an answer that is
neither leaves its image unscored. The name of the model that answers is part of the metric's name.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harmon_eval.core import (
    About,
    Answer,
    Ask,
    Data,
    Draw,
    Instruments,
    Reward,
    Row,
    Sample,
    Source,
    Task,
    Unscorable,
    UserError,
)
from harmon_eval.files.question_files import read_text
from harmon_eval.instruments.judging import judge_of
from harmon_eval.replies.prompts import YES_OR_NO
from harmon_eval.replies.yes_no import one_word
from harmon_eval.tasks.dpg import mini
from harmon_eval.tasks.dpg import rules as dpg
from harmon_eval.tasks.dpg.files import FILE, OFFICIAL, questions_of, read_questions, say_gaps
from harmon_eval.tasks.dpg.layout import read_images

if TYPE_CHECKING:
    import pandas as pd

FORM = f" {YES_OR_NO}"  # mPLUG needs no such request; a model that chats does


def samples(data: Data) -> Iterator[Sample]:
    """Each prompt ``data.images_per_prompt`` times. Raises UserError for files with a flaw."""
    folder = data.folder
    questions, first = read_questions(folder / FILE)
    files = sorted((folder / "prompts").glob("*.txt"))
    if not files:
        raise UserError(f"{folder}/prompts holds no prompts: put dpg_bench/prompts/*.txt there")
    say_gaps(folder, files, questions, data.suite)
    for file in files:
        prompt = read_text(file).replace("\r\n", "\n").strip()
        for index in range(data.images_per_prompt):
            target = {
                "questions": [
                    [int(q.id), q.text, [int(p) for p in q.parents], q.kind]
                    for q in questions.get(file.stem, ())
                ],
                "first": file.stem == first,
                "last": index == data.images_per_prompt - 1,
            }
            yield Sample(f"{file.stem}/{index:04d}", Draw(prompt, index=index), target, file.stem)


def judged(sample: Sample, image: Path | None) -> list[Ask]:
    return [Ask(q.text + FORM, (image,) if image else (), 8) for q in questions_of(sample)]


def mark(answers: Sequence[Answer], instruments: Instruments) -> list[Row]:
    """One row an image: answers by question, both scores, counts by category.

    An image with a question that has no yes or no is unscored."""
    judge = instruments["judge"]
    asks = [judged(answer.sample, answer.image) for answer in answers]
    verdicts = iter(judge.verdicts([a for own in asks for a in own], one_word))
    rows: list[Row] = []
    for answer, own in zip(answers, asks, strict=True):
        found = [next(verdicts) for _ in own]
        questions = questions_of(answer.sample)
        failed = next((v for v in found if isinstance(v, Unscorable)), None)
        if not found or failed:
            rows.append({"unscored": str(failed or "dpg_bench.csv has no questions for it")})
            continue
        said = {q.id: v.value for q, v in zip(questions, found, strict=True)}
        row = dpg.mark_image(questions, said, answer.sample.target["first"])
        models = ", ".join(sorted({v.model for v in found if v.model}))
        by = {"judge": judge.name, "judge_as_returned": models}
        rows.append({**by, "last": answer.sample.target["last"], **row})
    return rows


def points(sample: Sample, row: Mapping[str, Any]) -> list[tuple[str, bool | float]]:
    said = json.loads(row["answers"])
    return [(q.text, bool(said[q.id])) for q in questions_of(sample) if q.id in said]


def bounds(sample: Sample) -> tuple[Row, Row]:
    return _assumed(sample, False), _assumed(sample, True)


def _assumed(sample: Sample, right: bool) -> Row:
    """All yes or all no; a prompt without questions has a score and nothing else."""
    questions = questions_of(sample)
    row: Row = {"judge": None, "last": sample.target["last"]}
    if not questions:
        return {**row, "score": float(right), "published": float("nan")}
    said = {question.id: right for question in questions}
    return {**row, **dpg.mark_image(questions, said, sample.target["first"])}


def summarize(rows: pd.DataFrame) -> dict[str, float]:
    """All in percent. ``dpg``: mean over prompts of the mean over images; categories: share of yes
    before dependencies, so that ``dpg`` is not their mean."""
    import pandas as pd

    judge = judge_of(rows)
    items = rows.groupby("group")[["score", "published"]].mean().mean()
    found = {f"dpg[{judge}]": 100 * float(items["score"])}
    if pd.notna(items["published"]):
        found[f"as_published[{judge}]"] = 100 * float(items["published"])
    found |= dpg.categories(rows, "", "")
    return found | dpg.categories(rows[rows["last"].astype(bool)], "published ", "as_published/")


TASK = Task(
    samples=samples,
    mark=mark,
    summarize=summarize,
    metrics=dpg.METRICS,
    about=About(
        paper="arXiv 2403.05135",
        version="2",
        protocol="TencentQQGYLab/ELLA @ 3c228f1, dpg_bench",
        differs="The first row of questions counts, categories come from all four images, and an "
        "answer that is neither yes nor no is unscored. `as_published*` keep the script's rows and "
        "categories, but leave such answers unscored too: the script counts them as no.",
        compares="Neither lmms-eval nor VLMEvalKit is followed. Published rows are mPLUG's on "
        "2 x 2 grids: another answerer does not compare. Users miss the published numbers by 2 to "
        "6 points even so.",
        licence="Apache-2.0 (TencentQQGYLab/ELLA)",
        size="1,065 prompts x 4 images",
        cost="4,260 drawings, each asked all questions of its graph",
    ),
    sources={"official": OFFICIAL, "mini": Source(make=mini.make)},
    instruments={"judge": ""},
    judged=judged,
    points=points,
    bounds=bounds,
    layout=read_images,
    layout_shown="ITEM.png",
    reward=Reward(dpg.reward),
    # The yes and no of each question (``answers``) are not added up.
    columns=("judge", "last", "score", "published", "*yes:*", "*of:*"),
)
