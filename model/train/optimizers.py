"""What learns, how fast: freezing, parameter groups, AdamW and Muon, the average of weights."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from harmon_eval.model.train.muon import Muon
from harmon_eval.model.train.recipe import Optimizer, RecipeError

# Never learns: the VAE, and a table of MAR's that Harmon does not use.
ALWAYS_FROZEN = ("vae.", "mar.class_emb.")
# Matrices that Muon is not meant for: inputs, outputs, tables (Jordan et al. 2024).
EDGES = (
    "embed_tokens",
    "lm_head",
    "z_proj",
    "input_proj",
    "final_layer",
    "pos_embed",
    "time_embed.mlp.0",
    "fake_latent",
    "mask_token",
)


def freeze(model: nn.Module, recipe: Optimizer) -> None:
    """Let exactly what the recipe names learn. Raises RecipeError for a name that fits nothing."""
    names = [name for name, _ in model.named_parameters()]
    for key, prefixes in (
        ("trained", recipe.trained),
        ("frozen", recipe.frozen),
        ("factors", recipe.factors),
    ):
        for prefix in prefixes:
            if not any(name.startswith(prefix) for name in names):
                starts = {".".join(n.split(".")[:k]) for n in names for k in (1, 2)}
                close = difflib.get_close_matches(prefix, starts, n=1, cutoff=0.4)
                hint = f"; did you mean {close[0]!r}?" if close else ""
                raise RecipeError(f"optimizer.{key}: no parameter begins with {prefix!r}{hint}")
    for name, parameter in model.named_parameters():
        learns = not recipe.trained or name.startswith(recipe.trained)
        learns = learns and not name.startswith((*recipe.frozen, *ALWAYS_FROZEN))
        parameter.requires_grad_(learns)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise RecipeError("nothing learns: see optimizer.trained and optimizer.frozen")


def decays(name: str, parameter: Tensor, recipe: Optimizer) -> bool:
    """Weight decay spares vectors, biases and the diffusion head (Harmon release)."""
    return parameter.ndim >= 2 and (recipe.decay_head or not name.startswith("head."))


def rate_factor(name: str, factors: Mapping[str, float]) -> float:
    """The factor of the longest beginning of ``name`` that the recipe gives; else 1."""
    fitting = [prefix for prefix in factors if name.startswith(prefix)]
    return factors[max(fitting, key=len)] if fitting else 1.0


def optimizers(model: nn.Module, recipe: Optimizer) -> list[torch.optim.Optimizer]:
    """Optimizers over what learns. Groups are named and keep their full rate as ``base_rate``."""
    groups: dict[tuple[bool, float, bool], list[Tensor]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            hidden = parameter.ndim == 2 and not any(part in name for part in EDGES)
            key = (
                recipe.name == "muon" and hidden,
                rate_factor(name, recipe.factors),
                decays(name, parameter, recipe),
            )
            groups.setdefault(key, []).append(parameter)
    made: list[torch.optim.Optimizer] = []
    for muon in (True, False):
        rate = recipe.muon_rate if muon else recipe.learning_rate
        chosen = [
            {
                "params": parameters,
                "lr": rate * factor,
                "base_rate": rate * factor,
                "weight_decay": recipe.weight_decay if decayed else 0.0,
            }
            for (by_muon, factor, decayed), parameters in groups.items()
            if by_muon == muon
        ]
        if chosen:
            made.append(_muon(chosen, rate) if muon else _adamw(chosen, rate, recipe))
    return made


def _muon(groups: Sequence[dict[str, Any]], rate: float) -> torch.optim.Optimizer:
    return Muon(groups, lr=rate)


def _adamw(
    groups: Sequence[dict[str, Any]], rate: float, recipe: Optimizer
) -> torch.optim.Optimizer:
    return torch.optim.AdamW(list(groups), lr=rate, betas=recipe.betas)


def set_rates(steppers: Iterable[torch.optim.Optimizer], factor: float) -> None:
    for stepper in steppers:
        for group in stepper.param_groups:
            group["lr"] = group["base_rate"] * factor


class Average:
    """Exponential moving average of what learns; the rest is as in the model."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights = {n: p.detach().clone() for n, p in _learning(model) if decay}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """A young average follows quickly, so that early checkpoints are usable."""
        if self.decay:
            share = 1 - min(self.decay, (1 + step) / (10 + step))
            kept, current = [], []
            for name, parameter in _learning(model):
                kept.append(self.weights[name])
                current.append(parameter.detach())
            torch._foreach_lerp_(kept, current, share)


def _learning(model: nn.Module) -> list[tuple[str, nn.Parameter]]:
    return [(n, p) for n, p in model.named_parameters() if p.requires_grad]
