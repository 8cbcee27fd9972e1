"""The numbers of README are those of results/harmon-mini, today's run of the bundled model."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from harmon_eval import cli, registry
from harmon_eval.model.checkpoint import load
from harmon_eval.store.run_folder import RunFolder
from harmon_eval.store.tables import frame, markdown, results_by_task

ROOT = Path(__file__).resolve().parents[2]
RUN = RunFolder(ROOT / "results" / "harmon-mini")
README = (ROOT / "README.md").read_text(encoding="utf-8")
# What the table of understanding calls the tasks.
UNDERSTANDING = {
    "GQA": "gqa",
    "POPE": "pope",
    "MME": "mme",
    "own questions": "vqa",
    "MMMU": "mmmu",
    "SEED-Bench": "seed",
    "MMBench": "mmbench",
}


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return pd.read_csv(RUN.path / "table.csv")


def is_shown(text: str, value: float) -> bool:
    """Whether a number is ``value`` in as many figures as it has."""
    plain = text.replace(",", "")
    return round(value, len(plain.partition(".")[2])) == pytest.approx(float(plain), abs=1e-9)


def test_the_results_are_of_the_bundled_model_and_of_todays_tasks() -> None:
    assert RUN.model["fingerprint"] == load("harmon-mini").fingerprint
    versions = {name: task["version"] for name, task in RUN.manifest["tasks"].items()}
    shown = {"geneval", "mjhq", "held_out", *UNDERSTANDING.values()}
    assert {n: versions[n] for n in shown} == {n: registry.task(n).version for n in shown}


def test_what_a_run_printed(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    assert cli.main(["show", str(RUN.path)]) == 0
    printed = {tuple(line.split()) for line in capsys.readouterr().out.splitlines()}
    block = re.findall(r"```text\n(task .*?)```", README, re.DOTALL)[0].splitlines()
    assert len(block) == 3
    assert {tuple(line.split()) for line in block[1:]} <= printed


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_table_of_all_metrics() -> None:
    """README leaves out two columns."""
    head, _, *rows = markdown(frame([dict(r) for r in results_by_task(RUN).values()])).splitlines()
    own = [dict(zip(cells(head), cells(row), strict=True)) for row in rows]
    columns = cells(re.findall(r"^\| task \| metric \|.*$", README, re.MULTILINE)[0])
    found = {tuple(row[column] for column in columns) for row in own}
    lines = re.findall(r"^\| (?:geneval|mjhq) \| .*$", README, re.MULTILINE)
    assert len(lines) == 8 and {tuple(cells(line)) for line in lines} <= found


def test_the_scores_of_understanding(table: pd.DataFrame) -> None:
    heads = table[table["headline"]].set_index("task")
    for name, task in UNDERSTANDING.items():
        (line,) = re.findall(rf"^\| {name}[,|] .*$", README, re.MULTILINE)
        _, _, score, interval, floor, _, _ = map(str.strip, line.split("|"))
        row = heads.loc[task]
        low, high = interval.strip("[]").split(", ")
        assert is_shown(score, row["value"]), name
        assert is_shown(low, row["low"]) and is_shown(high, row["high"]), name
        assert is_shown(floor, row["floor"]), name


def test_combinations_that_training_left_out(table: pd.DataFrame) -> None:
    own = table[table["task"] == "held_out"].set_index("metric")["value"]
    told = re.findall(
        r"draws \(([\d.]+)\) and names \(([\d.]+)\).*?\(([\d.]+) and\s+([\d.]+)\)",
        README,
        re.DOTALL,
    )
    names = ("unseen_drawn", "unseen_named", "seen_drawn", "seen_named")
    assert all(is_shown(text, own[name]) for text, name in zip(told[0], names, strict=True))


def test_published_numbers_are_those_of_the_leaderboard() -> None:
    board = (ROOT / "results" / "LEADERBOARD.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \*((?:Harmon|Janus)[^*]*)\* \| (.*) \|$", README, re.MULTILINE)
    assert len(rows) == 5
    for model, cells in rows:
        lines = [line for line in board.splitlines() if line.startswith(f"| *{model}*")]
        for cell in filter(None, map(str.strip, cells.split("|"))):
            assert any(cell in line for line in lines), (model, cell)
