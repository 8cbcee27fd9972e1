"""From run folders to cards: a prompt or question, and what one or two runs made of it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harmon_eval import registry, suites
from harmon_eval.core import Sample, UserError
from harmon_eval.metrics.text import number
from harmon_eval.running.jobs import RunSettings, data_hash, prepare
from harmon_eval.store.digests import sha256_of
from harmon_eval.store.run_folder import RunFolder, TaskFolder

RIGHT, WRONG, MARKED, UNSCORED, MISSING = "right", "wrong", "marked", "unscored", "missing"
BETTER, WORSE, CHANGED = "better", "worse", "changed"
# Columns that have a place of their own on a card; every other one is listed by its name.
PLACED = {
    "id",
    "group",
    "stratum",
    "response",
    "unscored",
    "correct",
    "reason",
    "tag",
    "prompt",
    "question",
    "metadata",
    "setting",
}
FIRST = ("reply", "parsed", "rule", "answer", "target")
TEXT_COLUMNS = ("prompt", "question")

Boxes = tuple[tuple[str, tuple[float, ...]], ...]
Facts = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Outcome:
    """What one run came to on one sample.

    ``boxes``: name of the object, and x0, y0, x1, y1 in pixels with the score if there is one."""

    state: str
    reason: str = ""
    image: Path | None = None
    boxes: Boxes = ()
    facts: Facts = ()


@dataclass(frozen=True)
class Item:
    """One sample; with two runs two outcomes, this run's first."""

    id: str
    outcomes: tuple[Outcome, ...]

    @property
    def change(self) -> str:
        """Whether the mark differs between the runs, and for the better or the worse."""
        if len(self.outcomes) < 2 or MISSING in (
            now := self.outcomes[0].state,
            before := self.outcomes[1].state,
        ):
            return ""
        if {now, before} == {RIGHT, WRONG}:
            return BETTER if now == RIGHT else WORSE
        here, there = (_mark(outcome) for outcome in self.outcomes)
        return CHANGED if here != there else ""


def _mark(outcome: Outcome) -> tuple[str, Facts]:
    facts = dict(outcome.facts)
    facts.pop("reply", None)
    if outcome.state in (RIGHT, WRONG):  # the same verdict on another reading is a change too
        facts = {name: value for name, value in facts.items() if name == "parsed"}
    return outcome.state, tuple(facts.items())


@dataclass(frozen=True)
class Card:
    """A prompt with its drawings, or a question with the images that it is about."""

    task: str
    group: str
    tag: str
    text: str
    asked: tuple[Path, ...]
    items: tuple[Item, ...]


@dataclass(frozen=True)
class TaskView:
    """One task of one run: outcomes by sample id in order, and what is known of the samples."""

    outcomes: Mapping[str, Outcome]
    rows: Mapping[str, Mapping[str, Any]]
    samples: Mapping[str, Sample]
    remark: str = ""


def read_task(run: RunFolder, name: str, data: Path | None = None) -> TaskView:
    """Raises UserError for a damaged run folder.

    Prompts and questions come from the task's own data; where that is not at hand (``remark``),
    from the rows as far as they hold them."""
    entry = run.manifest["tasks"][name]
    samples, remark = _samples(run, name, data)
    log = run.task(name).recorded()
    rows = _rows(run.task(name))
    if not rows:
        reason = f"not marked yet ({entry['state']})"
        rows = {sample_id: {"id": sample_id, "unscored": reason} for sample_id in log}
    outcomes = {}
    for sample_id, row in rows.items():
        reply = log.get(sample_id, {}).get("reply")
        outcomes[sample_id] = outcome(row, run.task(name).own_image(sample_id), reply)
    return TaskView(outcomes, rows, samples, remark)


def _samples(run: RunFolder, name: str, data: Path | None) -> tuple[dict[str, Sample], str]:
    """The task's samples by id, or why they cannot be shown."""
    manifest = run.manifest
    entry, identity = manifest["tasks"][name], manifest["identity"]
    before = Path(manifest["data"]) if manifest.get("data") else None
    try:
        suite = suites.load(identity["suite"], data or before)
        job = prepare(name, registry.task(name), suite, RunSettings(identity["seed"]))
    except UserError as error:
        return {}, f"prompts, questions and their images are not at hand: {error}"
    if data_hash(job.everything) != entry["data"]:
        return {}, "the data here is not the data of this run: pass its folder as --data"
    return {sample.id: sample for sample in job.everything}, ""


