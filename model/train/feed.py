"""Batches of one step after the other, the next ones made while the device computes."""

from __future__ import annotations

import copy
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from harmon_eval.model.train.batches import BatchMaker, MicroBatch
from harmon_eval.model.train.recipe import cycle
from harmon_eval.model.train.sources import StreamedRows

Made = tuple[list[MicroBatch], dict[str, Any]]


class Feed:
    """``take(step)`` gives the micro-batches of a step, and the data's position after it.

    Steps must be asked for in order; one thread works a step ahead."""

    def __init__(self, maker: BatchMaker, steps: int) -> None:
        self.maker, self.steps = maker, steps
        self._worker = ThreadPoolExecutor(1)
        self._next: tuple[int, Future[Made]] | None = None

    def take(self, step: int) -> Made:
        if self._next is None:
            self._next = (step, self._worker.submit(self._make, step))
        number, future = self._next
        assert number == step, f"steps must be taken in order: {step} after {number - 1}"
        made = future.result()
        self._next = None
        if step + 1 < self.steps:
            self._next = (step + 1, self._worker.submit(self._make, step + 1))
        return made

    def _make(self, step: int) -> Made:
        turns: dict[int, int] = {}
        batches = []
        for number in cycle(self.maker.recipe, step):
            batches.append(self.maker.make(number, step, turns.get(number, 0)))
            turns[number] = turns.get(number, 0) + 1
        return batches, self.position()

    def position(self) -> dict[str, Any]:
        """Where the data is; samples of other sources are counted by the step alone."""
        streams = {
            str(number): copy.deepcopy(rows.state())
            for number, rows in enumerate(self.maker.rows)
            if isinstance(rows, StreamedRows)
        }
        return {"streams": streams, "faults": self.maker.faults.state()}

    def restore(self, position: dict[str, Any]) -> None:
        for number, rows in enumerate(self.maker.rows):
            if isinstance(rows, StreamedRows):
                rows.restore(position["streams"][str(number)])
        self.maker.faults.restore(position["faults"])

    def close(self) -> None:
        self._worker.shutdown(wait=True, cancel_futures=True)
