"""From run folders to cards: a prompt or question, and what one or two runs made of it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harmon_eval import registry, suites
from harmon_eval.core import Sample, Task, UserError
from harmon_eval.metrics.text import number
from harmon_eval.report.marks import Grades, grades_of
from harmon_eval.report.samples import (
    Points,
    References,
    points_of,
    references_of,
    sure_of,
    tag_column,
    tag_of,
)
from harmon_eval.running.asking import SAMPLE_FAILURES, stored_answers
from harmon_eval.running.jobs import Job, RunSettings, data_of_job, prepare
from harmon_eval.running.rounds import Rounds
from harmon_eval.store.digests import sha256_of
from harmon_eval.store.run_folder import SERVED, RunFolder
from harmon_eval.store.tables import results_by_task
from harmon_eval.store.task_folder import TaskFolder

RIGHT, WRONG, MARKED, UNSCORED, MISSING = "right", "wrong", "marked", "unscored", "missing"
NOT_MARKED = "not marked yet"
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
    "instruction",
    "metadata",
    "setting",
}
FIRST = ("reply", "parsed", "rule", "answer", "target")
TEXT_COLUMNS = ("prompt", "question", "instruction")

Boxes = tuple[tuple[str, tuple[float, ...]], ...]
Facts = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Outcome:
    """What one run came to on one sample.

    ``boxes``: name of the object, and x0, y0, x1, y1 in pixels with the score if there is one.
    ``points``: questions with their verdicts. ``sure``: how certain the mark is, from 0 to 1;
    ``grade``: how good it is, from 0 to 1."""

    state: str
    reason: str = ""
    image: Path | None = None
    boxes: Boxes = ()
    facts: Facts = ()
    points: Points = ()
    sure: float | None = None
    grade: float | None = None

    @property
    def met(self) -> tuple[int, int] | None:
        """How many of its points are met, of how many; None where they are not yes or no."""
        verdicts = [verdict for _, verdict in self.points]
        if not verdicts or not all(isinstance(verdict, bool) for verdict in verdicts):
            return None
        return sum(map(bool, verdicts)), len(verdicts)


@dataclass(frozen=True)
class Item:
    """One sample; with several runs an outcome of each, this run's first."""

    id: str
    outcomes: tuple[Outcome, ...]

    @property
    def change(self) -> str:
        """Whether the mark differs from that of another run, and for the better or the worse; of
        several differences the worst."""
        own, *others = self.outcomes
        found = [_change(own, other) for other in others]
        return next((kind for kind in (WORSE, BETTER, CHANGED) if kind in found), "")

    @property
    def distance(self) -> float:
        """How far apart the marks of the runs are: the difference of their grades, which is 1 for
        right against wrong, and a little for any other change."""
        own, *others = self.outcomes
        return max((_distance(own, other) for other in others), default=0.0)


def _change(own: Outcome, other: Outcome) -> str:
    states = {own.state, other.state}
    if MISSING in states:
        return ""
    if states == {RIGHT, WRONG}:
        return BETTER if own.state == RIGHT else WORSE
    return CHANGED if _mark(own) != _mark(other) else ""


def _distance(own: Outcome, other: Outcome) -> float:
    change = _change(own, other)
    least = 0.1 if change else 0.0
    if MISSING not in (own.state, other.state):
        if own.grade is not None and other.grade is not None:
            return max(least, abs(own.grade - other.grade))
        if change in (BETTER, WORSE):
            return 1.0
    return least


def _mark(outcome: Outcome) -> tuple[str, Facts]:
    facts = dict(outcome.facts)
    facts.pop("reply", None)
    if outcome.state in (RIGHT, WRONG):  # the same verdict on another reading is a change too
        facts = {name: value for name, value in facts.items() if name == "parsed"}
    return outcome.state, tuple(facts.items())


