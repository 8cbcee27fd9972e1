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

from harmon_eval.core import Answer, Ask, Draw, Embed, Responder, Sample, Unscorable, UserError
from harmon_eval.running.processes import ALONE, Team
from harmon_eval.running.progress import Progress
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
RESPONSES: dict[type, type] = {Draw: Image.Image, Ask: str, Embed: np.ndarray}


def batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


class Stored:
    """Which samples have a sound stored response, and those responses, read when asked for."""

    def __init__(
        self, folder: TaskFolder, recorded: Mapping[str, Mapping[str, Any]], sound: Numbers
    ) -> None:
        self.folder, self.recorded, self.sound = folder, recorded, sound

    def __contains__(self, sample_id: str) -> bool:
        return sample_id in self.sound

    def __len__(self) -> int:
        return len(self.sound)

    def answer(self, sample: Sample) -> Answer | None:
        """None for one that is not stored, or was not sound."""
        entry = self.recorded.get(sample.id) if sample.id in self else None
        return None if entry is None else self.folder.answer(sample, entry, checked=True)


def stored_answers(
    folder: TaskFolder,
    recorded: Mapping[str, Mapping[str, Any]],
    samples: Iterable[Sample],
    checked: Stored | None = None,
) -> tuple[Stored, int]:
    """Sound stored responses, each with a stamp of what was answered, and how many were found
    damaged or lost.

    ``checked`` are those known to be sound already."""
    damaged = 0

    def sound() -> Iterator[tuple[str, int]]:
        nonlocal damaged
        for sample in samples:
            if (entry := recorded.get(sample.id)) is None:
                continue
            stamped = stamp(entry)
            known = checked is not None and checked.sound.get(sample.id) == stamped
            if known or folder.answer(sample, entry) is not None:
                yield sample.id, stamped
            elif "error" not in entry:
                damaged += 1

    return Stored(folder, recorded, Numbers(sound() if recorded else ())), damaged


def stamp(entry: Mapping[str, Any]) -> int:
    """64 bits of what was answered, whoever asked how often and wherever it lies."""
    content = {name: value for name, value in entry.items() if name not in ("attempt", "at")}
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).digest()
    return int.from_bytes(digest[:8])


def unable(responder: Responder, samples: Sequence[Sample]) -> str:
    """What the model would have to do for these samples and cannot; empty if nothing."""
    own = type(responder)
    can = {
        Draw: own.draw is not Responder.draw,
        Ask: own.ask is not Responder.ask,
        Embed: own.embed is not Responder.embed,
    }
    deeds = {Draw: "draw images", Ask: "answer questions", Embed: "embed images"}
    needed = {type(sample.request) for sample in samples}
    return " or ".join(deeds[kind] for kind in deeds if kind in needed and not can[kind])


def ask_missing(
    responder: Responder,
    folder: TaskFolder,
    samples: Sequence[Sample],
    batch_size: int,
    progress: Progress,
    team: Team = ALONE,
) -> Stored:
    """Ask for every response that is not stored yet, together with the other processes.

    Batches lie at fixed places in the list of samples, so that one has the same content whoever
    asks it and whenever. Returns the stored responses that were found sound."""
    entries = folder.recorded()
    answers, damaged = stored_answers(folder, entries, samples)
    shares: dict[str, tuple[int, type, int]] = {}
    verb = "asking"
    for number, batch in enumerate(batches(samples, batch_size)):
        missing = [type(sample.request) for sample in batch if sample.id not in answers]
        for kind, count in Counter(missing).items():
            shares[f"{folder.path.name}.{kind.__name__}.{number}"] = number, kind, count
        if number == 0 and isinstance(batch[0].request, Draw):
            verb = "drawing"
    if damaged:
        progress.say(f"{damaged} stored responses were damaged and are made again")
    if answers:
        progress.say(f"reused {len(answers)} of {len(samples)} stored responses")
    with progress.bar(verb, sum(count for _, _, count in shares.values())) as advance:
        for name, begun in team.shares(list(shares)):
            number, kind, count = shares[name]
            planned = samples[number * batch_size : (number + 1) * batch_size]
            batch = [s for s in planned if type(s.request) is kind and s.id not in answers]
            if begun:  # by a process that died: what it stored is not asked again
                entries = folder.recorded()
                stored, _ = stored_answers(folder, entries, batch)
                batch = [sample for sample in batch if sample.id not in stored]
            if batch:
                start = time.monotonic()
                responses = respond(responder, batch, progress)
                folder.record(responses, time.monotonic() - start, entries)
            advance(count)
    return answers


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
    kind = type(samples[0].request)
    expected = RESPONSES[kind]
    responses = [_finite(response) for response in responses]
    for response in responses:
        if not isinstance(response, expected | Exception):
            raise UserError(
                f"{responder.name} answered a {kind.__name__} with a {type(response).__name__} "
                f"instead of {expected.__name__}: mend the model's adapter"
            )
    return {sample.id: r for sample, r in zip(samples, responses, strict=True)}


def _finite(response: Any) -> Any:
    """The response, or in place of one with NaN or infinite numbers what is wrong with it."""
    numbers = response
    if isinstance(response, Image.Image) and response.mode == "F":
        numbers = np.asarray(response)
    if isinstance(numbers, np.ndarray) and numbers.dtype.kind == "f":
        bad = numbers.size - int(np.isfinite(numbers).sum())
        if bad:
            return Unscorable(f"the model gave NaN or infinity in {bad} of {numbers.size} numbers")
    return response


def _ask(responder: Responder, samples: Sequence[Sample]) -> Sequence[Any]:
    """Samples of one kind."""
    requests = [sample.request for sample in samples]
    if draws := [request for request in requests if isinstance(request, Draw)]:
        return responder.draw(draws)
    if asks := [request for request in requests if isinstance(request, Ask)]:
        return responder.ask(asks)
    return responder.embed([request for request in requests if isinstance(request, Embed)])
