"""Ask for what is not stored yet; a batch is stored while the next one is answered."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
from PIL import Image

from harmon_eval.core import Answer, Reply, Responder, Sample, Task, Unscorable, UserError
from harmon_eval.replies.thoughts import answered
from harmon_eval.running import stopping
from harmon_eval.running.engine import Engine, Lost, Work, culprits_alone
from harmon_eval.running.progress import Progress
from harmon_eval.running.rounds import Rounds, stamp_of_earlier
from harmon_eval.store.index import Numbers
from harmon_eval.store.recorded import Recorded
from harmon_eval.store.task_folder import TaskFolder

T = TypeVar("T")
# What a model or an instrument may raise about one sample without ending the run.
SAMPLE_FAILURES = (RuntimeError, ValueError, ArithmeticError, LookupError, Unscorable)
# What any model may run into by itself, such as a lost connection.
MODEL_FAILURES = (
    *SAMPLE_FAILURES,
    AssertionError,
    AttributeError,
    MemoryError,
    OSError,
    TypeError,
)
GIVEN: dict[str, type] = {"image": Image.Image, "text": str, "vector": np.ndarray}


def batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def deed(verb: str) -> str:
    """What the model is said to be doing: "drawing", "asking" ..."""
    return f"{verb.removesuffix('e')}ing"


class Stored:
    """Which samples have a sound stored response, and those responses, read when asked for."""

    def __init__(
        self,
        folder: TaskFolder,
        recorded: Mapping[str, Mapping[str, Any]],
        sound: Numbers,
        rounds: Rounds | None = None,
    ) -> None:
        self.folder, self.recorded, self.sound, self.rounds = folder, recorded, sound, rounds

    def __contains__(self, sample_id: str) -> bool:
        return sample_id in self.sound

    def __len__(self) -> int:
        return len(self.sound)

    def answer(self, sample: Sample) -> Answer | None:
        """With the request as it was asked; None for one that is not stored, or was not sound."""
        entry = self.recorded.get(sample.id) if sample.id in self else None
        if entry is None:
            return None
        asked = self.rounds.asked(sample, self.answer) if self.rounds else sample
        return None if asked is None else self.folder.answer(asked, entry, checked=True)


def stored_answers(
    folder: TaskFolder,
    recorded: Recorded,
    samples: Iterable[Sample],
    checked: Stored | None = None,
    rounds: Rounds | None = None,
) -> tuple[Stored, int]:
    """Sound stored responses, each with a stamp of what was answered, and how many were found
    damaged or lost.

    ``checked`` are those known to be sound already. One that was made from other earlier answers
    than those stored now is not sound."""
    damaged = 0

    def earlier_stamp(name: str) -> int | None:
        entry = recorded.get(name)
        return None if entry is None or "error" in entry else stamp(entry)

    def sound() -> Iterator[tuple[str, int]]:
        nonlocal damaged
        for sample in samples:
            if (entry := recorded.get(sample.id)) is None:
                continue
            if sample.after and entry.get("after") != stamp_of_earlier(sample, earlier_stamp):
                continue
            stamped = stamp(entry)
            known = checked is not None and checked.sound.get(sample.id) == stamped
            if known or folder.answer(sample, entry) is not None:
                yield sample.id, stamped
            elif "error" not in entry:
                damaged += 1

    return Stored(folder, recorded, recorded.numbers(sound() if recorded else ()), rounds), damaged


def stamp(entry: Mapping[str, Any]) -> int:
    """64 bits of what was answered, whoever asked how often and wherever it lies."""
    content = {name: value for name, value in entry.items() if name not in ("attempt", "at")}
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).digest()
    return int.from_bytes(digest[:8])


class Able(Protocol):
    """A model, or what is known of one that is elsewhere."""

    @property
    def name(self) -> str: ...

    def can(self, verb: str) -> bool: ...

    def expect(self, name: str, task: Task, samples: Sequence[Sample]) -> None: ...


class Answered(NamedTuple):
    """What a model gave for a batch: responses by sample id, how long that took, and what there
    was to say of it. ``remarks`` are those of the model, which are said once."""

    responses: dict[str, Any]
    seconds: float
    said: Sequence[str] = ()
    remarks: Sequence[str] = ()


def ask_missing(
    task: Task,
    asking: Work[Sample, Answered],
    engine: Engine,
    folder: TaskFolder,
    samples: Sequence[Sample],
    batch_size: int,
    progress: Progress,
) -> Stored:
    """Ask for every response that is not stored yet.

    Batches lie at fixed places in the list of samples, so that one has the same content whoever
    is asked and whenever. Returns the stored responses that were found sound before."""
    rounds = Rounds(task, samples)
    recorded = folder.recorded()
    known, damaged = stored_answers(folder, recorded, samples, rounds=rounds)
    stored = (recorded[sample.id] for sample in samples if sample.id in known) if known else ()
    answering = Answering({str(entry["model"]) for entry in stored if entry.get("model")})
    if damaged:
        progress.warn(f"{damaged} stored responses were damaged and are made again")
    if known:
        progress.say(f"reused {len(known):,} of {len(samples):,} stored responses")
    earlier = known
    for number, part in enumerate(rounds.rounds):
        if number:
            earlier, _ = stored_answers(folder, folder.recorded(), samples, earlier, rounds)
        later = rounds.rounds[number + 1 :]
        asked = _Round(part, batch_size, earlier, folder, progress, later)
        asked.ask(asking, engine, answering)
    return known


class Answering:
    """Which models a server says that it answered with: a resumed run goes on with the same."""

    def __init__(self, before: set[str]) -> None:
        self.before = before

    def check(self, responses: Mapping[str, Any]) -> None:
        """Raises UserError where other models answered than those whose replies are stored."""
        now = {r.model for r in responses.values() if isinstance(r, Reply) and r.model}
        if self.before and now and not now & self.before:
            raise UserError(
                f"the stored replies are of {_names(self.before)}, and now {_names(now)} answers: "
                "choose another --output, or --fresh to start over"
            )
        self.before |= now


def _names(models: set[str]) -> str:
    return " and ".join(map(repr, sorted(models)))


class _Round:
    """Samples that come after none, or after those of the rounds before."""

    def __init__(
        self,
        samples: Sequence[Sample],
        batch_size: int,
        stored: Stored,
        folder: TaskFolder,
        progress: Progress,
        later: Sequence[Sequence[Sample]] = (),
    ) -> None:
        """``later``: the samples of the rounds after it."""
        self.samples, self.batch_size, self.later = samples, batch_size, later
        self.stored, self.folder, self.progress = stored, folder, progress

    def _missing(self) -> Iterator[list[Sample]]:
        """What is not stored of each batch, by verb."""
        for batch in batches(self.samples, self.batch_size):
            missing = [s for s in batch if s.id not in self.stored]
            for verb in dict.fromkeys(s.request.verb for s in missing):
                yield [s for s in missing if s.request.verb == verb]

    def ask(self, asking: Work[Sample, Answered], engine: Engine, answering: Answering) -> None:
        counts: Counter[str] = Counter()
        for batch in self._missing():
            counts[batch[0].request.verb] += len(batch)
        verb = next(iter(counts), "ask")
        later = sum(s.request.verb == verb for part in self.later for s in part)
        bar = self.progress.bar(deed(verb), counts.total(), later)
        with bar as advance, stopping.finishing_batches(), _storing() as store:

            def ready() -> Iterator[list[Sample]]:
                for batch in self._missing():
                    asked, failed = _requests(self.stored, batch)
                    if failed:
                        store(self._recording(failed))
                    advance(len(batch) - len(asked))
                    if asked:
                        yield asked

            for asked, given in culprits_alone(engine, asking, ready()):
                if isinstance(given, Lost):
                    given = Answered({s.id: Unscorable(given.reason) for s in asked}, 0.0)
                for text in given.said:
                    self.progress.say(text)
                self.progress.warn_once(given.remarks)
                answering.check(given.responses)
                store(self._recording(given.responses, given.seconds, asked))
                advance(len(asked))

    def _recording(
        self,
        responses: Mapping[str, Any],
        seconds: float | None = None,
        asked: Sequence[Sample] = (),
    ) -> Callable[[], None]:
        """What stores responses. All that is read for it is read here, not in another thread."""
        entries = self.stored.recorded
        before = {name: entries[name] for name in responses if name in entries}
        sound = self.stored.sound
        after = {s.id: stamp_of_earlier(s, sound.get) for s in asked if s.after}
        return lambda: self.folder.record(responses, seconds, before, after)


@contextmanager
def _storing() -> Iterator[Callable[[Callable[[], None]], None]]:
    """Runs what stores one batch in a thread of its own while the next one is answered.

    No signal interrupts it there. What it raises is raised by the next call, or at the end."""
    with ThreadPoolExecutor(1, "storing") as thread:
        last: list[Future[None]] = []

        def store(recording: Callable[[], None]) -> None:
            if last:
                last.pop().result()
            last.append(thread.submit(recording))

        yield store
        if last:
            last.pop().result()


def _requests(stored: Stored, batch: Sequence[Sample]) -> tuple[list[Sample], dict[str, Exception]]:
    """Samples with the requests that they are asked now, and what failed before it could be asked.

    One whose earlier sample has no answer is neither."""
    asked: list[Sample] = []
    failed: dict[str, Exception] = {}
    for sample in batch:
        try:
            ready = stored.rounds.asked(sample, stored.answer) if stored.rounds else sample
        except SAMPLE_FAILURES as error:
            failed[sample.id] = error
            continue
        if ready is not None:
            asked.append(ready)
    return asked, failed


def respond(
    responder: Responder, samples: Sequence[Sample], say: Callable[[str], None]
) -> dict[str, Any]:
    """Responses by sample id; a batch that fails is asked again one by one to find the culprit."""
    try:
        responses = _ask(responder, samples)
    except MODEL_FAILURES as error:
        if len(samples) == 1:
            return {samples[0].id: error}
        say(f"a batch of {len(samples)} failed ({error}); asking one by one")
        return {k: v for sample in samples for k, v in respond(responder, [sample], say).items()}
    if len(responses) != len(samples):
        raise UserError(
            f"{responder.name} gave {len(responses)} responses to {len(samples)} requests: "
            "mend the model's adapter"
        )
    request = samples[0].request
    expected = GIVEN[request.gives]
    responses = [_sound(response) for response in responses]
    for response in responses:
        if not isinstance(response, expected | Exception):
            raise UserError(
                f"{responder.name} answered {request.verb!r} with a {type(response).__name__} "
                f"instead of {expected.__name__}: mend the model's adapter"
            )
    return {sample.id: r for sample, r in zip(samples, responses, strict=True)}


def _sound(response: Any) -> Any:
    """The response, or what is wrong with it: no answer in a reply, numbers that are none."""
    if isinstance(response, str):
        try:
            answered(response)
        except Unscorable as error:
            return error
    numbers = response
    if isinstance(response, Image.Image) and response.mode == "F":
        numbers = np.asarray(response)
    if isinstance(numbers, np.ndarray) and numbers.dtype.kind == "f":
        bad = numbers.size - int(np.isfinite(numbers).sum())
        if bad:
            return Unscorable(f"the model gave NaN or infinity in {bad} of {numbers.size} numbers")
    return response


def _ask(responder: Responder, samples: Sequence[Sample]) -> Sequence[Any]:
    """Samples of one verb."""
    requests = [sample.request for sample in samples]
    answered: Sequence[Any] = getattr(responder, requests[0].verb)(requests)
    return answered
