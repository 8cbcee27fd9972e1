"""What all wire formats call: images and words in, numbers or reasons out."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from harmon_eval.core import Answer, Sample, Unscorable
from harmon_eval.serving.line import Line, Marked, Waiting
from harmon_eval.serving.outcomes import Failure, Found, Outcome, without_paths
from harmon_eval.serving.pictures import Album, Picture
from harmon_eval.serving.rewards import Asked
from harmon_eval.serving.statistics import Statistics

A_THREAD = 2**17  # bytes of images that are worth a thread of their own
REMEMBERED = 4096  # marks that are given again for the same image and request


@dataclass(frozen=True)
class Limits:
    """``timeout``: seconds a reward may take; ``body`` and ``held``: bytes of one request, and of
    all that are being read; ``images``: of one request; ``waiting``: of all
    lines; ``connections``: clients at a time."""

    timeout: float = 120.0
    body: int = 2**26
    pixels: int = 2**26
    images: int = 1024
    held: int = 2**30
    waiting: int = 20_000
    connections: int = 1000


class Busy(Exception):
    """Too many images wait already."""


class Service:
    """``lines`` by the name of the task that marks. Its coroutines run in one event loop."""

    def __init__(self, lines: Sequence[Line], album: Album, limits: Limits) -> None:
        self.lines, self.album, self.limits = list(lines), album, limits
        self.rewards = {r.name: (r, line) for line in self.lines for r in line.rewards}
        self.statistics = Statistics(list(self.rewards), self.waiting)
        self.decoding = 0  # images that will wait in a line in a moment
        self._known: OrderedDict[tuple[str, ...], asyncio.Future[Marked]] = OrderedDict()
        self._numbers = itertools.count()
        self._tasks: list[asyncio.Task[None]] = []
        for line in self.lines:
            line.arriving = lambda: self.decoding > 0

    # -- life ------------------------------------------------------------------------------------

    async def start(self) -> None:
        self._tasks = [asyncio.create_task(line.run()) for line in self.lines]

    async def stop(self) -> None:
        """What waits is marked before: the server has answered its last request by then."""
        for task in self._tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def waiting(self) -> int:
        return sum(line.queue.qsize() for line in self.lines)

    def states(self) -> dict[str, list[str]]:
        """Of each reward: "ready", or "stuck" where a batch takes far longer than is waited."""
        now, most = time.monotonic(), 2 * self.limits.timeout
        return {
            name: ["stuck" if line.since is not None and now - line.since > most else "ready"]
            for name, (_, line) in self.rewards.items()
        }

    # -- marking ---------------------------------------------------------------------------------

    async def pictures(self, given: Sequence[bytes | str]) -> list[Picture | Unscorable]:
        """Decode and keep images, in threads; in place of one that is none, why."""
        self.decoding += len(given)
        try:
            parts = [asyncio.to_thread(self._pictures, part) for part in _portions(given)]
            return [picture for part in await asyncio.gather(*parts) for picture in part]
        finally:
            self.decoding -= len(given)

    def _pictures(self, given: Sequence[bytes | str]) -> list[Picture | Unscorable]:
        made: list[Picture | Unscorable] = []
        for one in given:
            try:
                made.append(self.album.picture(one))
            except Unscorable as error:
                made.append(error)
        return made

    async def marks(
        self, asked: Sequence[tuple[Asked, Picture | str, Sequence[str]]]
    ) -> list[dict[str, Outcome]]:
        """For each (words, image or reply, names of rewards) what each of its rewards says.

        Raises Busy where too many images wait."""
        if self.waiting() + len(asked) > self.limits.waiting:
            raise Busy(f"{self.waiting()} images wait already: try again later")
        begun = time.monotonic()
        flat = [
            (place, name, self._begun(own, response, name))
            for place, (own, response, names) in enumerate(asked)
            for name in names
        ]
        await self._wait_for([one for _, _, one in flat if not isinstance(one, Failure)])
        outcomes: list[dict[str, Outcome]] = [{} for _ in asked]
        for place, name, one in flat:
            outcome, at = self._outcome(one, name)
            self.statistics.note(name, outcome, max(0.0, at - begun))
            outcomes[place][name] = outcome
        return outcomes

    async def _wait_for(self, futures: Sequence[asyncio.Future[Marked]]) -> None:
        """Until all are done, or the time is up. One after the other, since a batch is done at
        once: a task or a callback for each image would cost more than the rest of a request."""
        deadline = time.monotonic() + self.limits.timeout
        for future in futures:
            if not future.done() and (left := deadline - time.monotonic()) > 0:
                await asyncio.wait((future,), timeout=left)

    def _begun(
        self, asked: Asked, response: Picture | str, name: str
    ) -> asyncio.Future[Marked] | Failure:
        """The mark that a reward reads, or why what was asked has none."""
        reward, line = self.rewards[name]
        try:
            sample = reward.sample(asked)
            wanted = sample.request.gives
            if (wanted == "image") != isinstance(response, Picture):
                raise Unscorable(f"{name} marks {'images' if wanted == 'image' else 'replies'}")
        except (Unscorable, RecursionError) as error:
            return Failure(without_paths(str(error)), asked=True)
        return self._marked(line, sample, response)

    def _outcome(self, one: asyncio.Future[Marked] | Failure, name: str) -> tuple[Outcome, float]:
        """What a reward says, and when it was known."""
        if isinstance(one, Failure):
            return one, time.monotonic()
        if not one.done():
            limit = f"TimeoutError: {name} took longer than {self.limits.timeout:g} s"
            return Failure(f"{limit}; marking goes on", late=True), time.monotonic()
        marked = one.result()
        scores = marked.scores[name]
        if isinstance(scores, str):
            return Failure(without_paths(scores)), marked.at
        return Found(scores, marked.row), marked.at

    def _marked(
        self, line: Line, sample: Sample, response: Picture | str
    ) -> asyncio.Future[Marked]:
        """The mark under way or known for these very bytes and this sample, or a new one."""
        content = response.sha256 if isinstance(response, Picture) else response
        words = json.dumps([sample.id, sample.request.text, dict(sample.target)], default=str)
        key = (line.name, content, words)
        if (known := self._known.get(key)) is not None:
            self._known.move_to_end(key)
            return known
        future: asyncio.Future[Marked] = asyncio.get_running_loop().create_future()
        self._known[key] = future
        future.add_done_callback(lambda done: self._forget_failures(key, done))
        while len(self._known) > REMEMBERED and next(iter(self._known.values())).done():
            self._known.popitem(last=False)
        group = re.sub(r"[^\w-]+", "-", sample.group)[:100] or "-"
        own = replace(sample, id=f"{group}/{next(self._numbers):08d}")
        if isinstance(response, Picture):
            line.queue.put_nowait(Waiting(Answer(own, response.file), response, future))
        else:
            line.queue.put_nowait(Waiting(Answer(own, response), None, future))
        return future

    def _forget_failures(self, key: tuple[str, ...], done: asyncio.Future[Marked]) -> None:
        """So that a failure is tried again when it is asked for again."""
        if done.cancelled() or any(isinstance(s, str) for s in done.result().scores.values()):
            self._known.pop(key, None)

    def number_from(self, first: int) -> None:
        """The number of the next sample, after those that a store holds."""
        self._numbers = itertools.count(first)


def _portions(given: Sequence[bytes | str]) -> Iterator[Sequence[bytes | str]]:
    """In order; small images together, since a thread costs as much as decoding one."""
    start = total = 0
    for place, one in enumerate(given):
        total += len(one)
        if total >= A_THREAD:
            yield given[start : place + 1]
            start, total = place + 1, 0
    if start < len(given):
        yield given[start:]
