"""Learning-rate schedules."""

from __future__ import annotations

import math


def learning_rate_factor(
    step: float, steps: float, warmup: float, constant: float, final: float
) -> float:
    """Linear warm-up over ``warmup`` steps, 1 until the share ``constant``, cosine to ``final``."""
    if step < warmup:
        return (step + 1) / (warmup + 1)
    start = max(warmup, constant * steps)
    if step <= start:
        return 1.0
    progress = min(1.0, (step - start) / max(1.0, steps - start))
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress))
