"""Verdicts on mini edits that a prototype of the rules gave before this judge was written.

Set ``EDITING_VECTORS`` to a file of the same form (JSON, also gzipped) to check other vectors.
"""

import gzip
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harmon_eval.suites.mini.edit_judge import judge_edit
from harmon_eval.suites.mini.scenes import Background, Item, Scene, render

COMMITTED = Path(__file__).parents[1] / "fixtures" / "editing_vectors_mini.json.gz"


def vectors() -> list[dict[str, Any]]:
    path = Path(os.environ.get("EDITING_VECTORS", COMMITTED))
    content = path.read_bytes()
    text = gzip.decompress(content) if path.suffix == ".gz" else content
    found: list[dict[str, Any]] = json.loads(text)["mini_edits"]
    return found


def drawn(scene: dict[str, Any]) -> np.ndarray:
    tone, tint, *texture = scene["background"]
    background = Background(tone, tuple(tint), *texture)
    return render(Scene(tuple(Item(*item) for item in scene["items"]), background))


@pytest.mark.parametrize("vector", vectors(), ids=lambda v: f"{v['kind']}-{v['variant']}")
def test_the_verdict_is_that_of_the_specification(vector: dict[str, Any]) -> None:
    verdict = judge_edit(drawn(vector["source"]), drawn(vector["result"]), vector["instruction"])
    assert (verdict.followed, verdict.preserved) == (vector["followed"], vector["preserved"])
    if vector["variant"] == "copy":
        assert verdict.semantic[0] == 0
        assert verdict.scores == (1, 1, 1)
