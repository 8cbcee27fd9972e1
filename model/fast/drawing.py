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
from torch import Tensor

from harmon_eval.model.fast.llm import KeysAndValues
from harmon_eval.model.fast.passes import Passes, Sources
from harmon_eval.model.harmon import Harmon
from harmon_eval.model.mar import Grid
from harmon_eval.model.sampling import DrawSettings, Noise, draw_orders_and_noise


@dataclass(frozen=True)
class Iteration:
    """What one iteration of the MAR loop did. With guidance, x_enc and z have 2B rows:
    conditional, then unconditional."""

    visible: Tensor  # (B, V) visible places, in raster order
    places: Tensor  # (B, P) generated places, in raster order
    x_enc: Tensor  # (B, K + V, D) encoder output after the LLM
    z: Tensor  # (B, P, D) condition of the generated tokens
    cfg_scale: float
    drawn: Tensor  # (B, P, C)
    tokens: Tensor  # (B, L, C) so far, zeros where hidden


class Guidance:
    """Both conditions of guided iterations. Between those that compute both, the unconditional one
    is the conditional one plus the last difference (``DrawSettings.cache``)."""

    def __init__(self, passes: Passes, settings: DrawSettings) -> None:
        self.passes, self.settings = passes, settings
        self.difference: Tensor | None = None  # (B, L, D)

    def condition(
        self,
        iteration: int,
        inputs: tuple[Tensor, Tensor, Tensor],
        mask: Tensor,
        prompts: KeysAndValues,
        filler: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """``Passes.condition`` of tokens, visible and generated places (``inputs``), with z for
        both halves (2B, P, D)."""
        if not self.settings.cache:
            return self.passes.condition(*inputs, mask, prompts, filler)
        tokens, visible, places = inputs
        batch, length = tokens.shape[:2]
        if self.difference is not None and not self.settings.computes_guidance(iteration):
            half = (mask[:batch], prompts.rows(slice(batch)))
            x, z = self.passes.condition(*inputs, *half, filler)
            return x, torch.cat([z, z + _at(self.difference, places)])
        everywhere = torch.arange(length, device=places.device).expand(batch, -1)
        x, z = self.passes.condition(tokens, visible, everywhere, mask, prompts, filler)
        with_prompt, without = z.split(batch)
        self.difference = without - with_prompt
        return x, _at(z, places.repeat(2, 1))


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
    prompts, conditional and unconditional, stand for them. Raises ValueError for another grid.
    """
    batch, length = orders.shape
    copies = 1 if settings.cfg_scale == 1.0 else 2
    if len(input_ids) != copies * batch:
        raise ValueError(
            f"{batch} images at CFG scale {settings.cfg_scale:g} need {copies * batch} prompts, "
            f"not {len(input_ids)}"
        )
    passes = passes or Passes(model, settings, grid)
    input_ids, attention_mask = passes.padded(input_ids, attention_mask)
    filler = None
    if sources is None:
        both = passes.prompts(input_ids, attention_mask, batch)
    else:
        _check(sources, batch, grid)
        both, filler = passes.edits(input_ids, sources)
        filler = filler if settings.edit_condition else None
    conditional = both.rows(slice(batch))
    counts = settings.counts(grid)
    guidance = Guidance(passes, settings)
    tokens = torch.zeros(batch, length, model.config.vae.channels, device=orders.device)
    for k, (hidden, hidden_next) in enumerate(pairwise(counts)):
        if hidden == hidden_next:
            continue
        visible = orders[:, hidden:].sort(dim=1).values
        places = orders[:, hidden_next:hidden].sort(dim=1).values
        guided = settings.guided(k)
        inputs = (tokens, visible, places)
        if guided:
            x, z = guidance.condition(k, inputs, attention_mask, both, filler)
        else:
            x, z = passes.condition(*inputs, attention_mask[:batch], conditional, filler)
        scale = settings.scale(hidden_next, length) if guided else 1.0
        drawn = passes.draw(z.flatten(0, 1), *noise(k), scale, settings.steps_at(k))
        drawn = drawn.unflatten(0, places.shape)
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
