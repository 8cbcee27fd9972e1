"""The learning-rate schedule."""

from __future__ import annotations

import math

from harmon_eval.model.train.recipe import Schedule


def learning_rate_factor(step: float, steps: float, schedule: Schedule) -> float:
    """Factor of the learning rate at ``step`` of ``steps``.

    Linear from ``begin`` to 1 over the share ``warmup``, 1 until the share ``constant``, cosine to
    ``final`` (Harmon release: warm-up over 1 % from 1e-5 of the rate, cosine to 0)."""
    warm = schedule.warmup * steps
    if step < warm:
        return schedule.begin + (1 - schedule.begin) * step / warm
    start = max(warm, schedule.constant * steps)
    if step <= start:
        return 1.0
    progress = min(1.0, (step - start) / max(1.0, steps - start))
    return schedule.final + (1 - schedule.final) * 0.5 * (1 + math.cos(math.pi * progress))
