"""Flow-GRPO's GenEval reward against its own server's functions, on fake scenes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from harmon_eval.tasks.geneval import graded
from harmon_eval.tasks.geneval.rules import Found, verdict


def scene(case: dict[str, Any]) -> tuple[dict[str, np.ndarray], dict[str, list[str]]]:
    """Boxes (n, 5), the first listed with the highest score, and colours, by class."""
    boxes = {
        name: np.array(
            [[*found["box"], 0.99 - 0.001 * place] for place, found in enumerate(objects)],
            np.float32,
        ).reshape(-1, 5)
        for name, objects in case["objects"].items()
    }
    colors = {name: [o["color"] for o in objects] for name, objects in case["objects"].items()}
    return boxes, colors


@pytest.mark.entries("service", "flow_grpo")
def test_flow_grpo(case: Any) -> None:
    boxes, colors = scene(case)
    objects = {name: [Found(i, box) for i, box in enumerate(b)] for name, b in boxes.items()}
    reward, strict = graded.flow_grpo(
        case["metadata"], objects, lambda name, i, known=colors: known[name][i]
    )
    assert reward == pytest.approx(case["score"], abs=1e-9)
    assert strict == case["strict_correct"]


@pytest.mark.entries("service", "flow_grpo")
def test_a_share_is_1_exactly_where_genevals_own_rule_says_correct(case: Any) -> None:
    boxes, colors = scene(case)
    arguments = (case["metadata"], boxes, lambda name, i, known=colors: known[name][i])
    share, (correct, _) = graded.share_of_clauses(*arguments), verdict(*arguments)
    assert correct == case["correct"]
    assert 0 <= share <= 1 and (share == 1) == correct
