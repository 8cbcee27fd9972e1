"""The passes of drawing: prompts once, then backbone and head in each iteration; as usual, or as
captured graphs.

B pictures, with guidance 2B rows; V visible tokens, P places drawn, C channels, S diffusion steps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from harmon_eval.model.diffusion import sampling_schedule
from harmon_eval.model.fast.rows import ROWS
from harmon_eval.model.harmon import Harmon
from harmon_eval.model.llm import KeysAndValues, prefill
from harmon_eval.model.mar import Grid

if TYPE_CHECKING:
    from harmon_eval.model.sampling import DrawSettings

ROW_SIZES = (8, 16, 32, 64)  # beyond these, multiples of the last
PROMPT_SIZE = 16


class Passes:
    """What is constant for a model, a grid and settings, computed once, and the passes.

    Kept over a run, it also keeps what the unconditional prompt comes to."""

    def __init__(self, model: Harmon, settings: DrawSettings, grid: Grid) -> None:
        self.model = model
        self.settings = settings
        self.schedule = sampling_schedule(settings.diffusion_steps, model.config.head.train_steps)
        with torch.no_grad():
            self.times = model.head.step_embeddings(self.schedule)
            self.positions = model.mar.positions(grid)
        self.unconditional: dict[tuple[int, ...], KeysAndValues] = {}

    def prompts(self, input_ids: Tensor, mask: Tensor, batch: int) -> KeysAndValues:
        """Keys and values of right-padded prompts (R, T): of the B conditional ones, each distinct
        one once, and of unconditional ones behind them, once for all drawings with these passes.

        An unconditional prompt is computed by itself, so that it does not matter in which drawing
        it was."""
        llm = self.model.llm
        conditional = prefill(llm, input_ids[:batch])
        lengths = mask[batch:].sum(dim=1).tolist()
        rows = [
            tuple(row[:length])
            for row, length in zip(input_ids[batch:].tolist(), lengths, strict=True)
        ]
        for ids in {*rows} - self.unconditional.keys():
            self.unconditional[ids] = prefill(llm, torch.tensor([ids], device=input_ids.device))
        behind = [
            F.pad(self.unconditional[ids].held, (0, 0, 0, input_ids.shape[1] - len(ids)))
            for ids in rows
        ]
        return KeysAndValues(torch.cat([conditional.held, *behind], dim=2))

    def condition(
        self, tokens: Tensor, visible: Tensor, places: Tensor, mask: Tensor, prompt: KeysAndValues
    ) -> tuple[Tensor, Tensor]:
        """Encoder, LLM, decoder: x_enc (R, K + V, D) after the LLM, and the condition
        z (R, P, D) of the tokens to draw, where R = B, or 2B with guidance, is that of the prompt's
        mask (R, T). The encoder does not see the prompt: it runs on tokens (B, L, C)."""
        model, copies = self.model, len(mask) // len(tokens)
        x_enc, z_enc = model.see(tokens.to(model.dtype), visible, self.positions)
        x = model.join(x_enc.repeat(copies, 1, 1), z_enc.repeat(copies, 1, 1), mask, prompt)
        both = visible.repeat(copies, 1), self.positions, places.repeat(copies, 1)
        return x, model.mar.decode_at(x, *both)

    def draw(self, z: Tensor, noise_init: Tensor, noise_steps: Tensor, scale: float) -> Tensor:
        """The head's diffusion loop: tokens (N, C) from conditions (N, D), or with guidance
        (2N, D)."""
        rows = len(noise_init)
        more = self.head_rows(rows, len(z) // rows) - rows
        return self._head(
            torch.cat([F.pad(half, (0, 0, 0, more)) for half in z.split(rows)]),
            F.pad(noise_init, (0, 0, 0, more)),
            F.pad(noise_steps, (0, 0, 0, more)),
            scale,
        )[:rows]

    def head_rows(self, rows: int, copies: int) -> int:
        """How many rows of each half the head computes: on a CPU, whole blocks in all."""
        return rows + (-rows % (ROWS // copies) if self.model.device.type == "cpu" else 0)

    def padded(self, input_ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Right-padded prompts and mask (R, T), as long as these passes like them."""
        return input_ids, mask

    def _head(
        self, z: Tensor, noise_init: Tensor, noise_steps: Tensor, scale: float | Tensor
    ) -> Tensor:
        how = self.settings
        return self.model.head.sample(
            *(z, noise_init, noise_steps, self.schedule, self.times),
            *(scale, how.temperature, how.solver),
        )


