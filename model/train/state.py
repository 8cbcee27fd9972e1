"""Snapshots of a training: everything that a bit-identical resumption needs."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType, broadcast_object_list, gather_object
from torch import Tensor
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_state_dict,
    set_state_dict,
)
from torch.distributed.tensor import DTensor, distribute_tensor

from harmon_eval.model.harmon import Harmon
from harmon_eval.model.train.checksums import save_file, write_digests
from harmon_eval.model.train.faults import Alarm
from harmon_eval.model.train.optimizers import Average
from harmon_eval.model.train.recipe import TrainingError
from harmon_eval.model.train.run_folder import STATE, begin_checkpoint, finish_checkpoint

WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)


@dataclass(frozen=True)
class Position:
    """Steps taken, seconds spent on them, where the data is, and steps not taken."""

    step: int = 0
    seconds: float = 0.0
    data: dict[str, Any] = field(default_factory=dict)
    skipped: int = 0


class Snapshots:
    """Checkpoints of whole, named tensors, so that any number of devices can read them.

    Under DeepSpeed the optimizer's state is DeepSpeed's own, written beside."""

    def __init__(self, folder: Path, keep: int, accelerator: Accelerator) -> None:
        self.folder, self.keep, self.accelerator = folder, keep, accelerator
        self.saved_at: int | None = None

    @property
    def _deepspeed(self) -> bool:
        return self.accelerator.distributed_type == DistributedType.DEEPSPEED

    def save(
        self,
        position: Position,
        model: Harmon,
        steppers: list[Any],
        average: Average,
        alarm: Alarm,
        must: bool,
    ) -> None:
        """Write a checkpoint; all processes call this.

        Where it cannot be written, such as on a full disk, the one before stays and the run goes on
        or, with ``must``, ends with TrainingError."""
        weights, optimizers = self._whole(model, steppers)
        random = gather_object([self._random()])
        averages = {name: _full(tensor) for name, tensor in average.weights.items()}
        state = {
            "position": asdict(position),
            "model": weights,
            "optimizers": optimizers,
            "average": averages,
            "alarm": alarm.state(),
            "random": random,
            "config": model.config.to_dict(),
        }
        temporary = self.folder / "checkpoints" / f".step-{position.step:07d}.tmp"
        digests: dict[str, str] = {}

        def begin() -> None:
            begin_checkpoint(self.folder, position.step)
            digests[STATE] = save_file(state, temporary / STATE)

        def finish() -> None:
            write_digests(temporary, digests)
            finish_checkpoint(temporary, self.keep)

        problem = self._on_main(begin)
        if not problem and self._deepspeed:
            self.accelerator.save_state(str(temporary / "deepspeed"))
        self.accelerator.wait_for_everyone()
        if problem := problem or self._on_main(finish):
            said = (
                f"the checkpoint of step {position.step} could not be written ({problem}); "
                "the one before it is intact: make room"
            )
            if must:
                raise TrainingError(said)
            self.accelerator.print(said)
            return
        self.saved_at = position.step

    def _on_main(self, action: Callable[[], None]) -> str:
        """Let the main process write; all processes call this, and learn what went wrong."""
        problem = [""]
        if self.accelerator.is_main_process:
            try:
                action()
            # torch's writer turns a failed write into a RuntimeError.
            except (OSError, RuntimeError) as error:
                problem = [f"{type(error).__name__}: {error}".splitlines()[0]]
        broadcast_object_list(problem)
        return problem[0]

    def restore(
        self,
        state: dict[str, Any],
        model: Harmon,
        steppers: list[Any],
        average: Average,
        alarm: Alarm,
    ) -> Position:
        """Put everything back as it was saved, on whatever number of processes there is now."""
        position = Position(**state["position"])
        if self._deepspeed:
            name = f"step-{position.step:07d}"
            self.accelerator.load_state(str(self.folder / "checkpoints" / name / "deepspeed"))
        else:
            missing, unexpected = set_state_dict(
                model,
                [stepper.optimizer for stepper in steppers],
                model_state_dict=state["model"],
                optim_state_dict=state["optimizers"],
                options=StateDictOptions(full_state_dict=True, strict=False),
            )
            if wrong := [*missing, *unexpected]:
                raise TrainingError(f"the checkpoint has other weights: {', '.join(wrong[:5])}")
            # Weights that no source has reached yet have no optimizer state; torch makes one.
            for name, parameter in model.named_parameters():
                if name not in state["optimizers"]["state"]:
                    for stepper in steppers:
                        stepper.optimizer.state.pop(parameter, None)
        for name, tensor in state["average"].items():
            kept = average.weights[name]
            if isinstance(kept, DTensor):
                tensor = distribute_tensor(tensor, kept.device_mesh, kept.placements)
            kept.copy_(tensor)
        alarm.restore(state["alarm"])
        if len(state["random"]) == self.accelerator.num_processes:
            random = state["random"][self.accelerator.process_index]
            torch.set_rng_state(random["cpu"])
            if torch.cuda.is_available() and "cuda" in random:
                torch.cuda.set_rng_state(random["cuda"])
        self.saved_at = position.step
        return position

    def weights(self, model: Harmon, average: Average) -> dict[str, Tensor]:
        """Whole weights on the main process, averaged ones where there are any."""
        weights, _ = self._whole(model, [])
        averages = {name: _full(tensor) for name, tensor in average.weights.items()}
        return {name: averages.get(name, tensor) for name, tensor in weights.items()}

    def _whole(self, model: Harmon, steppers: list[Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        if self._deepspeed:
            return self.accelerator.get_state_dict(model), {}
        return get_state_dict(model, [s.optimizer for s in steppers], options=WHOLE)

    @staticmethod
    def _random() -> dict[str, Tensor]:
        states = {"cpu": torch.get_rng_state()}
        if torch.cuda.is_available():
            states["cuda"] = torch.cuda.get_rng_state()
        return states


def _full(tensor: Tensor) -> Tensor:
    return (tensor.full_tensor() if isinstance(tensor, DTensor) else tensor).cpu()


class StopSignal:
    """While this lasts, SIGTERM and SIGINT ask for an end instead of making one."""

    def __init__(self) -> None:
        self.asked = False

    def __enter__(self) -> StopSignal:
        self._before = {s: signal.signal(s, self._ask) for s in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
