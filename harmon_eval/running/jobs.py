"""What a run is about: each task's samples with their seeds, and which of them are asked."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from harmon_eval.core import Draw, Request, Sample, Task, UserError
from harmon_eval.running.faults import of_task
from harmon_eval.store.digests import sha256_of
from harmon_eval.store.index import HELD, MadeAgain, repeated
from harmon_eval.store.task_folder import check_sample_id
from harmon_eval.suites import Suite


@dataclass(frozen=True)
class RunSettings:
    """``limit`` counts groups (prompts, or images asked about) of a task; None takes all.

    ``exact`` asks and marks one sample at a time, so that no other has a part in its numbers."""

    seed: int = 0
    limit: int | None = None
    batch_size: int = 32
    exact: bool = False

    def __post_init__(self) -> None:
        for name in ("limit", "seed", "batch_size"):
            value = getattr(self, name)
            if (value is None and name == "limit") or type(value) is int:
                continue
            raise UserError(f"--{name.replace('_', '-')} {value!r}: must be a whole number (int)")
        if self.limit is not None and self.limit < 1:
            raise UserError(f"--limit {self.limit}: must be at least 1, or left out for all")
        if not 0 <= self.seed < 2**63:
            raise UserError(f"--seed {self.seed}: must be 0 or a whole number below 2**63")
        if self.batch_size < 1:
            raise UserError(f"--batch-size {self.batch_size}: must be at least 1")


class Kind(NamedTuple):
    """How many samples ask for something, and what that is (see ``core.Request``)."""

    samples: int
    deed: str
    gives: str


@dataclass(frozen=True)
class Job:
    """A task with all its samples, and those of them that this run is about (see ``limit``).

    ``nameless``: the task came as an object, so that ``name`` does not lead to it. ``held``: the
    finished images that the samples are (``core.Data``)."""

    name: str
    task: Task
    everything: Sequence[Sample]
    samples: Sequence[Sample]
    limit: int | None
    nameless: bool = False
    held: tuple[str, ...] = ()

    @cached_property
    def kinds(self) -> Mapping[str, Kind]:
        """What is asked, by verb: one pass over samples that may be made again for each."""
        first: dict[str, type[Request]] = {}
        verbs: Counter[str] = Counter()
        for sample in self.samples:
            verb = sample.request.verb
            verbs[verb] += 1
            first.setdefault(verb, type(sample.request))
        return {v: Kind(n, first[v].deed, first[v].gives) for v, n in verbs.items()}


def prepare(
    name: str,
    task: Task,
    suite: Suite,
    settings: RunSettings,
    holds: Callable[[], Sequence[str]] = tuple,
) -> Job:
    """The task's samples with their seeds. ``holds``: the finished images that the model has.

    Raises UserError on unsafe or repeated ids, and on a sample that comes after one that is not
    before it in the list, or of another group."""
    finished = tuple(holds()) if task.any_images else ()
    data = replace(suite.data(name, task), held=lambda: finished)

    def seeded() -> Iterator[Sample]:
        drawings: dict[object, set[int]] = {}
        requests: set[type] = set()  # kinds known to be one; asking a protocol takes 40 us
        with of_task(name, "samples"):
            for sample in task.samples(data):
                kind = type(sample.request)
                known = kind in requests or isinstance(sample.request, Request)
                if not isinstance(sample.id, str) or not known:
                    raise TypeError(f"{sample!r:.200} needs a text as id and a request")
                requests.add(kind)
                seed = sample_seed(settings.seed, name, sample.id)
                request = _numbered(with_seed(sample.request, seed), drawings)
                # By the constructor, which takes a third of the time of ``replace``.
                yield Sample(
                    sample.id, request, sample.target, sample.group, sample.stratum, sample.after
                )

    held = list(islice(seeded(), HELD + 1))
    if not held:
        raise UserError(f"task {name!r} has no samples in suite {suite.name!r}")
    make = seeded if len(held) > HELD else held.__iter__

    def checked() -> Iterator[Sample]:
        for sample in _in_order(name, task, make()):
            try:
                check_sample_id(sample.id)
            except UserError as error:
                raise UserError(f"task {name!r}: {error}") from None
            if not task.any_images:
                _check_text(name, sample)
            yield sample

    count, twice = repeated(checked)
    if twice is not None:
        raise UserError(f"task {name!r} has two samples with the id {twice!r}")
    everything = MadeAgain(make, count) if count > HELD else held
    chosen = select(everything, settings.limit)
    return Job(name, task, everything, chosen, settings.limit, held=finished)


def _numbered(request: Any, known: dict[object, set[int]]) -> Any:
    """The request with an index that no earlier one of its text and files has, if it has one: where
    prompts repeat, the n-th image of one that something else drew belongs to the n-th sample that
    asks for it."""
    if (index := getattr(request, "index", None)) is None:
        return request
    text = " ".join(request.text.split())
    taken = known.setdefault((text, request.files) if request.files else text, set())
    while index in taken:
        index += 1
    taken.add(index)
    return request if index == request.index else replace(request, index=index)


def _in_order(name: str, task: Task, samples: Iterable[Sample]) -> Iterator[Sample]:
    """The samples. Raises UserError for one that comes after one that it cannot come after."""
    groups: dict[str, str] = {}
    for sample in samples:
        if sample.after and task.follow is None:
            raise UserError(
                f"task {name!r}: sample {sample.id!r} comes after others, but the task has no "
                "`follow` that makes its request from their answers"
            )
        for earlier in sample.after:
            if groups.get(earlier) != sample.group:
                raise UserError(
                    f"task {name!r}: sample {sample.id!r} comes after {earlier!r}, which is not "
                    "before it in the same group"
                )
        if task.follow is not None:
            groups[sample.id] = sample.group
        yield sample


def _check_text(name: str, sample: Sample) -> None:
    """Raises UserError for a sample that asks for an image without a word of what it shall show:
    a model makes something, and it would be marked.

    The text of one that comes after others is made later."""
    if sample.request.gives == "image" and not sample.after and not sample.request.text.strip():
        what = {"draw": "prompt", "edit": "instruction"}.get(sample.request.verb, "text")
        raise UserError(
            f"task {name!r}: the {what} of sample {sample.id!r} is empty: write it into the "
            "data, or leave this entry out"
        )


def with_seed(request: Any, seed: int) -> Any:
    """The same request with this seed."""
    return replace(request, seed=seed)


def sample_seed(run_seed: int, task: str, sample_id: str) -> int:
    """The seed of one sample's own random stream: of nothing but (run seed, task, sample id)."""
    digest = hashlib.sha256(f"{run_seed}/{task}/{sample_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") & (2**63 - 1)