@dataclass(frozen=True)
class Card:
    """A prompt with its drawings, a question with the images that it is about, or an instruction
    with source images and results."""

    task: str
    group: str
    tag: str
    text: str
    asked: tuple[Path, ...]
    items: tuple[Item, ...]
    references: References = ()

    @property
    def id(self) -> str:
        """Of the card in every report that holds it, for links."""
        return sha256_of(f"{self.task}\0{self.items[0].id}")[:12]

    @property
    def sure(self) -> float | None:
        """How certain its marks are: the least certain one, or how far its drawings agree."""
        own = [item.outcomes[0] for item in self.items]
        found = [outcome.sure for outcome in own if outcome.sure is not None]
        verdicts = [outcome.state == RIGHT for outcome in own if outcome.state in (RIGHT, WRONG)]
        if len(verdicts) > 1:
            found.append(abs(2 * sum(verdicts) / len(verdicts) - 1))
        return min(found, default=None)

    @property
    def edited(self) -> bool:
        """Whether images were made from images: they are shown side by side."""
        every = (outcome for item in self.items for outcome in item.outcomes)
        return bool(self.asked) and any(outcome.image for outcome in every)


@dataclass(frozen=True)
class TaskView:
    """One task of one run: outcomes by sample id in order, and what is known of the samples.

    ``responses``: a reply, or the file of a picture; ``rows`` are the marks."""

    outcomes: Mapping[str, Outcome]
    rows: Mapping[str, Mapping[str, Any]]
    samples: Mapping[str, Sample]
    responses: Mapping[str, Path | str]
    remark: str = ""


def read_task(
    run: RunFolder, name: str, data: Path | None = None, task: Task | None = None
) -> TaskView:
    """Raises UserError for a damaged run folder.

    ``task`` is one that has no name elsewhere. Prompts and questions come from the task's own
    data; where that is not at hand (``remark``), from the rows as far as they hold them. A variant
    that was made from marks has the responses of its task."""
    tasks = run.manifest["tasks"]
    base = name if name in tasks else name.partition(":")[0]
    folder = run.task(base)
    log = folder.recorded()
    samples, remark = _samples(run, base, data, task)
    known = known_task(base, task)
    table = run.task(name).rows(vectors=False)  # 30,000 vectors would not fit into memory
    grades = Grades()
    if table is None:
        rows = {sample_id: _not_marked(sample_id, samples.get(sample_id)) for sample_id in log}
    else:
        rows = {str(row["id"]): row for row in table.to_dict("records")}
        headline = results_by_task(run).get(name, {}).get("headline", "")
        grades = grades_of(known, table, headline)
    outcomes, responses = {}, {}
    for sample_id, row in rows.items():
        reply, image = log.get(sample_id, {}).get("reply"), folder.own_image(sample_id)
        if (response := reply if image is None else image) is not None:
            responses[sample_id] = response
        points = points_of(known, samples.get(sample_id), row)
        grade = grades.values.get(sample_id)
        outcomes[sample_id] = outcome(row, image, reply, points, grade, grades.verdicts)
    return TaskView(outcomes, rows, samples, responses, remark)


def known_task(name: str, task: Task | None = None) -> Task | None:
    """None for one whose plug-in is not here."""
    try:
        return task or registry.task(name)
    except UserError:
        return None


def _samples(
    run: RunFolder, name: str, data: Path | None, task: Task | None
) -> tuple[dict[str, Sample], str]:
    """The task's samples by id, as they were asked, or why they cannot be shown."""
    manifest = run.manifest
    entry, identity = manifest["tasks"][name], manifest["identity"]
    if entry["data"].startswith(SERVED):
        return {}, ""
    try:
        suite = suites.load(identity["suite"], data or run.data_of(name), fetching=False)
        found, settings = task or registry.task(name), RunSettings(identity["seed"])
        job = prepare(name, found, suite, settings, run.task(name).held)
        same = data_of_job(job) == entry["data"]
    except UserError as error:
        return {}, f"prompts, questions and their images are not at hand: {error}"
    if not same:
        return {}, "the data here is not the data of this run: pass its folder as --data"
    return {sample.id: sample for sample in as_asked(job, run.task(name))}, ""


