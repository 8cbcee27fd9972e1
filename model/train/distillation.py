"""A faster model, taught by the one that it starts from.

Guidance distillation (Meng et al. 2023, arXiv 2210.03142) puts guidance into one pass; progressive
distillation (Salimans & Ho 2022, arXiv 2202.00512) puts several steps of the head into one. Shapes
use N rows (hidden tokens, several draws each), C channels and D width.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from harmon_eval.model.diffusion import (
    Schedule,
    add_noise,
    at_steps,
    sampling_schedule,
    training_schedule,
)
from harmon_eval.model.harmon import Harmon
from harmon_eval.model.head import DiffusionHead
from harmon_eval.model.sampling import DrawSettings
from harmon_eval.model.train.batches import MicroBatch
from harmon_eval.model.train.recipe import Distillation, Recipe, RecipeError
from harmon_eval.model.train.start import Started

# Where a head that predicts noise starts: from later steps, its error is blown up (DiSA).
NOISE_LAST_STEP = 950


def drawing_after(drawing: DrawSettings, distil: Distillation, prediction: str) -> DrawSettings:
    """How to draw with the taught model, whose head predicts noise or velocity."""
    if distil.one_pass:  # edits were not taught
        edits = drawing.for_edits().cfg_scale
        drawing = replace(drawing, cfg_scale=1.0, edit_cfg_scale=edits)
    if distil.steps:
        drawing = replace(
            drawing,
            diffusion_steps=distil.steps,
            solver="ddim",
            spacing="trailing",
            temperature=1.0,
            annealing=None,
            final_steps=None,
            last_step=_last_step(drawing, prediction),
        )
    return drawing


def _last_step(drawing: DrawSettings, prediction: str) -> int | None:
    """The step that teacher and student start from."""
    return drawing.last_step or (NOISE_LAST_STEP if prediction == "noise" else None)


def teacher_of(recipe: Recipe, started: Started) -> Teacher | None:
    """The teacher that a recipe asks for. Raises RecipeError for one that it cannot have."""
    distil, drawing = recipe.distil, started.drawing
    if not distil.wanted:
        return None
    if distil.one_pass and drawing.cfg_scale == 1.0:
        raise RecipeError(
            f"distil.one_pass: {recipe.start.checkpoint} draws without guidance already"
        )
    if drawing.cfg_schedule != "constant" or drawing.guidance != (0.0, 1.0):
        raise RecipeError(
            "distil: the teacher must be guided by one CFG scale in all iterations; see "
            "cfg_schedule and guidance in its generation_config.json"
        )
    last = _last_step(drawing, started.model.config.head.prediction)
    most = started.model.config.head.train_steps if last is None else last + 1
    if distil.steps * distil.teacher_steps > most:
        raise RecipeError(
            f"distil: {distil.steps} steps of {distil.teacher_steps} of the teacher's are more "
            f"than the {most} of its schedule: lower steps or teacher_steps"
        )
    drawing = replace(drawing, last_step=last)
    ids = torch.tensor([started.processor.unconditional_ids()])
    return Teacher(started.model, ids, drawing, distil)


@dataclass(frozen=True)
class Step:
    """DDIM from step ``i`` (N,) of a schedule to the one before: x' = ratio x + rest x_0."""

    ratio: Tensor
    rest: Tensor

    @classmethod
    def of(cls, schedule: Schedule, i: Tensor) -> Step:
        kept = at_steps(schedule.alphas_cumprod, i)
        before = at_steps(schedule.alphas_cumprod_before, i)
        ratio = ((1 - before) / (1 - kept)).sqrt()
        return cls(ratio, before.sqrt() - ratio * kept.sqrt())


