"""The passes of image generation as captured CUDA graphs, and compiled blocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from harmon_eval.model.fast.llm import KeysAndValues
from harmon_eval.model.fast.passes import Passes
from harmon_eval.model.harmon import Harmon
from harmon_eval.model.llm import Layer
from harmon_eval.model.mar import Grid
from harmon_eval.model.sampling import DrawSettings

ROW_SIZES = (8, 16, 32, 64)  # above these, multiples of the last
PROMPT_SIZE = 16


class CapturedPasses(Passes):
    """The same passes, each launched as one CUDA graph per set of shapes.

    The backbone has one length per iteration. Rows of the head are padded to a few sizes, and
    prompts to multiples of 16, so that a few graphs cover all batches. The results equal those of
    ``Passes`` up to rounding. Without CUDA there are no graphs, but padding and buffers are the
    same.
    """

    whole_batches = True  # else there would be a graph for each number of guided images

    def __init__(self, model: Harmon, settings: DrawSettings, grid: Grid) -> None:
        super().__init__(model, settings, grid)
        self._backbone = Captured(self._flat_condition)
        self._captured_heads: dict[int, Captured] = {}

    def condition(
        self,
        tokens: Tensor,
        visible: Tensor,
        places: Tensor,
        mask: Tensor,
        prompt: KeysAndValues,
        filler: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        given = () if filler is None else (filler,)
        x_enc, z = self._backbone(tokens, visible, places, mask, prompt.held, *given)
        return x_enc, z

    def _flat_condition(
        self,
        tokens: Tensor,
        visible: Tensor,
        places: Tensor,
        mask: Tensor,
        held: Tensor,
        filler: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        return super().condition(tokens, visible, places, mask, KeysAndValues(held), filler)

    def head_rows(self, rows: int, copies: int) -> int:
        """The size to which the rows of a batch are padded."""
        fitting = (size for size in ROW_SIZES if size >= rows)
        return next(fitting, -(-rows // ROW_SIZES[-1]) * ROW_SIZES[-1])

    def _head(
        self,
        z: Tensor,
        noise_init: Tensor,
        noise_steps: Tensor,
        scale: float | Tensor,
        steps: int,
    ) -> Tensor:
        if steps not in self._captured_heads:
            self.steps(steps)  # its constants are made before anything is captured
            plain = super()._head
            self._captured_heads[steps] = Captured(
                lambda *x: (plain(x[0], x[1], x[2], x[3], steps),)
            )
        filled = torch.full((), float(scale), device=z.device)  # unlike a copy, this does not block
        return self._captured_heads[steps](z, noise_init, noise_steps, filled)[0]

    def padded(self, input_ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        more = -input_ids.shape[1] % PROMPT_SIZE
        return F.pad(input_ids, (0, more)), F.pad(mask, (0, more))


class Captured:
    """A function of tensors, replayed as one CUDA graph for each set of shapes.

    The first call with new shapes runs the function normally. This warms it up, and a smaller last
    batch needs no capture. From the second call on, inputs are copied into buffers and the graph is
    replayed. Outputs are copies that belong to the caller. On the CPU the function runs on the same
    buffers.
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
            # Graphs can share memory, because only one runs at a time and its outputs are copied
            # immediately.
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
    """Compile the blocks of MAR and the norms and MLPs of the LLM, in place.

    This fuses the operations between matrix products. One compilation covers all lengths. Weights
    and their names do not change."""
    for block in (*model.mar.encoder_blocks, *model.mar.decoder_blocks):
        block.compile(dynamic=True)
    for layer in model.llm.model.layers:
        assert isinstance(layer, Layer)
        for part in (layer.input_layernorm, layer.post_attention_layernorm, layer.mlp):
            part.compile(dynamic=True)
