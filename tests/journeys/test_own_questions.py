"""A file of one's own questions: run, show, report, compare, leaderboard."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Call = Callable[..., Any]
QUESTIONS = [
    {"question": "2 + 2?", "answer": "4"},
    {"question": "Which is red?", "options": ["a leaf", "a ruby"], "answer": "B"},
]
ANSWERING = """
from harmon_eval.core import Responder

class Answering(Responder):
    name, fingerprint = "answering", "1"
    def ask(self, requests):
        return ["4" if "2 + 2" in r.question else "B" for r in requests]

def open_model():
    return Answering()
"""


def test_the_scores_of_a_file_stand_wherever_scores_stand(call: Call, tmp_path: Path) -> None:
    (tmp_path / "in/my data").mkdir(parents=True)
    file = tmp_path / "in/my data/questions.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in QUESTIONS))
    (tmp_path / "answering.py").write_text(ANSWERING)
    name = f"vqa:{file}"
    own = ("--include", "answering.py", "--model", "answering", "--tasks", name)
    for output in ("a", "b"):
        done = call(*own, "--output", output)
        assert done.code == 0 and "accuracy" in done.out and "all metrics: " in done.out
        (stored,) = (tmp_path / output).glob("*/metrics.json")
        assert json.loads(stored.read_text())["metrics"]["accuracy"] == 100
    assert "accuracy_choice" in call("show", "a").out
    assert "accuracy_open" in call(*own, "--output", "a", "--all-metrics").out
    assert call("report", "a", "--against", "b").code == 0
    page = (tmp_path / "a/report.html").read_text()
    assert "accuracy_choice" in page and "is not finished" not in page
    assert "2 + 2?" in page and "a ruby" in page
    same = call("compare", "a", "b", "--json", "found.json")
    assert same.err == "" and same.code in (0, 2), "no refusal; two questions decide little"
    assert json.loads((tmp_path / "found.json").read_text())["metrics"]
    assert call("mark", "a", "--tasks", name).code == 0
    board = call("leaderboard", "a", "--output", "board.csv")
    assert board.code == 0 and "accuracy_open" in (tmp_path / "board.csv").read_text()