class Teacher:
    """The model as it was at the start, and the losses of a student that is to be faster."""

    def __init__(
        self, model: Harmon, unconditional: Tensor, drawing: DrawSettings, distil: Distillation
    ) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.unconditional, self.distil = unconditional, distil
        self.scale = drawing.cfg_scale
        head = model.config.head
        self.every = training_schedule(head.train_steps, head.max_beta)
        if distil.steps:
            sizes = head.train_steps, head.max_beta, drawing.last_step, "trailing"
            self.coarse = sampling_schedule(distil.steps, *sizes)
            # Each step of these ends where as many of the teacher's do.
            self.fine = sampling_schedule(distil.steps * distil.teacher_steps, *sizes)

    def loss(self, student: Harmon, batch: MicroBatch, latents: Tensor) -> Tensor:
        """The student's error against the teacher, a mean over hidden tokens and draws."""
        assert batch.t is not None and batch.noise is not None and batch.hidden is not None
        self.model.to(latents.device)
        hidden, draws = batch.hidden, len(batch.t)
        with torch.no_grad():
            theirs = self._conditions(self.model, batch, latents, guided=self.scale != 1.0)
        guided = len(theirs) == 2 and not self.distil.one_pass
        learning = [n for n, p in student.named_parameters() if p.requires_grad]
        if all(name.startswith("head.") for name in learning):
            ours = theirs[: 1 + guided]  # of the same weights
        else:
            ours = self._conditions(student, batch, latents, guided)
        ours, theirs = ([z.repeat(draws, 1) for z in each] for each in (ours, theirs))
        x0 = latents.flatten(1, 2)[hidden].repeat(draws, 1)
        t, noise = batch.t[:, hidden].flatten(), batch.noise[:, hidden].flatten(0, 1)
        if self.distil.steps:
            return self._in_few_steps(student.head, ours, theirs, x0, t, noise)
        xt = add_noise(x0, noise, t, self.every)
        with torch.no_grad():
            target = self._predicted(self.model.head, xt, t, theirs)
        return (self._predicted(student.head, xt, t, ours) - target).square().mean()

    def _conditions(
        self, model: Harmon, batch: MicroBatch, latents: Tensor, guided: bool
    ) -> list[Tensor]:
        """z (N / draws, D) of hidden tokens with their prompts, and if ``guided`` without."""
        assert batch.mask is not None and batch.hidden is not None
        prompts = [(batch.ids, batch.mask)]
        if guided:
            ids = self.unconditional.to(latents.device).expand(len(latents), -1)
            prompts.append((ids, torch.ones_like(ids)))
        embed = model.llm.get_input_embeddings()
        return [
            model.conditions(embed(ids), mask, latents, batch.hidden)[batch.hidden]
            for ids, mask in prompts
        ]

    def _predicted(
        self, head: DiffusionHead, x: Tensor, t: Tensor, conditions: Sequence[Tensor]
    ) -> Tensor:
        """Guided prediction, and the variance with the prompt (N, 2C), at steps t (N,)."""
        x = x.to(conditions[0].dtype)
        output = head(x, t, conditions[0]).float()
        if len(conditions) == 1:
            return output
        predicted, variance = output.chunk(2, dim=1)
        without = head(x, t, conditions[1]).float().chunk(2, dim=1)[0]
        return torch.cat([without + self.scale * (predicted - without), variance], dim=1)

    def _predicted_x0(
        self,
        head: DiffusionHead,
        x: Tensor,
        i: Tensor,
        schedule: Schedule,
        conditions: Sequence[Tensor],
    ) -> Tensor:
        """x_0 (N, C) as predicted from x at steps i (N,) of a schedule."""
        t = torch.as_tensor(schedule.steps, device=x.device)[i]
        predicted = self._predicted(head, x, t, conditions).chunk(2, dim=1)[0]
        from_xt, from_predicted = schedule.x0_factors(head.config.prediction)
        return at_steps(from_xt, i) * x - at_steps(from_predicted, i) * predicted

    def _in_few_steps(
        self,
        head: DiffusionHead,
        ours: Sequence[Tensor],
        theirs: Sequence[Tensor],
        x0: Tensor,
        t: Tensor,
        noise: Tensor,
    ) -> Tensor:
        """Squared error of the x_0 that leads where the teacher's steps lead, weighted by the
        signal-to-noise ratio, at least 1 (equation 9 of the paper)."""
        count = self.distil.teacher_steps
        i = t * len(self.coarse.steps) // len(self.every.steps)
        x = reached = add_noise(x0, noise, i, self.coarse)
        with torch.no_grad():
            for j in (i * count + k for k in reversed(range(count))):
                step = Step.of(self.fine, j)
                found = self._predicted_x0(self.model.head, reached, j, self.fine, theirs)
                reached = step.ratio * reached + step.rest * found
            step = Step.of(self.coarse, i)
            target = (reached - step.ratio * x) / step.rest
        kept = at_steps(self.coarse.alphas_cumprod, i)
        weight = (kept / (1 - kept)).clamp(min=1.0)
        found = self._predicted_x0(head, x, i, self.coarse, ours)
        return (weight * (found - target).square()).mean()