class CapturedPasses(Passes):
    """The same passes, each launched as one CUDA graph for its shapes.

    The lengths of the backbone are those of the iterations; rows of the head are padded to a few
    sizes and prompts to multiples of 16, so that few graphs serve all batches. Equal to ``Passes``
    but for rounding. Elsewhere than on CUDA there are no graphs, but the same padding and buffers.
    """

    def __init__(self, model: Harmon, settings: DrawSettings, grid: Grid) -> None:
        super().__init__(model, settings, grid)
        self._backbone = Captured(self._flat_condition)
        plain = super()._head
        self._captured_head = Captured(lambda *inputs: (plain(*inputs),))

    def condition(
        self, tokens: Tensor, visible: Tensor, places: Tensor, mask: Tensor, prompt: KeysAndValues
    ) -> tuple[Tensor, Tensor]:
        x_enc, z = self._backbone(tokens, visible, places, mask, prompt.held)
        return x_enc, z

    def _flat_condition(
        self, tokens: Tensor, visible: Tensor, places: Tensor, mask: Tensor, held: Tensor
    ) -> tuple[Tensor, Tensor]:
        return super().condition(tokens, visible, places, mask, KeysAndValues(held))

    def head_rows(self, rows: int, copies: int) -> int:
        """A size that the rows of a batch are padded to."""
        fitting = (size for size in ROW_SIZES if size >= rows)
        return next(fitting, -(-rows // ROW_SIZES[-1]) * ROW_SIZES[-1])

    def _head(
        self, z: Tensor, noise_init: Tensor, noise_steps: Tensor, scale: float | Tensor
    ) -> Tensor:
        filled = torch.full((), float(scale), device=z.device)  # waits for nothing, unlike a copy
        return self._captured_head(z, noise_init, noise_steps, filled)[0]

    def padded(self, input_ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        more = -input_ids.shape[1] % PROMPT_SIZE
        return F.pad(input_ids, (0, more)), F.pad(mask, (0, more))


class Captured:
    """A function of tensors, replayed as one CUDA graph for each set of shapes.

    A shape runs as usual when it first comes, which warms it up and spares a last, smaller batch
    the capture; from the second time on inputs are copied into buffers and the graph is replayed.
    What it gives is the caller's own. On the CPU the function runs on the same buffers.
    """

    def __init__(self, function: Callable[..., tuple[Tensor, ...]]) -> None:
        self.function = function
        self.seen: set[object] = set()
        self.graphs: dict[object, _Graph] = {}
        self.pool = torch.cuda.graph_pool_handle() if torch.cuda.is_available() else None

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        shapes = tuple((x.shape, x.dtype) for x in inputs)
        if shapes not in self.seen:
            self.seen.add(shapes)
            return self.function(*inputs)
        if shapes not in self.graphs:
            self.graphs[shapes] = _Graph(self.function, inputs, self.pool)
        return self.graphs[shapes].replay(inputs)


class _Graph:
    def __init__(
        self,
        function: Callable[..., tuple[Tensor, ...]],
        inputs: tuple[Tensor, ...],
        pool: Any,
    ) -> None:
        self.function = function
        self.inputs = [x.clone() for x in inputs]
        self.outputs: tuple[Tensor, ...] = ()
        self.graph: torch.cuda.CUDAGraph | None = None
        if inputs[0].is_cuda:
            self.graph = torch.cuda.CUDAGraph()
            # Graphs share memory: one runs at a time, and its outputs are copied out at once.
            with torch.cuda.graph(self.graph, pool=pool):
                self.outputs = function(*self.inputs)

    def replay(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        for buffer, x in zip(self.inputs, inputs, strict=True):
            buffer.copy_(x, non_blocking=True)
        if self.graph is not None:
            self.graph.replay()
        else:
            self.outputs = self.function(*self.inputs)
        return tuple(x.clone() for x in self.outputs)


def compile_blocks(model: Harmon) -> None:
    """Compile the blocks of MAR, and the norms and MLPs of the LLM, in place and once for all
    lengths, to fuse what lies between their matrix products. Weights and their names stay."""
    for block in (*model.mar.encoder_blocks, *model.mar.decoder_blocks):
        block.compile(dynamic=True)
    for layer in model.llm.model.layers:
        for part in (layer.input_layernorm, layer.post_attention_layernorm, layer.mlp):
            part.compile(dynamic=True)
