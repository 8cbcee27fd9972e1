"""Prompts about shapes, with GenEval's six tags and clause grammar."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harmon_eval.suites.mini.scenes import COLORS, RELATIONS, SHAPES
from harmon_eval.tasks.geneval import prompts

SEED, PROMPTS_A_TAG = 43, 100
# A fifth of the prompts, because all tasks of the mini suite together should take only minutes.
FRESH_SEED, FRESH_PROMPTS_A_TAG = 44, 20
# Of these tags, the prompts of SEED are all that there are.
CENSUS = ("single_object", "two_object", "counting")


def geneval_items(seed: int, samples: int = PROMPTS_A_TAG) -> list[dict[str, Any]]:
    """Prompts about shapes with GenEval's six tags and clause grammar, without repeats."""
    rng = np.random.default_rng(seed)
    shapes, colors = list(SHAPES), list(COLORS)

    def pick(values: Sequence[str], size: int) -> list[str]:
        return [values[i] for i in rng.choice(len(values), size=size, replace=False)]

    items = [prompts.single(shape) for shape in shapes]
    items += [prompts.two(*pick(shapes, 2)) for _ in range(samples)]
    items += [prompts.counting(pick(shapes, 1)[0], int(rng.integers(2, 5))) for _ in range(samples)]
    items += [prompts.colors(pick(shapes, 1)[0], pick(colors, 1)[0]) for _ in range(samples)]
    for _ in range(samples):
        subject, reference = pick(shapes, 2)
        items.append(prompts.position(subject, pick(RELATIONS, 1)[0], reference))
    for _ in range(samples):
        (a, b), (color_a, color_b) = pick(shapes, 2), pick(colors, 2)
        items.append(prompts.color_attr(a, color_a, b, color_b))
    return prompts.without_repeats(items)


def make(folder: Path) -> None:
    _write(folder, geneval_items(SEED))


def make_fresh(folder: Path) -> None:
    """For ``geneval_fresh``: the same grammar with a different seed."""
    _write(folder, geneval_items(FRESH_SEED, FRESH_PROMPTS_A_TAG))


def _write(folder: Path, items: Sequence[dict[str, Any]]) -> None:
    (folder / prompts.FILE).write_text(prompts.to_jsonl(items))
