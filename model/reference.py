"""How Harmon generates images, written for readers: one plain loop without caches or shortcuts.

``fast/drawing.py`` generates the same images and is tested against this loop. Shapes use B images,
R = B rows, or 2B with guidance (conditional, then unconditional); T prompt length, L tokens of a
grid m x n, V visible tokens, P tokens generated in an iteration, K buffers, C channels, D MAR
width, H LLM width, N = B * P.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from harmon_eval.model.diffusion import Schedule
from harmon_eval.model.harmon import Harmon
from harmon_eval.model.mar import Grid
from harmon_eval.model.sampling import DrawSettings, Noise
from harmon_eval.model.solvers import solver_steps


@torch.inference_mode()
def draw(
    model: Harmon,
    input_ids: Tensor,
    attention_mask: Tensor,
    orders: Tensor,
    noise: Noise,
    grid: Grid,
    settings: DrawSettings,
    sources: Tensor | None = None,
) -> Tensor:
    """Latents (B, m, n, C) for right-padded prompts (R, T), by MAR sampling (Li et al. 2024).

    Tokens are generated from the end of ``orders`` (B, L) to its start. ``noise(k)`` gives the
    initial (N, C) and step (S, N, C) noise of iteration k, with rows in (image, place) order.

    With ``sources`` (B, m, n, C), these images are edited (UniPic-1): the runs of -200 in the
    prompts stand for them, in both halves. With ``settings.edit_condition`` they also fill the
    decoder's hidden places."""
    batch, length = orders.shape
    positions = model.mar.positions(grid)
    tokens = torch.zeros(batch, length, model.config.vae.channels, device=orders.device)
    seen = x_con = None
    if sources is not None:
        both = sources.repeat(len(input_ids) // batch, 1, 1, 1)  # (R, m, n, C)
        x_con, seen = model.see_whole(both)  # (R, K+L, D), (R, L+K, H)
        x_con = x_con if settings.edit_condition else None
    prompts = model.placed(input_ids, seen)  # (R, T, H)
    difference = torch.zeros(0)  # of both conditions, where they are used again
    agreed = torch.zeros(batch, dtype=torch.bool, device=orders.device)  # guided no more
    for k, (hidden, left) in enumerate(pairwise(settings.counts(grid))):
        if hidden == left:
            continue  # there are more iterations than tokens
        rows = len(input_ids) if settings.guided(k) else batch
        copies = rows // batch
        visible = orders[:, hidden:].sort(dim=1).values.repeat(copies, 1)  # (R, V)
        places = orders[:, left:hidden].sort(dim=1).values  # (B, P)

        x = tokens.to(model.dtype).repeat(copies, 1, 1)  # (R, L, C)
        x_enc, z_enc = model.see(x, visible, positions)  # (R, K+V, D), (R, V+K, H)
        x_enc = model.join(x_enc, z_enc, attention_mask[:rows], prompts[:rows])  # (R, K+V, D)
        condition = None if x_con is None else x_con[:rows]
        z = model.mar.decode(x_enc, visible, positions, condition)  # (R, L, D)
        if copies == 2 and settings.cache:
            if settings.computes_guidance(k) or not len(difference):
                difference = z[batch:] - z[:batch]
            z = torch.cat([z[:batch], z[:batch] + difference])
        at = places.repeat(copies, 1)[..., None].expand(-1, -1, z.shape[-1])  # (R, P, D)
        z = z.gather(1, at)  # (R, P, D)
        if copies == 2 and settings.adaptive_guidance is not None:
            # From two equal conditions, guidance leads nowhere.
            z[batch:][agreed] = z[:batch][agreed]
            cosine = F.cosine_similarity(z[:batch].flatten(1), z[batch:].flatten(1))
            agreed = agreed | (cosine >= settings.adaptive_guidance)
        z = z.flatten(0, 1)  # (N or 2N, D)

        schedule = settings.schedule(settings.steps_at(k), model.config.head)
        drawn = diffuse(model, z, noise(k), schedule, settings.scale(left, length), settings)
        drawn = drawn.float().unflatten(0, places.shape)  # (B, P, C)
        tokens = tokens.scatter(1, places[..., None].expand_as(drawn), drawn)
    return tokens.unflatten(1, grid)


def diffuse(
    model: Harmon,
    z: Tensor,
    noise: tuple[Tensor, Tensor],
    schedule: Schedule,
    scale: float,
    settings: DrawSettings,
) -> Tensor:
    """Tokens (N, C) from noise, given z: (N, D), or (2N, D) with guidance."""
    start, added = noise  # (N, C), (S, N, C)
    count, channels = start.shape

    def denoise(x: Tensor, i: int) -> tuple[Tensor, Tensor]:
        """The guided prediction and the conditional row's variance, each (N, C)."""
        t = torch.full((len(z),), int(schedule.steps[i]), device=x.device)
        x = x.to(z.dtype).repeat(len(z) // count, 1)  # (N or 2N, C)
        predicted, variance = model.head(x, t, z).split(channels, dim=1)
        if len(z) == count:
            return predicted, variance
        with_prompt, without = predicted.split(count)
        return without + scale * (with_prompt - without), variance[:count]

    *_, (drawn, _) = solver_steps(
        settings.solver,
        denoise,
        start,
        added,
        schedule,
        temperature=settings.temperature,
        prediction=model.config.head.prediction,
    )
    return drawn
