"""GenEval 2's file about shapes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from harmon_eval.suites.mini.language import NUMBERS, article, plural
from harmon_eval.suites.mini.scenes import COLORS, RELATIONS, SHAPES

SEED, PROMPTS = 2_512, 40


def line(index: int) -> dict[str, object]:
    """Two shapes with colours and their relation, or up to four of a kind with a colour."""
    rng = np.random.default_rng((SEED, index))
    (a, b), (red, blue) = rng.permutation(list(SHAPES))[:2], rng.permutation(list(COLORS))[:2]
    if index % 2:
        number = NUMBERS[rng.integers(2, 5)]
        name = plural(str(a))
        return {
            "prompt": f"{number} {red} {name}",
            "atom_count": 3,
            "vqa_list": [
                [f"Is there {article(str(a))}?", "Yes"],
                [f"How many {name} are in the image?", number],
                [f"Is the {a} {red}?", "Yes"],
            ],
            "skills": ["object", "count", "attribute"],
        }
    relation = RELATIONS[rng.integers(len(RELATIONS))]
    return {
        "prompt": f"{article(f'{red} {a}')} {relation} {article(f'{blue} {b}')}",
        "atom_count": 5,
        "vqa_list": [
            [f"Is there {article(str(a))}?", "Yes"],
            [f"Is the {a} {red}?", "Yes"],
            [f"Is there {article(str(b))}?", "Yes"],
            [f"Is the {b} {blue}?", "Yes"],
            [f"Is the {a} {relation} the {b}?", "Yes"],
        ],
        "skills": ["object", "attribute", "object", "attribute", "position"],
    }


def make(folder: Path) -> None:
    lines = [json.dumps(line(index)) + "\n" for index in range(PROMPTS)]
    (folder / "geneval2_data.jsonl").write_text("".join(lines), encoding="utf-8")
