"""A line of responses that wait for one task's instruments, marked in batches across requests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

from harmon_eval.core import Answer, Row
from harmon_eval.serving.outcomes import Scores, said
from harmon_eval.serving.pictures import Picture
from harmon_eval.serving.rewards import Served, rows_of

PATIENCE = 0.02  # seconds that a batch waits for images that are still being decoded


class Marked(NamedTuple):
    """A row, and what each reward of the line makes of it: numbers, or why there are none.

    ``at`` is when it was known, by the monotonic clock."""

    row: Row
    scores: Mapping[str, Scores | str]
    at: float


@dataclass(eq=False)
class Waiting:
    """``picture`` keeps the file of the response until it is marked."""

    answer: Answer
    picture: Picture | None
    marked: asyncio.Future[Marked]


Mark = Callable[[Sequence[Answer]], Sequence[Row]]
Keep = Callable[[Sequence[Waiting], Sequence[Row]], None]


class Line:
    """``mark`` runs in a thread of ``executor``; ``keep`` gets what was marked, in that thread.

    ``arriving()`` says whether more may come at once, so that a lone request does not wait."""

    def __init__(
        self,
        name: str,
        rewards: Sequence[Served],
        mark: Mark,
        executor: ThreadPoolExecutor,
        batch_size: int,
        keep: Keep | None = None,
        arriving: Callable[[], bool] = lambda: False,
    ) -> None:
        self.name, self.rewards, self.batch_size = name, list(rewards), batch_size
        self.mark, self.executor, self.keep, self.arriving = mark, executor, keep, arriving
        self.queue: asyncio.Queue[Waiting] = asyncio.Queue()
        self.batches: list[int] = []  # sizes since they were last read
        self.since: float | None = None  # when the batch under way began

    async def run(self) -> None:
        """Mark what comes, without end."""
        while True:
            batch = [await self.queue.get()]
            deadline = time.monotonic() + PATIENCE
            while len(batch) < self.batch_size:
                if not self.queue.empty():
                    batch.append(self.queue.get_nowait())
                elif self.arriving() and time.monotonic() < deadline:
                    await asyncio.sleep(0.001)
                else:
                    break
            self.since = time.monotonic()
            await self._marked(batch)
            self.since = None
            del batch

    async def _marked(self, batch: Sequence[Waiting]) -> None:
        """Mark a batch; where marking it fails as a whole, each of it alone, so that nobody's image
        fails for another's."""
        loop = asyncio.get_running_loop()
        (found,) = await asyncio.gather(
            loop.run_in_executor(self.executor, self._work, batch), return_exceptions=True
        )
        if isinstance(found, BaseException):
            if len(batch) > 1:
                for one in batch:
                    await self._marked([one])
                return
            reason = said(found)
            scores: dict[str, Scores | str] = dict.fromkeys(self._names, reason)
            found = [Marked({"unscored": reason}, scores, time.monotonic())]
        self.batches.append(len(batch))
        for waiting, marked in zip(batch, found, strict=True):
            if not waiting.marked.done():
                waiting.marked.set_result(marked)

    @property
    def _names(self) -> list[str]:
        return [reward.name for reward in self.rewards]

    def _work(self, batch: Sequence[Waiting]) -> list[Marked]:
        rows = self.mark([waiting.answer for waiting in batch])
        own = {
            reward.name: rows if reward.reward.reads_base else rows_of(reward, rows)
            for reward in self.rewards
        }
        if self.keep is not None:
            self.keep(batch, rows)
        now = time.monotonic()
        return [
            Marked(row, {r.name: _scores(r, own[r.name][place]) for r in self.rewards}, now)
            for place, row in enumerate(rows)
        ]


def _scores(reward: Served, row: Row) -> Scores | str:
    """The numbers of a row, or why it has none."""
    if reason := row.get("unscored"):
        return str(reason)
    return {name: float(value) for name, value in reward.reward.scores(row).items()}
