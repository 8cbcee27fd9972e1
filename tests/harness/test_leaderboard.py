"""Several runs in one table: what does not mean the same never shares a column."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harmon_eval.tables import cell

Call = Callable[..., Any]


def lines(text: str) -> list[list[str]]:
    return [
        [part.strip() for part in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("| ")
    ]


def test_full_runs_are_ranked_and_a_partial_run_is_blank_with_n_of_total(
    call: Call, tmp_path: Path
) -> None:
    call("--model", "scripted", "--tasks", "toy_draw", "--output", "noise")
    call("--model", "toy_flaky", "--tasks", "toy_draw,toy_ask", "--output", "flaky")
    call("--model", "toy_talker", "--tasks", "toy_ask", "--output", "talker")
    call("--model", "scripted", "--tasks", "toy_ask", "--limit", 3, "--output", "few")
    shown = call("leaderboard", "noise", "flaky", "talker", "few")
    head, *rows = lines(shown.out)
    assert head[:3] == ["model", "toy_ask accuracy ↑ (mini, v1)", "toy_draw accuracy ↑ (mini, v1)"]
    assert [row[0] for row in rows] == ["toy_talker", "scripted", "scripted", "toy_flaky"]
    assert rows[0][1].startswith("**0.900** [") and rows[0][1].endswith("(10 of 10)")
    assert rows[3][1] == "(9 of 10, 1 unscored)", "a gap is not averaged away"
    assert {row[1] for row in rows[1:3]} == {"", "(3 of 10)"}
    written = call("leaderboard", "noise", "flaky", "talker", "few", "--output", "b/LEADERBOARD.md")
    assert written.code == 0
    assert (tmp_path / "b/LEADERBOARD.md").read_text() == shown.out


def test_other_versions_and_other_data_get_columns_of_their_own(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    import toy_benchmark

    original = toy_benchmark.QUESTIONS
    ask = ("--model", "toy_talker", "--tasks", "toy_ask")
    call(*ask, "--output", "one")
    monkeypatch.setattr(toy_benchmark, "QUESTIONS", replace(original, version="2"))
    call(*ask, "--output", "two")
    fewer = replace(original, samples=lambda suite: list(toy_benchmark.questions(suite))[:5])
    monkeypatch.setattr(toy_benchmark, "QUESTIONS", fewer)
    call(*ask, "--output", "three")
    head, *rows = lines(call("leaderboard", "one", "two", "three").out)
    assert sorted(head[1:4]) == [
        "toy_ask accuracy ↑ (mini, v1, #1)",
        "toy_ask accuracy ↑ (mini, v1, #2)",
        "toy_ask accuracy ↑ (mini, v2)",
    ]
    assert all(sum(bool(entry) for entry in row[1:4]) == 1 for row in rows)


def test_a_run_without_results_is_refused_by_name(call: Call) -> None:
    call("--model", "scripted", "--tasks", "toy_unmarkable", "--output", "run")
    refused = call("leaderboard", "run")
    assert refused.code == 2 and "run has no results yet" in refused.err


def test_a_run_can_be_shown_from_its_manifest_and_metrics_alone(call: Call, tmp_path: Path) -> None:
    call("--model", "scripted", "--tasks", "toy_draw", "--output", "run")
    for name in ("manifest.json", "toy_draw/metrics.json"):
        target = tmp_path / "tracked" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text((tmp_path / "run" / name).read_text())
    assert lines(call("leaderboard", "tracked").out) == lines(call("leaderboard", "run").out)
    assert "72 of 72" in call("show", "tracked").out


def test_provenance_is_complete(call: Call, tmp_path: Path) -> None:
    call("--model", "scripted", "--tasks", "toy_draw", "--output", "run")
    manifest = json.loads((tmp_path / "run/manifest.json").read_text())
    assert manifest["identity"]["model"].keys() == {"name", "fingerprint", "settings"}
    assert {"python", "platform", "packages", "commit"} <= manifest["environment"].keys()
    assert {"torch", "numpy", "pandas", "scipy", "pillow"} <= manifest["environment"][
        "packages"
    ].keys()
    assert manifest["started"] <= manifest["finished"]
    provenance = json.loads((tmp_path / "run/toy_draw/metrics.json").read_text())["provenance"]
    assert {
        "model",
        "suite",
        "seed",
        "limit",
        "data",
        "version",
        "instruments",
    } == provenance.keys()


def test_cells_cannot_break_the_table() -> None:
    assert cell("a|b\n<script>\x1b[31m") == "a\\|b &lt;script&gt; [31m"