def select(samples: Sequence[Sample], limit: int | None) -> Sequence[Sample]:
    """Samples of ``limit`` groups, taken from the strata in turn, in the order they came.

    Within a stratum groups are taken by the hash of their name: a sample of it that does not
    depend on the order, and that a larger limit only adds to."""
    if limit is None:
        return samples
    strata: dict[str, dict[str, None]] = {}
    for sample in samples:
        strata.setdefault(sample.stratum, {})[sample.group] = None
    queues = [sorted(strata[name], key=_shuffled) for name in sorted(strata)]
    turns = ((name, turn) for turn in range(max(map(len, queues))) for name in range(len(queues)))
    chosen = dict.fromkeys(queues[name][turn] for name, turn in turns if turn < len(queues[name]))
    wanted = {*list(chosen)[:limit]}  # a group may lie in several strata
    return [sample for sample in samples if sample.group in wanted]


def _shuffled(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


def data_of_job(job: Job) -> str:
    """``data_hash`` of all samples; where these are finished images, of what they are marked by."""
    if not job.held:
        return data_hash(job.everything)
    first = job.everything[0]
    return data_hash([replace(first, id="", group="", request=Draw(""))])


def data_hash(samples: Sequence[Sample]) -> str:
    """Hash of what is asked and of what marks it; of files their bytes, whatever their names.

    Raises UserError for a file that cannot be read."""
    digest, read = hashlib.sha256(), _Files()
    for sample in samples:
        request = {f.name: getattr(sample.request, f.name) for f in fields(sample.request)}  # type: ignore[arg-type]
        content = [
            *(sample.id, sample.group, sample.stratum, sample.request.verb),
            *({**request, "seed": 0}, dict(sample.target), sample.after),
        ]
        digest.update(json.dumps(content, default=read).encode())
    return digest.hexdigest()[:16]


class _Files:
    """Hash of a file's bytes, read once; other values by their text.

    An image in a table (``TABLE.parquet/ROW``) goes by its row and the table's bytes."""

    def __init__(self) -> None:
        self._known: dict[Path, str] = {}

    def __call__(self, value: object) -> str:
        if isinstance(value, set | frozenset):
            return repr(sorted(map(repr, value)))
        if isinstance(value, np.ndarray):
            return f"{value.dtype}{value.shape}{sha256_of(value.tobytes())}"
        if not isinstance(value, Path):
            return repr(value)
        try:
            if value.parent.is_file():
                return f"{self._hash(value.parent)}/{value.name}"
            return self._hash(value)
        except OSError as error:
            raise UserError(f"{value} cannot be read ({error.strerror})") from None

    def _hash(self, path: Path) -> str:
        if path not in self._known:
            self._known[path] = sha256_of(path)
        return self._known[path]
