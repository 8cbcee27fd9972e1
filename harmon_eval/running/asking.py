"""Ask a model for what is not stored yet; every batch is on disk before the next one is asked."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from harmon_eval.core import Answer, Reply, Responder, Sample, Task, Unscorable, UserError
from harmon_eval.files.images import portions
from harmon_eval.replies.thoughts import answered
from harmon_eval.running.processes import ALONE, Team
from harmon_eval.running.progress import Progress
from harmon_eval.running.rounds import Rounds, stamp_of_earlier
from harmon_eval.store.index import Numbers
from harmon_eval.store.run_folder import TaskFolder

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
    recorded: Mapping[str, Mapping[str, Any]],
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

    return Stored(folder, recorded, Numbers(sound() if recorded else ()), rounds), damaged


def stamp(entry: Mapping[str, Any]) -> int:
    """64 bits of what was answered, whoever asked how often and wherever it lies."""
    content = {name: value for name, value in entry.items() if name not in ("attempt", "at")}
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).digest()
    return int.from_bytes(digest[:8])


def unable(responder: Responder, samples: Sequence[Sample]) -> str:
    """What the model would have to do for these samples and cannot; empty if nothing."""
    needed = {sample.request.verb: sample.request.deed for sample in samples}
    return " or ".join(deed for verb, deed in needed.items() if not responder.can(verb))


def ask_missing(
    task: Task,
    responder: Responder,
    folder: TaskFolder,
    samples: Sequence[Sample],
    batch_size: int,
    progress: Progress,
    team: Team = ALONE,
) -> Stored:
    """Ask for every response that is not stored yet, together with the other processes.

    Batches lie at fixed places in the list of samples, so that one has the same content whoever
    asks it and whenever. Returns the stored responses that were found sound before."""
    rounds = Rounds(task, samples)
    recorded = folder.recorded()
    known, damaged = stored_answers(folder, recorded, samples, rounds=rounds)
    stored = (recorded[sample.id] for sample in samples if sample.id in known)
    answering = Answering({str(entry["model"]) for entry in stored if entry.get("model")})
    if damaged:
        progress.say(f"{damaged} stored responses were damaged and are made again")
    if known:
        progress.say(f"reused {len(known)} of {len(samples)} stored responses")
    earlier = known
    for number, part in enumerate(rounds.rounds):
        if number:
            earlier, _ = stored_answers(folder, folder.recorded(), samples, earlier, rounds)
        todo = _Round(number, part, batch_size, earlier)
        _ask_round(todo, responder, folder, progress, team, answering)
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
    """The batches of one round in which something is missing, by the name of the share."""

    def __init__(
        self, number: int, samples: Sequence[Sample], batch_size: int, stored: Stored
    ) -> None:
        self.samples, self.batch_size, self.stored = samples, batch_size, stored
        self.shares: dict[str, tuple[int, str, int]] = {}
        for place, batch in enumerate(batches(samples, batch_size)):
            missing = [s.request.verb for s in batch if s.id not in stored]
            for verb, count in Counter(missing).items():
                name = f"{stored.folder.path.name}.{verb}.{number}.{place}"
                self.shares[name] = place, verb, count

    def batch(self, name: str) -> list[Sample]:
        place, verb, _ = self.shares[name]
        planned = self.samples[place * self.batch_size : (place + 1) * self.batch_size]
        return [s for s in planned if s.request.verb == verb and s.id not in self.stored]


def _ask_round(
    part: _Round,
    responder: Responder,
    folder: TaskFolder,
    progress: Progress,
    team: Team,
    answering: Answering,
) -> None:
    stored = part.stored
    entries = stored.recorded
    verb = next((verb for _, verb, _ in part.shares.values()), "ask")
    with progress.bar(f"{verb}ing", sum(count for _, _, count in part.shares.values())) as advance:
        for name, begun in team.shares(list(part.shares)):
            batch = part.batch(name)
            if begun:  # by a process that died: what it stored is not asked again
                entries = folder.recorded()
                again, _ = stored_answers(folder, entries, batch)
                batch = [sample for sample in batch if sample.id not in again]
            asked, failed = _requests(stored, batch)
            after = {s.id: stamp_of_earlier(s, stored.sound.get) for s in batch if s.after}
            if failed:
                folder.record(failed, 0, entries, after)
            for some in portions(asked, lambda sample: responder.reads(sample.request)):
                start = time.monotonic()
                responses = respond(responder, some, progress)
                answering.check(responses)
                folder.record(responses, time.monotonic() - start, entries, after)
            advance(part.shares[name][2])


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


def respond(responder: Responder, samples: Sequence[Sample], progress: Progress) -> dict[str, Any]:
    """Responses by sample id; a batch that fails is asked again one by one to find the culprit."""
    try:
        responses = _ask(responder, samples)
    except MODEL_FAILURES as error:
        if len(samples) == 1:
            return {samples[0].id: error}
        progress.say(f"a batch of {len(samples)} failed ({error}); asking one by one")
        return {
            k: v for sample in samples for k, v in respond(responder, [sample], progress).items()
        }
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
