"""A comparison in a terminal of any width."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from harmon_eval.comparing.bounds import BoundedMean
from harmon_eval.comparing.changes import Change, Changes
from harmon_eval.comparing.output import cells, show
from harmon_eval.comparing.paired import GAFFKE, Difference
from harmon_eval.comparing.verdict import NO_EVIDENCE, NOT_COMPARABLE, WORSE, Comparison, Line
from harmon_eval.report import tables
from harmon_eval.report.listing import print_rows
from harmon_eval.store.tables import figures, frame, records

RESULTS = Path(__file__).parents[2] / "results/harmon-mini"


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


class One(Changes):
    """A lost sample that no run holds."""

    lost = 1

    def __init__(self, change: Change) -> None:
        super().__init__()
        self.change = change

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[Change]:
        return iter([self.change])

    def __getitem__(self, index: Any) -> Any:
        return [self.change][index]


def test_changed_samples_are_told_without_raw_boxes_and_broken_between_words() -> None:
    boxes = '{"square": [[8.0, 21.0, 27.0, 39.0, 0.9900000095367432]]}'
    before = {"correct": True, "details": boxes, "response": "a/0.png"}
    after = {"correct": False, "details": "{}", "response": "b/0.png"}
    change = Change("geneval", "0", "a photo of a square " * 5, False, before, after)
    lines = (Line("pope", "f1[pope-60]", True, NOT_COMPARABLE, "other data"),)
    said = io.StringIO()
    terminal = Console(
        file=said, width=60, force_terminal=True, no_color=True, legacy_windows=False
    )
    show(Comparison(lines, (), changed=One(change)), 5, terminal)
    text = re.sub(r"\x1b\[[0-9;]*m", "", said.getvalue())
    assert "correct: True -> False" in text and "0.99000" not in text and "details (--json" in text
    assert "pope *f1[pope-60]" in text and "\\" not in text
    assert all(len(row.rstrip()) <= 60 for row in text.splitlines())


def test_what_does_not_decide_is_counted_and_what_differs_of_it_named() -> None:
    details = [replace(line(f"tag{n}"), decides=False) for n in range(10)]
    worse = replace(line("colors"), decides=False, verdict=WORSE)
    both = Comparison((line("overall"), worse, *details), ())

    def said(all_metrics: bool) -> str:
        out = io.StringIO()
        show(both, 0, Console(file=out, width=140), all_metrics)
        return out.getvalue()

    short = said(False)
    assert "*overall" in short and "tag3" not in short
    assert "not shown, as they do not decide: 11 metrics (--all-metrics)" in short
    assert "worse: geneval colors" in short
    assert "tag3" in said(True) and "do not decide" not in said(True)


@pytest.mark.parametrize("width", [60, 80, 140])
def test_the_metrics_of_a_run_are_never_cut(tmp_path: Path, width: int) -> None:
    """GenEval's eight figures a metric do not fit 60 columns: they stand below its name."""
    stored = json.loads((RESULTS / "geneval/metrics.json").read_text())
    (tmp_path / "run/geneval").mkdir(parents=True)
    (tmp_path / "run/geneval/metrics.json").write_text(json.dumps(stored))
    out = io.StringIO()
    tables.show(tmp_path / "run", Console(file=out, width=width))
    shown = out.getvalue().partition("Intervals are")[0]
    assert all(len(row) <= width for row in shown.splitlines())
    for row in records(frame([stored])):
        texts = figures(row)
        for figure in ("value", "95 % interval", "other seeds", "n of N"):
            assert texts[figure] in shown, figure
    assert "1,108 of 1,108" in shown


@pytest.mark.parametrize("width", [60, 80, 140])
def test_rows_of_any_kind_are_a_table_where_their_words_fit(width: int) -> None:
    row = {"task": "geneval", "prompts needed": "105", "available": 277, "samples each": "4"}
    row |= {"effect for all": "0.0226", "planned from": "the spread of two runs", "metric": "all"}
    said = io.StringIO()
    print_rows([row], "for 80 % power", Console(file=said, width=width))
    shown = said.getvalue()
    assert all(len(line) <= width for line in shown.splitlines())
    assert ("┃" in shown) == (width > 60)
    assert {"available", "needed", "planned", "spread"} <= {*re.findall(r"\w+", shown)}
