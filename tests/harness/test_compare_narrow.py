"""A comparison in a terminal of any width."""

from __future__ import annotations

import io

import numpy as np
import pytest
from rich.console import Console

from harmon_eval.comparing.bounds import BoundedMean
from harmon_eval.comparing.output import cells, show
from harmon_eval.comparing.paired import GAFFKE, Difference
from harmon_eval.comparing.verdict import NO_EVIDENCE, NOT_COMPARABLE, Comparison, Line


def line(metric: str) -> Line:
    evidence = BoundedMean.of(np.ones(12), np.zeros(12), 1.0)
    found = Difference(0.98765, 0.91234, 12, GAFFKE, evidence)
    return Line(
        "geneval", metric, True, NO_EVIDENCE, "", found, 0.8192, 0.416, interval=(-0.332, 0.208)
    )


@pytest.mark.parametrize("width", [60, 80, 99, 140])
def test_figures_are_never_cut(width: int) -> None:
    lines = (
        line("overall"),
        line("correct_prompts"),
        Line("pope", "f1[pope-60]", True, NOT_COMPARABLE, "other data"),
    )
    said = io.StringIO()
    show(Comparison(lines, ()), 0, Console(file=said, width=width))
    shown = said.getvalue().partition("pope f1[pope-60]: not comparable: other data")[0]
    assert all(len(row) <= width for row in shown.splitlines())
    words = {word.strip("[],") for word in shown.replace("│", " ").split()}
    for one in lines:
        for figure in " ".join(cells(one)[2:8]).split():
            assert figure == "–" or figure.strip("[],") in words, shown
