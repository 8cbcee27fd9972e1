"""Gradients of one step: a cycle of micro-batches, shared by all processes."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext

import torch
import torch.distributed
from accelerate import Accelerator
from accelerate.utils import DistributedType

from harmon_eval.model.train.batches import MicroBatch
from harmon_eval.model.train.losses import Losses
from harmon_eval.model.train.recipe import Recipe, source_names

# No process has whole weights.
SHARDED = (DistributedType.FSDP, DistributedType.DEEPSPEED)


class Gradients:
    """``losses`` is the module as ``accelerator.prepare`` gave it back."""

    def __init__(self, recipe: Recipe, accelerator: Accelerator, losses: Losses) -> None:
        self.recipe, self.accelerator, self.losses = recipe, accelerator, losses
        self.names = source_names(recipe)

    def of(self, batches: list[MicroBatch]) -> tuple[dict[str, float], float]:
        """Gradients of a cycle, shared by all processes; this process's losses, and the norm."""
        sums: dict[str, float] = {}
        world, at_once = self.accelerator.num_processes, self.recipe.device_batch
        for number, batch in enumerate(batches):
            total = self.shared([float(batch.count)])[0] * world
            size = at_once or len(batch)
            starts = range(0, len(batch), size)
            weight = self.recipe.sources[batch.source].weight / len(batches)
            for first in starts:
                part = batch.rows(first, first + size)
                last = number + 1 == len(batches) and first == starts[-1]
                with self._accumulating(last):
                    share = part.count * world / total
                    loss = self.losses(part.to(self.accelerator.device)) * share
                    self.accelerator.backward(loss * weight)
                name = self.names[batch.source]
                repeats = self.recipe.sources[batch.source].repeat
                sums[name] = sums.get(name, 0.0) + float(loss.detach()) / repeats
        self._share_gradients()
        limit = self.recipe.optimizer.clip or math.inf
        norm = self.accelerator.clip_grad_norm_(self._learning(), limit)
        return sums, float(norm) if norm is not None else 0.0

    def _learning(self) -> list[torch.nn.Parameter]:
        return [p for p in self.losses.parameters() if p.requires_grad]

    def _accumulating(self, last: bool) -> AbstractContextManager[None]:
        """Gradients stay on their process until the cycle is complete."""
        if self.accelerator.distributed_type == DistributedType.DEEPSPEED:
            self.accelerator.sync_gradients = last  # the engine steps on the last backward
        if self._plain:
            return self.accelerator.no_sync(self.losses)
        return nullcontext()

    @property
    def _plain(self) -> bool:
        """Whole weights on every process."""
        return self.accelerator.distributed_type not in SHARDED

    def _share_gradients(self) -> None:
        """Mean over processes. No source reaches all weights, and DistributedDataParallel shares
        only what the last backward reached; all processes run the same sources."""
        if self._plain and self.accelerator.num_processes > 1:
            for parameter in self._learning():
                if parameter.grad is not None:
                    torch.distributed.all_reduce(parameter.grad)
                    parameter.grad /= self.accelerator.num_processes

    def shared(self, values: list[float]) -> list[float]:
        """Means over processes."""
        if self.accelerator.num_processes == 1:
            return values
        local = torch.tensor(values, dtype=torch.float32, device=self.accelerator.device)
        mean = self.accelerator.reduce(local, "mean")
        assert isinstance(mean, torch.Tensor)
        return mean.tolist()
