"""Dependency rules, reply parsers and totals of checklists against the originals' own functions."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from harmon_eval.tasks.checklist import rules
from harmon_eval.tasks.checklist.files import Point
from harmon_eval.tasks.specv import rules as specv
from harmon_eval.tasks.tiif import rules as tiif
from harmon_eval.tasks.unigenbench import rules as unigen

Vectors = dict[str, Any]


def part(vectors: Vectors, *keys: str) -> Any:
    """The vectors under these keys; skips where the file does not hold them."""
    found: Any = vectors
    for key in keys:
        if key not in found:
            pytest.skip(f"these vectors hold no {'/'.join(keys)}")
        found = found[key]
    return found


@pytest.mark.parametrize("rule", list(rules.DEPENDENCY))
@pytest.mark.entries("dependencies")
def test_dependencies(case: Any, rule: str) -> None:
    points = [
        Point(name, "?", parents=tuple(str(parent) for parent in parents if parent))
        for name, parents in case["parents"].items()
    ]
    right = {name: bool(answer) for name, answer in case["answers"].items()}
    found = rules.score(points, rules.DEPENDENCY[rule](points, right))
    assert found == pytest.approx(case[rule], abs=1e-9)


@pytest.mark.entries("replies", "tiif")
def test_tiif_reads_lines_that_begin_with_yes_or_no(case: Any) -> None:
    assert tiif.published_answers(case["reply"], case["points"]) == case["answers"]


@pytest.mark.entries("replies", "unigen")
def test_unigenbench_reads_the_first_lists(case: Any) -> None:
    if str(case["scores"]).startswith("raises"):
        with pytest.raises(TypeError):
            unigen.published_scores(case["reply"], case["points"])
        return
    found = unigen.published_scores(case["reply"], case["points"])
    # True equals 1 in Python, and is another reply here.
    assert repr(found) == repr(case["scores"])


@pytest.mark.entries("replies", "specv")
def test_specv_reads_json(case: Any) -> None:
    assert specv.published_parse(case["reply"]) == case["parsed"]


def test_unigenbench_totals(scoring_vectors: Vectors) -> None:
    case = part(scoring_vectors, "totals", "unigen")
    marked = [(row["points"], row["scores"]) for row in case["rows"]]
    for found, expected in zip(
        unigen.published_totals(marked), (case["primary"], case["sub"]), strict=True
    ):
        assert found == {name: (v["correct"], v["total"]) for name, v in expected.items()}
        shares = {name: value["accuracy"] for name, value in expected.items()}
        assert unigen.share(found) == pytest.approx(shares, abs=1e-4)


@pytest.mark.entries("totals", "specv")
def test_specv_scores(case: Any) -> None:
    assert specv.published_score(case["points"]) == case["score"]
    assert specv.weighted_score(case["points"]) == pytest.approx(case["weighted"], abs=1e-6)


def test_tiif_totals_by_the_steps_of_its_protocol(scoring_vectors: Vectors) -> None:
    case = part(scoring_vectors, "totals", "tiif")
    rows = []
    for number, image in enumerate(case["images"]):
        points = [Point(str(n), "?", expect=e) for n, e in enumerate(image["expected"])]
        right = {p.id: a == p.expect for p, a in zip(points, image["answers"], strict=True)}
        groups = {rules.BY + name: image[name] for name in ("attribute", "length")}
        rows.append({"group": str(number), "score": 0.0, **groups, **rules.sums(points, right)})
    found = rules.totals(pd.DataFrame(rows), tiif.PROTOCOL)
    for name, members in case["groups"].items():
        assert sorted(members) == sorted(tiif.GROUPS[name])
    # The original's accuracies go through four decimals.
    for (length,), value in found.items():
        assert value == pytest.approx(case[f"overall_{length}"], abs=2e-4)
