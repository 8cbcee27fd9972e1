"""Verdicts on mini edits that a prototype of the rules gave before this judge was written.

Set ``EDITING_VECTORS`` to a file of the same form (JSON, also gzipped) to check other vectors.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harmon_eval.suites.mini.edit_judge import judge_edit
from harmon_eval.suites.mini.scenes import Background, Item, Scene, render
from tests.vectors import read_vectors

COMMITTED = Path(__file__).parents[1] / "fixtures" / "editing_vectors_mini.json.gz"
ALL = read_vectors("EDITING_VECTORS", COMMITTED)


def drawn(scene: dict[str, Any]) -> np.ndarray:
    """The scene, whose lists are in the order that the file states."""
    items = [Item(**dict(zip(ALL["mini_item"], item, strict=True))) for item in scene["items"]]
    background = dict(zip(ALL["mini_background"], scene["background"], strict=True))
    background["tint"] = tuple(background["tint"])
    return render(Scene(tuple(items), Background(**background)))


@pytest.mark.skipif("mini_edits" not in ALL, reason="these vectors hold no mini_edits")
@pytest.mark.parametrize(
    "vector", ALL.get("mini_edits", []), ids=lambda v: f"{v.get('kind')}-{v.get('variant')}"
)
def test_the_verdict_is_that_of_the_specification(vector: dict[str, Any]) -> None:
    verdict = judge_edit(drawn(vector["source"]), drawn(vector["result"]), vector["instruction"])
    found = {"followed": verdict.followed, "preserved": verdict.preserved}
    expected = {half: vector[half] for half in found if half in vector}
    assert expected and found | expected == found
    if vector.get("variant") == "copy":
        assert verdict.semantic[0] == 0
        assert verdict.scores == (1, 1, 1)
