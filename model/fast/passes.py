"""The passes of image generation: prompts once, then backbone and head in each iteration.

Shapes use B images (2B rows with guidance), V visible tokens, P generated places, C channels and S
diffusion steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from harmon_eval.model.diffusion import Schedule
from harmon_eval.model.fast import head, mar
from harmon_eval.model.fast.llm import KeysAndValues, go_on, prefill, prefill_shared
from harmon_eval.model.fast.rows import row_block
from harmon_eval.model.harmon import IMAGE_PLACE, Harmon
from harmon_eval.model.mar import Grid
from harmon_eval.model.sampling import DrawSettings


@dataclass(frozen=True)
class Sources:
    """Images to edit: latents (N, m, n, C); result i is made from number ``numbers[i]``."""

    latents: Tensor
    numbers: Sequence[int]


class Passes:
    """The passes, with everything that is constant for a model, grid and settings computed once.

    An object that is kept for a whole run also caches the unconditional prompt."""

    # Whether images of a batch stay together when some of them need no guidance any more.
    whole_batches = False

    def __init__(self, model: Harmon, settings: DrawSettings, grid: Grid) -> None:
        self.model = model
        self.settings = settings
        self._steps: dict[int, tuple[Schedule, Tensor]] = {}
        with torch.no_grad():
            self.positions = model.mar.positions(grid)
        self.unconditional: dict[tuple[int, ...], KeysAndValues] = {}

    def prompts(self, input_ids: Tensor, mask: Tensor, batch: int) -> KeysAndValues:
        """Keys and values of right-padded prompts (R, T): first the B conditional ones, then the
        unconditional ones.

        Each distinct conditional prompt is computed once per call. Each unconditional prompt is
        computed once for these passes, and separately, so that it does not depend on the batch in
        which it first appeared."""
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

    def edits(self, input_ids: Tensor, sources: Sources) -> tuple[KeysAndValues, Tensor]:
        """Keys and values of right-padded prompts (R, T) with the images to edit in them, and what
        fills the decoder's hidden places (B, K + L, D).

        Each source is encoded once, and with the ids before it read once by the LLM, for all rows
        about it. Raises ValueError unless every prompt begins alike up to the end of its image."""
        model, batch = self.model, len(sources.numbers)
        x_con, seen = model.see_whole(sources.latents)
        numbers = [*sources.numbers] * (len(input_ids) // batch)
        ends = (input_ids == IMAGE_PLACE).long().cumsum(dim=1).argmax(dim=1) + 1
        shared = int(ends[0])
        if not bool(
            (input_ids[:, :shared] == input_ids[0, :shared]).all() & (ends == shared).all()
        ):
            raise ValueError("the prompts of edits must begin alike, up to the end of the image")
        embeddings = model.placed(input_ids, seen[numbers])
        held = prefill_shared(model.llm, embeddings, numbers, shared)
        return held, model.mar.decoder_embed(x_con)[list(sources.numbers)]

    def condition(
        self,
        tokens: Tensor,
        visible: Tensor,
        places: Tensor,
        mask: Tensor,
        prompt: KeysAndValues,
        filler: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Run encoder, LLM and decoder: x_enc (R, K + V, D) after the LLM, and the condition
        z (R, P, D) of the tokens to generate.

        R is B, or 2B with guidance; it is taken from the prompt's mask (R, T). The encoder does not
        see the prompt, so it runs only on the B rows of tokens (B, L, C). ``filler`` (B, K + L, D)
        is that of edits, the same in both halves."""
        model, copies = self.model, len(mask) // len(tokens)
        x_enc, z_enc = model.see(tokens.to(model.dtype), visible, self.positions)
        x = join(model, x_enc.repeat(copies, 1, 1), z_enc.repeat(copies, 1, 1), mask, prompt)
        visible, places = visible.repeat(copies, 1), places.repeat(copies, 1)
        if filler is not None:
            filler = filler.repeat(copies, 1, 1)
        return x, mar.decode_at(model.mar, x, visible, self.positions, places, filler)

    def steps(self, count: int) -> tuple[Schedule, Tensor]:
        """The schedule of ``count`` diffusion steps, and its time embeddings (S, W)."""
        if count not in self._steps:
            schedule = self.settings.schedule(count, self.model.config.head)
            with torch.no_grad():
                self._steps[count] = schedule, head.step_embeddings(self.model.head, schedule)
        return self._steps[count]

    def draw(
        self,
        z: Tensor,
        noise_init: Tensor,
        noise_steps: Tensor,
        scale: float,
        steps: int | None = None,
    ) -> Tensor:
        """The head's diffusion loop: tokens (N, C) in float32 from conditions (N, D), or (2N, D)
        with guidance. ``steps`` is their number, by default that of the settings."""
        rows = len(noise_init)
        more = self.head_rows(rows, len(z) // rows) - rows
        return self._head(
            torch.cat([F.pad(half, (0, 0, 0, more)) for half in z.split(rows)]),
            F.pad(noise_init, (0, 0, 0, more)),
            F.pad(noise_steps, (0, 0, 0, more)),
            scale,
            steps or self.settings.diffusion_steps,
        )[:rows].float()

    def head_rows(self, rows: int, copies: int) -> int:
        """How many rows of each half the head computes. On a CPU, the total is in whole blocks."""
        block = row_block() if self.model.device.type == "cpu" else None
        return rows if block is None else rows + -rows % max(1, block.rows // copies)

    def padded(self, input_ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Right-padded prompts and mask (R, T), padded further if these passes need it."""
        return input_ids, mask

    def _head(
        self,
        z: Tensor,
        noise_init: Tensor,
        noise_steps: Tensor,
        scale: float | Tensor,
        steps: int,
    ) -> Tensor:
        how, (schedule, times) = self.settings, self.steps(steps)
        return head.sample(
            self.model.head,
            z,
            noise_init,
            noise_steps,
            schedule=schedule,
            times=times,
            cfg_scale=scale,
            temperature=how.temperature,
            solver=how.solver,
        )


def join(
    model: Harmon, x_enc: Tensor, z_enc: Tensor, mask: Tensor, prompt: KeysAndValues
) -> Tensor:
    """``model.join`` after a prompt that has already been read and is not changed."""
    return model.joined(x_enc, go_on(model.llm, z_enc, mask, prompt))
