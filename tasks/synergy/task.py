"""Synergy: can the model name what it sees, and draw what it can name?

Paper: none, this benchmark is ours. Protocol: this file. A concept (an object, a coloured object, a
count or a relation) is a GenEval prompt with images that show it. The model answers questions about
the images and draws the prompt. The concept counts as named if more than half of the replies are
right, and as drawn if more than half of the generated images are right. A tag's 2 x 2 table holds
the shares of concepts that are ``both``, ``named_only``, ``drawn_only`` and ``neither``, and the
phi coefficient.

Each line of ``synergy.jsonl`` holds one concept: the object from GenEval's
``evaluation_metadata.jsonl`` (``tag``, ``include``, ``exclude``, ``prompt``) and ``shown``, a list
of ``{"image": a file beside it, "question": text, "answers": [accepted texts]}``. If the answer is
yes or no, use both equally often, so that no constant reply can name a concept.
In the run's folder, ``asymmetric.jsonl`` lists the concepts that the model can only name or only
draw, and ``tables.csv`` holds the tables.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from harmon_eval.core import (
    About,
    Answer,
    Data,
    Draw,
    Instruments,
    Row,
    Sample,
    Source,
    Task,
    UserError,
)
from harmon_eval.tasks.geneval import layout
from harmon_eval.tasks.geneval import task as geneval
from harmon_eval.tasks.synergy import mini
from harmon_eval.tasks.synergy.questions import asked, mark_reply
from harmon_eval.tasks.synergy.two_by_two import (
    METRICS,
    asymmetric,
    by_tag,
    concepts,
    overall,
    table,
)

if TYPE_CHECKING:
    import pandas as pd

FILE = "synergy.jsonl"


def samples(data: Data, name: str = FILE) -> Iterator[Sample]:
    """The questions about a concept, then its ``data.images_per_prompt`` images, as one group."""
    folder = data.folder
    file = folder / name
    for index, item in enumerate(layout.read_metadata(file)):
        shown, where = item.pop("shown", None), f"{file}, line {index + 1}"
        if not isinstance(shown, list) or not shown:
            raise UserError(f"{where}: the field 'shown' is missing: give a list of questions")
        group, tag = f"{index:05d}", item["tag"]
        for k, entry in enumerate(shown):
            request, target = asked(entry, [folder], f"{where}, shown[{k}]")
            target |= {"tag": tag, "prompt": item["prompt"]}
            yield Sample(f"{group}/questions/{k:04d}", request, target, group, tag)
        for k in range(data.images_per_prompt):
            draw = Draw(item["prompt"], index=k)
            yield Sample(f"{group}/samples/{k:04d}", draw, item, group, tag)


def is_drawing(sample: Sample) -> bool:
    return sample.request.gives == "image"


def mark(answers: Sequence[Answer], instruments: Instruments) -> list[Row]:
    """Mark images by GenEval's verdict, replies by their first word or by exact match."""
    drawn = [is_drawing(answer.sample) for answer in answers]
    pictures = [answer for answer, is_drawn in zip(answers, drawn, strict=True) if is_drawn]
    verdicts = iter(geneval.mark(pictures, instruments))
    return [
        {"side": "drawn", "unreadable": False, **next(verdicts)} if is_drawn else mark_reply(answer)
        for answer, is_drawn in zip(answers, drawn, strict=True)
    ]


def summarize(rows: pd.DataFrame) -> dict[str, float]:
    """``CELL`` is the mean of ``TAG_CELL``; ``naming`` and ``drawing`` are shares of responses.

    ``one_sided`` counts concepts without a scored reply or without a scored image; they are in no
    table. ``unreadable`` counts replies to yes-or-no questions that are neither yes nor no."""
    found = concepts(rows)
    metrics = overall(found) if len(found) else {}
    for tag, own in by_tag(found).items():
        metrics |= {f"{tag}_{name}": value for name, value in table(own).items()}
        metrics[f"{tag}_concepts"] = float(len(own))
    metrics["one_sided"] = float(rows["group"].nunique() - len(found))
    return {**metrics, "unreadable": float(rows["unreadable"].sum())}


def files_before(chosen: Sequence[Sample]) -> dict[str, str]:
    """GenEval's metadata beside the images."""
    return layout.files_before([sample for sample in chosen if is_drawing(sample)])


def files_after(chosen: Sequence[Sample], rows: pd.DataFrame) -> dict[str, str]:
    """The tables and the asymmetric concepts."""
    import pandas as pd

    found = concepts(rows) if len(rows) else pd.DataFrame({"stratum": []})
    tables = {tag: {**table(own), "concepts": len(own)} for tag, own in by_tag(found).items()}
    lines = [json.dumps(item) + "\n" for item in (asymmetric(rows) if len(rows) else ())]
    frame = pd.DataFrame.from_dict(tables, orient="index").rename_axis("tag")
    return {"tables.csv": frame.to_csv(), "asymmetric.jsonl": "".join(lines)}


def bounds(sample: Sample) -> tuple[Row, Row]:
    side = "drawn" if is_drawing(sample) else "named"
    about = {name: sample.target[name] for name in ("tag", "prompt")}
    wrong: Row = {"side": side, **about, "correct": False, "unreadable": False}
    return wrong, {**wrong, "correct": True}


TASK = Task(
    samples=samples,
    mark=mark,
    summarize=summarize,
    metrics=METRICS,
    about=About(
        paper="none",
        version="1",
        protocol="this file: GenEval's rules (djghosh13/geneval @ af4902f) for images, "
        "lmms-eval's exact match for short replies, the first word for yes or no",
        differs="There is no original. The official suite has no data, because nobody publishes "
        "images of GenEval's prompts with questions. Give synergy.jsonl with images that surely "
        "show their prompts: photographs, or generated images that a person checked, but none from "
        "the model under test.",
        compares="No other toolkit has it. Both sides cover the same concepts, but not the same "
        "images. Half of all yes-or-no replies are right by chance; generated images hardly ever "
        "are.",
        licence="that of your images; the mini suite's images are made here",
        size="as many concepts as the file has; mini: 80, each with 4 questions and 4 images",
        cost="mini: 320 generated images and 320 short replies",
    ),
    sources={
        "official": Source(
            files=(FILE,),
            text="GenEval prompts with your own questions, and the images (none are published; the "
            "format is in docs/tasks.md)",
        ),
        "mini": Source(make=mini.make),
    },
    instruments=geneval.TASK.instruments,
    bounds=bounds,
    files_before=files_before,
    files_after=files_after,
)
