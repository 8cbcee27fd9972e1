"""Ask a model for what is not stored yet; every batch is on disk before the next one is asked."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from harmon_eval.core import Answer, Ask, Draw, Embed, Responder, Sample, Unscorable, UserError
from harmon_eval.progress import Progress
from harmon_eval.store import TaskFolder

T = TypeVar("T")
# What a model or an instrument may raise about one sample without ending the run.
SAMPLE_FAILURES = (RuntimeError, ValueError, ArithmeticError, LookupError, Unscorable)
RESPONSES: dict[type, type] = {Draw: Image.Image, Ask: str, Embed: np.ndarray}


def batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def stored_answers(
    folder: TaskFolder,
    recorded: Mapping[str, Mapping[str, Any]],
    samples: Sequence[Sample],
    checked: Mapping[str, Answer] | None = None,
) -> tuple[dict[str, Answer], int]:
    """Sound stored responses by sample id, and how many were found damaged or lost.

    ``checked`` are those known to be sound already."""
    answers, damaged = dict(checked or {}), 0
    for sample in samples:
        if sample.id in answers or sample.id not in recorded:
            continue
        entry = recorded[sample.id]
        answer = folder.answer(sample, entry)
        if answer is not None:
            answers[sample.id] = answer
        elif "error" not in entry:
            damaged += 1
    return answers, damaged


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
) -> tuple[dict[str, Answer], float]:
    """Ask for every response that is not stored yet.

    Returns the stored responses that were found sound, and the seconds that the model took."""
    answers, damaged = stored_answers(folder, folder.recorded(), samples)
    missing = [sample for sample in samples if sample.id not in answers]
    if damaged:
        progress.say(f"{damaged} stored responses were damaged and are made again")
    if answers:
        progress.say(f"reused {len(answers)} of {len(samples)} stored responses")
    seconds = 0.0
    verb = "drawing" if isinstance(samples[0].request, Draw) else "asking"
    with progress.bar(verb, len(missing)) as advance:
        for kind in RESPONSES:
            of_kind = [sample for sample in missing if type(sample.request) is kind]
            for batch in batches(of_kind, batch_size):
                start = time.monotonic()
                responses = respond(responder, batch, progress)
                seconds += time.monotonic() - start
                folder.record(responses)
                advance(len(batch))
    return answers, seconds


def respond(responder: Responder, samples: Sequence[Sample], progress: Progress) -> dict[str, Any]:
    """Responses by sample id; a batch that fails is asked again one by one to find the culprit."""
    try:
        responses = _ask(responder, samples)
    except SAMPLE_FAILURES as error:
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
    for response in responses:
        if not isinstance(response, expected | Exception):
            raise UserError(
                f"{responder.name} answered a {kind.__name__} with a {type(response).__name__} "
                f"instead of {expected.__name__}: mend the model's adapter"
            )
    return {sample.id: r for sample, r in zip(samples, responses, strict=True)}


def _ask(responder: Responder, samples: Sequence[Sample]) -> Sequence[Any]:
    """Samples of one kind."""
    requests = [sample.request for sample in samples]
    if draws := [request for request in requests if isinstance(request, Draw)]:
        return responder.draw(draws)
    if asks := [request for request in requests if isinstance(request, Ask)]:
        return responder.ask(asks)
    return responder.embed([request for request in requests if isinstance(request, Embed)])