def as_asked(job: Job, folder: TaskFolder) -> Iterator[Sample]:
    """Samples with the requests that they were asked; one that comes after others and was not
    asked keeps that of the task."""
    rounds = Rounds(job.task, job.everything)
    if len(rounds.rounds) == 1:
        yield from job.everything
        return
    stored, _ = stored_answers(folder, folder.recorded(), job.everything, rounds=rounds)
    for sample in job.everything:
        try:
            yield rounds.asked(sample, stored.answer) or sample
        except SAMPLE_FAILURES:
            yield sample


def _not_marked(sample_id: str, sample: Sample | None) -> dict[str, Any]:
    """A row for a response without a mark, so that its card is the one it will have."""
    row = {"id": sample_id, "unscored": NOT_MARKED}
    return row if sample is None else {**row, "group": sample.group, "stratum": sample.stratum}


def absent(value: object) -> bool:
    """None, NaN, NaT and the like: a cell that a row does not have."""
    import pandas as pd

    return value is None or bool(pd.api.types.is_scalar(value) and pd.isna(value))


def outcome(
    row: Mapping[str, Any],
    image: Path | None,
    reply: str | None,
    points: Points = (),
    grade: float | None = None,
    verdict: bool = False,
) -> Outcome:
    """One row of any task, with its ``grade``, which may be a ``verdict``.

    It is right if the row says ``correct``, if the verdict does, or if every point is met."""
    unscored = row.get("unscored")
    if not absent(unscored):
        state, reason = UNSCORED, str(unscored)
    else:
        right = _is_right(row, points, grade if verdict else None)
        state = MARKED if right is None else RIGHT if right else WRONG
        reason = "" if absent(row.get("reason")) else str(row["reason"])
    boxes = read_boxes(row.get("details"))
    facts = {name: value for name, value in row.items() if name not in PLACED}
    if boxes is not None:
        facts.pop("details")
    if reply is not None:
        facts.setdefault("reply", reply)
    order = [*(n for n in FIRST if n in facts), *(n for n in facts if n not in FIRST)]
    told = tuple((name, _told(facts[name])) for name in order if not absent(facts[name]))
    scores = [box[4] for _, box in boxes or () if len(box) == 5]
    sure = sure_of(row, scores, None if verdict else grade)
    return Outcome(state, reason, image, boxes or (), told, points, sure, grade)


def _is_right(row: Mapping[str, Any], points: Points, verdict: float | None) -> bool | None:
    """None where a mark is no verdict."""
    if not absent(correct := row.get("correct")):
        return bool(correct)
    met = [point for _, point in points]
    if met and all(isinstance(point, bool) for point in met):
        return all(met)
    return None if verdict is None else verdict == 1


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


def cards(name: str, view: TaskView, *others: TaskView | None) -> list[Card]:
    """Samples of one group that say the same belong on one card, in the order of the rows.

    ``others``: the same task in other runs; None where it is not there."""
    found: dict[tuple[str, str, tuple[Path, ...]], list[Item]] = {}
    tags: dict[Any, str] = {}
    references: dict[Any, References] = {}
    column = tag_column(view.rows)
    for sample_id, own in view.outcomes.items():
        beside = [other.outcomes.get(sample_id) if other else None for other in others]
        outcomes = (own, *(outcome or Outcome(MISSING) for outcome in beside))
        row, sample = view.rows[sample_id], view.samples.get(sample_id)
        text, asked = request_of(sample, row)
        key = str(row.get("group") or sample_id), text, asked
        found.setdefault(key, []).append(Item(sample_id, outcomes))
        tags[key] = tag_of(row, column, text)
        references.setdefault(key, references_of(sample))
    return [
        Card(name, key[0], tags[key], key[1], key[2], tuple(items), references[key])
        for key, items in found.items()
    ]


def request_of(sample: Sample | None, row: Mapping[str, Any]) -> tuple[str, tuple[Path, ...]]:
    """What the model was told, and the images it was shown."""
    if sample is not None:
        return text_of(sample), sample.request.files
    texts = (row.get(column) for column in TEXT_COLUMNS)
    return next((str(text) for text in texts if not absent(text)), str(row["id"])), ()


def text_of(sample: Sample) -> str:
    """What people see of a request: its text, else the name of its first file."""
    files = sample.request.files
    return sample.request.text or (files[0].name if files else sample.id)


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
