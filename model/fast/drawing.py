"""The sampling loop in use: it gives the same as ``reference.draw`` but computes nothing twice.

Shapes use B images, L tokens of a grid m x n, V visible tokens, P generated places, K buffers, C
channels, D MAR width, T prompt length and S diffusion steps.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from harmon_eval.model.fast.llm import KeysAndValues
from harmon_eval.model.fast.passes import Passes, Sources
from harmon_eval.model.harmon import Harmon
from harmon_eval.model.mar import Grid
from harmon_eval.model.masking import as_mask
from harmon_eval.model.sampling import DrawSettings, Noise, draw_orders_and_noise


@dataclass(frozen=True)
class Iteration:
    """What one iteration of the MAR loop did. With guidance, x_enc and z have 2B rows:
    conditional, then unconditional (adaptive guidance: only of images that are still guided)."""

    visible: Tensor  # (B, V) visible places, in raster order
    places: Tensor  # (B, P) generated places, in raster order
    x_enc: Tensor  # (B, K + V, D) encoder output after the LLM
    z: Tensor  # (B, P, D) condition of the generated tokens
    cfg_scale: float
    drawn: Tensor  # (B, P, C)
    tokens: Tensor  # (B, L, C) so far, zeros where hidden


Rows = Tensor | slice  # of a batch: indices (b,), or all


@dataclass(frozen=True)
class Part:
    """What an iteration did for some images: see ``Iteration``."""

    rows: Rows
    x_enc: Tensor
    z: Tensor
    drawn: Tensor


def together(parts: Sequence[Part]) -> tuple[Tensor, Tensor, Tensor]:
    """x_enc, z and drawn tokens of all images in order, with the unconditional rows last."""
    if len(parts) == 1:
        return parts[0].x_enc, parts[0].z, parts[0].drawn
    order = torch.cat([torch.as_tensor(part.rows) for part in parts]).argsort()

    def sorted_rows(tensors: Sequence[Tensor]) -> Tensor:
        halves = [x.split(len(part.drawn)) for x, part in zip(tensors, parts, strict=True)]
        conditional = torch.cat([half[0] for half in halves])[order]
        return torch.cat([conditional, *(other for half in halves for other in half[1:])])

    x, z = sorted_rows([part.x_enc for part in parts]), sorted_rows([part.z for part in parts])
    return x, z, torch.cat([part.drawn for part in parts])[order]


class Conditions:
    """The conditions of B images, with guidance in both halves, and which images are guided.

    Between the iterations that compute both halves, the unconditional one is the conditional one
    plus the last difference (``DrawSettings.cache``). An image whose halves agreed is not guided
    any more (``DrawSettings.adaptive_guidance``)."""

    def __init__(
        self,
        passes: Passes,
        settings: DrawSettings,
        mask: Tensor,
        prompts: KeysAndValues,
        filler: Tensor | None,
        batch: int,
    ) -> None:
        self.passes, self.settings, self.batch = passes, settings, batch
        self.mask, self.prompts, self.filler = mask, prompts, filler
        self.conditional = prompts.rows(slice(batch))
        self.difference: Tensor | None = None  # (B, L, D)
        self.agreed = torch.zeros(batch, dtype=torch.bool, device=mask.device)

    def parts(self, iteration: int) -> list[tuple[Rows, bool]]:
        """The images that an iteration draws with guidance (True), and those without."""
        if not self.settings.guided(iteration):
            return [(slice(None), False)]
        if self.settings.adaptive_guidance is None or not bool(self.agreed.any()):
            return [(slice(None), True)]
        if self.passes.whole_batches:
            return [(slice(None), not bool(self.agreed.all()))]
        parts = [((~self.agreed).nonzero()[:, 0], True), (self.agreed.nonzero()[:, 0], False)]
        return [(rows, guided) for rows, guided in parts if len(rows)]

    def of(
        self, iteration: int, rows: Rows, guided: bool, inputs: tuple[Tensor, Tensor, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """``Passes.condition`` of these images' tokens, visible and generated places
        (``inputs``). With guidance, z is of both halves (2b, P, D)."""
        if not guided:
            return self._condition(inputs, rows)
        x, z = self._both(iteration, rows, inputs)
        if self.settings.adaptive_guidance is not None:
            with_prompt, without = z.chunk(2)
            # From two equal conditions, guidance leads nowhere.
            without = torch.where(self.agreed[rows][:, None, None], with_prompt, without)
            z = torch.cat([with_prompt, without])
            self.agreed[rows] |= cosines(with_prompt, without) >= self.settings.adaptive_guidance
        return x, z

    def _both(
        self, iteration: int, rows: Rows, inputs: tuple[Tensor, Tensor, Tensor]
    ) -> tuple[Tensor, Tensor]:
        if not self.settings.cache:
            return self._condition(inputs, rows, both=True)
        tokens, visible, places = inputs
        if self.difference is not None and not self.settings.computes_guidance(iteration):
            x, z = self._condition(inputs, rows)
            return x, torch.cat([z, z + _at(self.difference[rows], places)])
        count, length = tokens.shape[:2]
        everywhere = torch.arange(length, device=places.device).expand(count, -1)
        x, z = self._condition((tokens, visible, everywhere), rows, both=True)
        with_prompt, without = z.chunk(2)
        if self.difference is None:
            self.difference = z.new_zeros(self.batch, *z.shape[1:])
        self.difference[rows] = without - with_prompt
        return x, _at(z, places.repeat(2, 1))

    def _condition(
        self, inputs: tuple[Tensor, Tensor, Tensor], rows: Rows, both: bool = False
    ) -> tuple[Tensor, Tensor]:
        filler = None if self.filler is None else self.filler[rows]
        if not both:
            mask, prompts = self.mask[: self.batch][rows], self.conditional
        else:
            mask, prompts = self.mask, self.prompts
            if isinstance(rows, Tensor):
                rows = torch.cat([rows, rows + self.batch])
            mask = mask[rows]
        if isinstance(rows, Tensor):
            prompts = prompts.rows(rows)
        return self.passes.condition(*inputs, mask, prompts, filler)


def cosines(ours: Tensor, theirs: Tensor) -> Tensor:
    """The cosine (B,) of two conditions (B, P, D) of each image."""
    pairs = zip(ours.flatten(1).float(), theirs.flatten(1).float(), strict=True)
    # Each alone, as a single sum would be split between threads, and several would not.
    return torch.stack([F.cosine_similarity(*pair, dim=0) for pair in pairs])


def _at(z: Tensor, places: Tensor) -> Tensor:
    """The rows of z (B, L, D) at places (B, P): (B, P, D)."""
    return z.gather(1, places[..., None].expand(-1, -1, z.shape[-1]))


@torch.inference_mode()
def mar_iterations(
    model: Harmon,
    input_ids: Tensor,
    attention_mask: Tensor,
    orders: Tensor,
    noise: Noise,
    grid: Grid,
    settings: DrawSettings,
    passes: Passes | None = None,
    sources: Sources | None = None,
) -> Iterator[Iteration]:
    """The sampling loop of MAR (Li et al. 2024) with Harmon's LLM between encoder and decoder.

    Prompts are right-padded: (B, T), or (2B, T) with guidance (conditional rows, then
    unconditional). Tokens are generated from the end of ``orders`` (B, L) to its start.
    ``noise(k)`` gives the initial (B*P, C) and step (S, B*P, C) noise of iteration k, with rows in
    (sample, place) order. The MAR encoder does not see the prompt, so both halves share its output.
    If there are more iterations than tokens, iterations without tokens are skipped. ``passes`` can
    be reused for the same model, settings and grid.

    With ``sources``, images are edited (UniPic-1, arXiv 2508.03320): the runs of -200 in the
    prompts, conditional and unconditional, stand for them. Raises ValueError for another grid."""
    batch, length = orders.shape
    copies = 1 if settings.cfg_scale == 1.0 else 2
    if len(input_ids) != copies * batch:
        raise ValueError(
            f"{batch} images at CFG scale {settings.cfg_scale:g} need {copies * batch} prompts, "
            f"not {len(input_ids)}"
        )
    passes = passes or Passes(model, settings, grid)
    attention_mask = as_mask("attention_mask", attention_mask)
    input_ids, attention_mask = passes.padded(input_ids, attention_mask)
    filler = None
    if sources is None:
        both = passes.prompts(input_ids, attention_mask, batch)
    else:
        _check(sources, batch, grid)
        both, filler = passes.edits(input_ids, sources)
        filler = filler if settings.edit_condition else None
    conditions = Conditions(passes, settings, attention_mask, both, filler, batch)
    tokens = torch.zeros(batch, length, model.config.vae.channels, device=orders.device)
    for k, (hidden, hidden_next) in enumerate(pairwise(settings.counts(grid))):
        if hidden == hidden_next:
            continue
        visible = orders[:, hidden:].sort(dim=1).values
        places = orders[:, hidden_next:hidden].sort(dim=1).values
        scale = settings.scale(hidden_next, length) if settings.guided(k) else 1.0
        start, added = noise(k)
        start, added = start.unflatten(0, places.shape), added.unflatten(1, places.shape)
        parts = []
        for rows, guided in conditions.parts(k):
            x, z = conditions.of(k, rows, guided, (tokens[rows], visible[rows], places[rows]))
            given = start[rows].flatten(0, 1), added[:, rows].flatten(1, 2)
            drawn = passes.draw(
                z.flatten(0, 1), *given, scale if guided else 1.0, settings.steps_at(k)
            )
            parts.append(Part(rows, x, z, drawn.unflatten(0, (-1, places.shape[1]))))
        x, z, drawn = together(parts)
        tokens = tokens.scatter(1, places[..., None].expand_as(drawn), drawn)
        yield Iteration(visible, places, x, z, scale, drawn, tokens)


def _check(sources: Sources, batch: int, grid: Grid) -> None:
    """Raises ValueError unless there is a source of the result's grid for each result."""
    if len(sources.numbers) != batch:
        raise ValueError(f"{len(sources.numbers)} sources for {batch} images")
    if tuple(sources.latents.shape[1:3]) != grid:
        raise ValueError(
            f"source and result need one grid of tokens, not {tuple(sources.latents.shape[1:3])} "
            f"and {grid}"
        )


def draw_latents(
    model: Harmon,
    input_ids: Tensor,
    attention_mask: Tensor,
    seeds: Sequence[int],
    settings: DrawSettings,
    passes: Passes | None = None,
    sources: Sources | None = None,
) -> Tensor:
    """Latents (B, m, n, C), float32, for right-padded prompts: (B, T), or (2B, T) with guidance
    (conditional rows, then unconditional). ``sources`` are images to edit.

    Sample i depends only on its prompt and ``seeds[i]``, not on its batch. Raises ValueError if the
    numbers of prompts and seeds do not match."""
    grid = settings.grid(model)
    orders, noise = draw_orders_and_noise(
        seeds, grid, model.config.vae.channels, settings, model.device
    )
    loop = mar_iterations(
        model, input_ids, attention_mask, orders, noise, grid, settings, passes, sources
    )
    (last,) = deque(loop, maxlen=1)
    return last.tokens.unflatten(1, grid)
