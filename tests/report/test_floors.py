"""What trivial models get stands beside each score: in the terminal, the report and its bars."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from harmon_eval.report import headlines, plots, scores

EDITS = {"copy_source": 0.0, "ignore_source": 2.765}


def result(**other: Any) -> dict[str, Any]:
    return {
        "task": "gedit",
        "headline": "gedit_en",
        "higher_is_better": True,
        "paper": "arXiv 2504.17761",
        "metrics": {"gedit_en": 9.058, "en/color_alter": 8.1},
        "intervals": {"gedit_en": [6.8, 9.9], "en/color_alter": [3.5, 9.9]},
        "n": 16,
        "total": 120,
        "unscored": {},
        **other,
    }


def printed(width: int, *results: dict[str, Any]) -> str:
    console = Console(width=width, file=io.StringIO())
    by_task = {f"{number}{each['task']}": each for number, each in enumerate(results)}
    console.print(headlines.table(headlines.headlines(by_task), width))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_each_trivial_model_has_a_column_where_all_tasks_have_it_and_it_fits() -> None:
    edits = result(floors={"gedit_en": EDITS})
    text = printed(100, edits, edits)
    assert "copy_source  ignore_source" in text and text.count("0.000          2.765") == 2
    narrow = printed(60, edits, edits)
    assert "copy_source" not in narrow and narrow.count("2.765") == 2
    question = result(floor={"reply": "yes", "score": 0.5})
    mixed = printed(100, edits, question)
    assert "floor" in mixed and "copy_source" not in mixed and "0.500" in mixed


@pytest.mark.parametrize(
    ("floors", "told"),
    [
        ({"floors": {"gedit_en": EDITS}}, "copy_source 0.000, ignore_source 2.765"),
        ({"floor": {"reply": "yes", "score": 0.5}}, "always 'yes' 0.500"),
        ({}, ""),
    ],
)
def test_the_report_says_them_below_the_score(floors: dict[str, Any], told: str) -> None:
    (line,) = scores.lines([{"gedit": result(**floors)}], [])
    assert line["values"][0]["floors"] == told


def test_a_bar_marks_its_own_floors_on_the_axis() -> None:
    own = {"gedit_en": EDITS, "en/color_alter": {"copy_source": -1.0, "ignore_source": 5.6}}
    found = plots.bar_plots([("model", result(floors=own))])
    bars = {name: bar for plot in found for name, (bar,) in plot.metrics.items()}
    assert bars["gedit_en"].floors == EDITS
    assert bars["en/color_alter"].floors == own["en/color_alter"]
    assert found[1].start == -1.0, "a floor below zero is on the axis"
