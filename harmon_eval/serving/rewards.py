"""What is served: the task that marks each reward, and how a request becomes a sample of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harmon_eval import registry
from harmon_eval.core import Draw, Reward, Row, Sample, Task, Unscorable, UserError
from harmon_eval.metrics.floors import if_marked
from harmon_eval.running.marking import MARK_COLUMNS
from harmon_eval.serving import measures
from harmon_eval.settings import did_you_mean
from harmon_eval.suites import Suite

SAMPLE = "sample"  # the field of metadata that names a sample of the benchmark
MAX_TEXT = 20_000  # characters of a prompt
MAX_JSON = 100_000  # bytes of a sample's metadata


@dataclass(frozen=True)
class Asked:
    """What a client says of an image, in any wire format."""

    prompt: str
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Served:
    """A reward by its ``name``. ``task`` adds it up; its rows are made from those of the task
    ``base``, which is ``marking`` and may be the same.

    ``prompts`` are the task's samples by their text and ``samples`` by their id; ``missing`` says
    why there are none."""

    name: str
    base: str
    task: Task
    marking: Task
    reward: Reward
    prompts: Mapping[str, Sequence[Sample]]
    samples: Mapping[str, Sample]
    missing: str = ""
    nameless: bool = False

    def sample(self, asked: Asked) -> Sample:
        """Raises Unscorable, saying why the task cannot tell what to mark the response by."""
        named = asked.metadata.get(SAMPLE)
        if named is not None:
            if not isinstance(named, str) or named not in self.samples:
                raise Unscorable(
                    f"metadata.{SAMPLE}: {self.base} has no sample {str(named)[:80]!r}"
                )
            return self.samples[named]
        if self.reward.target is not None:
            target = self.reward.target(asked.prompt, asked.metadata)
            if target is not None:
                return self._made(asked.prompt, target)
        return self._found(asked.prompt)

    def _made(self, prompt: str, target: Mapping[str, Any]) -> Sample:
        group = hashlib.sha256(prompt.encode()).hexdigest()[:12]
        return Sample(group, Draw(prompt), target, group, str(target.get("tag", "")))

    def _found(self, prompt: str) -> Sample:
        if self.missing:
            raise Unscorable(f"{self.base} needs metadata with the prompt: {self.missing}")
        found = self.prompts.get(plain(prompt), ())
        if not found:
            raise Unscorable(
                f"{prompt[:80]!r} is no prompt of {self.base}: send its exact text, or metadata"
            )
        if len(found) > 1:
            raise Unscorable(
                f"{len(found)} items of {self.base} have the prompt {prompt[:80]!r}: send "
                f'metadata {{"{SAMPLE}": ID}}, such as {found[0].id!r}'
            )
        return found[0]


def plain(prompt: str) -> str:
    return " ".join(prompt.split())


def served(names: Sequence[str], suite: Suite) -> list[Served]:
    """The rewards of these names. Raises UserError for an unknown one, and for a task that has no
    number for one image."""
    found = []
    for name in names:
        if measures.head_of(name) in measures.names():
            task = measures.task(name, suite.name)
            assert task.reward is not None
            found.append(Served(name, name, task, task, task.reward, {}, {}, nameless=True))
        else:
            found.append(_of_task(name, suite))
    return found


def _of_task(name: str, suite: Suite) -> Served:
    head = name.partition(":")[0]
    known = [*registry.task_names(), *measures.names()]
    if head not in known:
        raise UserError(f"unknown reward {head!r}: {did_you_mean(head, known)}")
    task = registry.task(name)
    base = head if task.from_marks is not None else name
    try:
        samples = list(task.samples(suite.data(name, task)))
        missing = "" if samples else "the task has no samples here"
    except UserError as error:
        if task.reward is None or task.reward.target is None:
            raise
        samples, missing = [], str(error)
    reward = task.reward or _by_column(name, task, samples)
    by_text: dict[str, list[Sample]] = {}
    for sample in samples:
        same = by_text.setdefault(plain(sample.request.text), [])
        if all(not _same(sample, other) for other in same):
            same.append(sample)
    by_id = {sample.id: sample for sample in samples}
    marking = task if base == name else registry.task(base)
    return Served(name, base, task, marking, reward, by_text, by_id, missing)


def _same(a: Sample, b: Sample) -> bool:
    """Whether two samples with one text are marked alike: drawings of one item."""
    if a.group == b.group and a.request.gives == "image":
        return True
    return dict(a.target) == dict(b.target) and a.request.files == b.request.files


def _by_column(name: str, task: Task, samples: Sequence[Sample]) -> Reward:
    """The columns that tell a right response from a wrong one, of a task that does not say what a
    response is worth; that of its verdict or headline first."""
    columns: list[str] = []
    if samples and task.bounds is not None and samples[0].request.gives != "vector":
        wrong, right = (if_marked(task, samples[0], way) for way in (False, True))
        columns = [c for c in right if _tells(right[c], wrong.get(c)) and ":" not in c]
    if not columns:
        raise UserError(
            f"{name} has no number for a single response (such as FID, which is one of a whole "
            f"set): rewards are {', '.join(known_rewards())}"
        )
    columns.sort(key=lambda c: (c not in MARK_COLUMNS, c not in task.main.name))
    return Reward.of_columns(*columns)


def _tells(right: object, wrong: object) -> bool:
    if isinstance(right, bool | int | float) and isinstance(wrong, bool | int | float):
        return right > wrong
    return False


def known_rewards() -> list[str]:
    """Tasks that say what an image is worth, and measures."""
    tasks = {name: registry.task(name) for name in registry.bundled_task_names()}
    return sorted([*measures.names(), *(name for name, t in tasks.items() if t.reward is not None)])


# -- what a client may send ----------------------------------------------------------------------


def check_text(text: str) -> str:
    """Raises ValueError for a text that cannot be kept as UTF-8, or is too long."""
    if len(text) > MAX_TEXT:
        raise ValueError(f"a text of {len(text)} characters: at most {MAX_TEXT} are read")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("a text holds half of a surrogate pair") from None
    return text


def check_json(value: Any) -> Any:
    """Raises ValueError for what cannot be kept as JSON in UTF-8, such as NaN or half a surrogate
    pair, and for what is nested too deeply or too large."""
    try:
        size = len(json.dumps(value, allow_nan=False, ensure_ascii=False).encode())
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except UnicodeEncodeError:
        raise ValueError("a text holds half of a surrogate pair") from None
    except (TypeError, ValueError) as error:
        raise ValueError(f"it cannot be kept as JSON: {error}") from None
    if size > MAX_JSON:
        raise ValueError(f"it has {size} bytes: at most {MAX_JSON} are read")
    return value


def rows_of(reward: Served, rows: Sequence[Row]) -> list[Row]:
    """A reward's own rows from those of its base."""
    if reward.task.from_marks is None:
        return list(rows)
    import pandas as pd

    scored = [place for place, row in enumerate(rows) if not row.get("unscored")]
    made = list(rows)
    if scored:
        frame = reward.task.from_marks(pd.DataFrame([rows[place] for place in scored]))
        for place, row in zip(scored, frame.to_dict("records"), strict=True):
            made[place] = {str(column): value for column, value in row.items()}
    return made
