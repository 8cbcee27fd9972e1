"""GenEval's six tags and clause grammar, about shapes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harmon_eval.suites.mini.scenes import COLORS, RELATIONS, SHAPES
from harmon_eval.tasks.geneval import prompts

SEED = 43
PROMPTS_A_TAG = 100


def geneval_items(seed: int, samples: int = PROMPTS_A_TAG) -> list[dict[str, Any]]:
    """Prompts of GenEval's six tags and clause grammar about shapes, repeats dropped."""
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
    text = prompts.to_jsonl(geneval_items(SEED))
    (folder / "evaluation_metadata.jsonl").write_text(text)