def _rows(folder: TaskFolder) -> dict[str, dict[str, Any]]:
    """Rows by id without their feature vectors, which would not fit into memory for 30,000."""
    table = folder.rows(vectors=False)
    records = [] if table is None else table.to_dict("records")
    return {str(row["id"]): {str(k): v for k, v in row.items()} for row in records}


def absent(value: object) -> bool:
    """None, NaN, NaT and the like: a cell that a row does not have."""
    import pandas as pd

    return value is None or bool(pd.api.types.is_scalar(value) and pd.isna(value))


def outcome(row: Mapping[str, Any], image: Path | None, reply: str | None) -> Outcome:
    """One row of any task. ``correct`` is the verdict where there is one."""
    unscored, correct = row.get("unscored"), row.get("correct")
    if not absent(unscored):
        state, reason = UNSCORED, str(unscored)
    else:
        state = MARKED if absent(correct) else RIGHT if bool(correct) else WRONG
        reason = "" if absent(row.get("reason")) else str(row["reason"])
    boxes = read_boxes(row.get("details"))
    facts = {name: value for name, value in row.items() if name not in PLACED}
    if boxes is not None:
        facts.pop("details")
    if reply is not None:
        facts.setdefault("reply", reply)
    order = [*(n for n in FIRST if n in facts), *(n for n in facts if n not in FIRST)]
    told = tuple((name, _told(facts[name])) for name in order if not absent(facts[name]))
    return Outcome(state, reason, image, boxes or (), told)


def _told(value: Any) -> str:
    if isinstance(value, float):
        return number(value)
    if hasattr(value, "tolist"):
        value = value.tolist()
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def read_boxes(details: object) -> Boxes | None:
    """GenEval's ``details``: class -> boxes [x0, y0, x1, y1, score]. None for anything else."""
    try:
        content: Any = json.loads(details) if isinstance(details, str) else details
        boxes = tuple(
            (str(name), tuple(map(float, box))) for name, each in content.items() for box in each
        )
    except (ValueError, TypeError, AttributeError):
        return None
    sound = all(len(box) in (4, 5) and all(map(math.isfinite, box)) for _, box in boxes)
    return boxes if sound else None


# -- cards -----------------------------------------------------------------------------------


def cards(name: str, view: TaskView, other: TaskView | None = None) -> list[Card]:
    """Samples of one group that say the same belong on one card, in the order of the rows."""
    found: dict[tuple[str, str, tuple[Path, ...]], list[Item]] = {}
    tags = {}
    for sample_id, own in view.outcomes.items():
        outcomes: tuple[Outcome, ...] = (own,)
        if other is not None:
            outcomes = (own, other.outcomes.get(sample_id, Outcome(MISSING)))
        row, sample = view.rows[sample_id], view.samples.get(sample_id)
        text, asked = _request(sample, row)
        key = str(row.get("group") or sample_id), text, asked
        found.setdefault(key, []).append(Item(sample_id, outcomes))
        columns = [row.get("stratum"), row.get("tag"), row.get("category")]
        tags[key] = next((str(c) for c in columns if not absent(c) and c != ""), "")
    return [
        Card(name, group, tags[group, text, asked], text, asked, tuple(items))
        for (group, text, asked), items in found.items()
    ]


def _request(sample: Sample | None, row: Mapping[str, Any]) -> tuple[str, tuple[Path, ...]]:
    """What the model was told, and the images it was shown."""
    if sample is not None:
        request = sample.request
        return request.text or request.files[0].name, request.files
    texts = (row.get(column) for column in TEXT_COLUMNS)
    return next((str(text) for text in texts if not absent(text)), str(row["id"])), ()


def choose(tasks: Sequence[Sequence[Card]], limit: int) -> list[Card]:
    """At most about ``limit`` samples as whole cards, the tasks in turn; in the order they came.

    Of a task that has more, cards with a change come first, then by the hash of their group: a
    sample that does not depend on the order."""
    queues = [sorted(own, key=_urgency, reverse=True) for own in tasks]
    chosen: set[Card] = set()
    count = 0
    while any(queues) and count < limit:
        for queue in queues:
            if queue and count < limit:
                card = queue.pop()
                chosen.add(card)
                count += len(card.items)
    return [card for own in tasks for card in own if card in chosen]


def _urgency(card: Card) -> tuple[bool, str]:
    changed = any(item.change for item in card.items)
    return not changed, sha256_of(f"{card.group}\0{card.text}")
