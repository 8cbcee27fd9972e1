"""Runs beside published results: what does not mean the same never shares a column."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from harmon_eval.store.tables import cell

Call = Callable[..., Any]
Made = Callable[..., Path]
ROOT = Path(__file__).parents[2]


def lines(text: str) -> list[list[str]]:
    """Cells of the first table."""
    table = text.split("\n\n| ", 1)[1].split("\n\n")[0]
    rows = ["| " + table.splitlines()[0], *table.splitlines()[2:]]
    return [[part.strip() for part in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows]


@pytest.fixture
def written(call: Call, tmp_path: Path) -> Callable[..., str]:
    def written(*arguments: object, suffix: str = "md") -> str:
        done = call("leaderboard", *arguments, "--output", f"b/board.{suffix}")
        assert (done.code, done.err) == (0, "")
        return (tmp_path / "b" / f"board.{suffix}").read_text()

    return written


def test_full_runs_are_ranked_and_a_partial_run_is_blank_with_n_of_total(
    call: Call, written: Callable[..., str]
) -> None:
    call("--model", "scripted", "--tasks", "toy_ask", "--output", "noise")
    call("--model", "toy_flaky", "--tasks", "toy_ask", "--output", "flaky")
    call("--model", "scripted", "--tasks", "toy_ask", "--limit", 3, "--output", "few")
    head, *rows = lines(written("noise", "flaky", "few"))
    assert head == ["model", "toy_ask accuracy ↑ (mini, v1)"]
    assert [row[0] for row in rows] == ["scripted (noise)", "scripted (few)", "toy\\_flaky"]
    assert rows[0][1].startswith("0.900 ["), "alone in its column, it beats nothing"
    assert rows[2][1] == "(9 of 10, 1 unscored)", "a gap is not averaged away"
    assert rows[1][1] == "(3 of 10)"


def test_bold_is_what_the_best_does_not_beat_in_every_format(
    made_run: Made, written: Callable[..., str], call: Call
) -> None:
    for name, right in (("one", 54), ("two", 48), ("three", 12)):
        made_run(name, [[1]] * right + [[0]] * (60 - right), model=name)
    text = written("three", "two", "one")
    values = {row[0]: row[1] for row in lines(text)[1:]}
    assert list(values) == ["one", "two", "three"]
    assert values["one"].startswith("**0.900") and values["one"].endswith("rank 1–2**")
    assert values["two"].startswith("**0.800") and values["two"].endswith("rank 1–2**")
    assert values["three"].startswith("0.200") and values["three"].endswith("rank 3")
    tex = written("one", "two", "three", suffix="tex")
    assert r"\textbf{0.900" in tex and r"\textbf{0.200" not in tex and r"\toprule" in tex
    page = written("one", "two", "three", suffix="html")
    assert "<b>0.900" in page and "<b>0.200" not in page and "http" not in page
    assert lines(written("one", "two", "three", "--sort", "model"))[1][0] == "one"
    shown = call("leaderboard", "one", "two")
    assert shown.code == 0 and "0.900" in shown.out


def test_the_terminal_has_headlines_unless_all_metrics_are_asked_for(
    made_run: Made, call: Call
) -> None:
    for name in ("one", "two"):
        made_run(name, [[1], [0]] * 20, strata=2, model=name)
    brief = call("leaderboard", "one", "two").out
    assert "toy_ask accuracy" in brief and "s0" not in brief and "--all-metrics" in brief
    whole = call("leaderboard", "one", "two", "--all-metrics").out
    assert "s0" in whole and "--all-metrics" not in whole


def test_other_versions_data_and_suites_get_columns_of_their_own(
    call: Call, monkeypatch: pytest.MonkeyPatch, made_run: Made, written: Callable[..., str]
) -> None:
    import toy_benchmark

    original = toy_benchmark.QUESTIONS
    ask = ("--model", "toy_talker", "--tasks", "toy_ask")
    call(*ask, "--output", "one")
    monkeypatch.setattr(
        toy_benchmark, "QUESTIONS", replace(original, about=replace(original.about, version="2"))
    )
    call(*ask, "--output", "two")
    fewer = replace(original, samples=lambda suite: list(toy_benchmark.questions(suite))[:5])
    monkeypatch.setattr(toy_benchmark, "QUESTIONS", fewer)
    call(*ask, "--output", "three")
    made_run("four", [[1]] * 9, suite="official", model="other")
    head, *rows = lines(written("one", "two", "three", "four"))
    assert sorted(head[1:]) == [
        "toy_ask accuracy ↑ (mini, v1, #1)",
        "toy_ask accuracy ↑ (mini, v1, #2)",
        "toy_ask accuracy ↑ (mini, v2)",
        "toy_ask accuracy ↑ (official, v1)",
    ]
    assert all(sum(bool(entry) for entry in row[1:]) == 1 for row in rows)


def test_quoted_numbers_are_distinct_have_sources_and_keep_disagreements(
    made_run: Made, written: Callable[..., str]
) -> None:
    made_run("run", [[1], [0]] * 5)
    text = written("run", "--baselines", "janus,harmon-1.5b", "--tasks", "toy_ask,coco30k,geneval")
    head, *rows = lines(text)
    place = head.index("geneval overall ↑ (published, 553)")
    values = {row[0]: row for row in rows}
    assert re.search(r"0\.729–0\.76\*+(</u>)? \[\d+, \d+\]", values["*Harmon-1.5B*"][place])
    assert "0.729: https://arxiv.org/abs/2509.07295 (third" in text or (
        "0.729: arXiv:2509.07295 (third" in text
    )
    fids = [column for column in head if column.startswith("coco30k fid ↓")]
    janus = [values["*Janus-1.3B*"][head.index(column)] for column in fids]
    assert [re.sub(r"[^\d.]*([\d.]+).*", r"\1", cell) for cell in janus if cell] == ["8.53", "16"]
    assert values["model"][place] == "" and "## geneval (published, 553)" in text


def test_baselines_are_chosen_by_name_or_family(call: Call, written: Callable[..., str]) -> None:
    names = {row[0] for row in lines(written("--baselines", "janus,show-o", "--tasks", "dpg"))[1:]}
    assert names == {"*Janus-1.3B*", "*Show-o-256*", "*Show-o-512*"} | (
        names & {"*Show-o-256-RecA*", "*Show-o-512-RecA*"}
    )
    public = written("--baselines", "all", "--public-weights", "--tasks", "dpg")
    assert "DALL-E" not in public and "Janus-Pro-7B" in public
    assert call("leaderboard", "--baselines", "no such model").code == 2
    assert (
        "no numbers of task 'x'" in call("leaderboard", "--baselines", "janus", "--tasks", "x").err
    )
    assert "no column" in call("leaderboard", "--baselines", "janus", "--sort", "x").err
    assert "must end in" in call("leaderboard", "--baselines", "janus", "--output", "a.pdf").err


def test_a_table_of_numbers_for_pandas(made_run: Made, tmp_path: Path, call: Call) -> None:
    made_run("run", [[1], [0]] * 5)
    for suffix, read in (("csv", pd.read_csv), ("parquet", pd.read_parquet)):
        assert call("leaderboard", "run", "--baselines", "all", "--output", f"x.{suffix}").code == 0
        frame = read(tmp_path / f"x.{suffix}")
        own = frame[frame["kind"] == "measured"].iloc[0]
        assert (own["value"], own["n"], own["protocol"]) == (0.5, 10, "mini, v1")
        assert (frame["kind"] == "quoted").sum() > 1000


def test_hostile_names_break_no_format(made_run: Made, written: Callable[..., str]) -> None:
    name = "a,b|c<script>alert(1)</script>\\_%$&#{}~^[red]"
    made_run("run", [[1], [0]] * 5, model=name)
    text = written("run")
    assert "<script>" not in text and len({len(row) for row in lines(text)}) == 1
    assert "<script>" not in written("run", suffix="html")
    tex = written("run", suffix="tex")
    assert r"a,b\textbar{}c\textless{}script" in tex and r"\textbackslash{}\_\%\$\&\#\{\}" in tex


def test_a_name_that_a_spreadsheet_would_run_is_text(
    made_run: Made, written: Callable[..., str]
) -> None:
    made_run("run", [[1]] * 5, model="=HYPERLINK(1)")
    assert "\n'=HYPERLINK(1),measured," in written("run", suffix="csv")


def test_one_sample_and_the_same_model_with_other_seeds_and_numbers(
    made_run: Made, written: Callable[..., str]
) -> None:
    made_run("one", [[1]])
    made_run("seed", [[1], [0]] * 5, seed=7)
    made_run("few", [[1]] * 3, total=10)
    rows = {row[0]: row[1] for row in lines(written("one", "seed", "few"))[1:]}
    assert rows == {
        "model (one)": "**1.000 [0.050, 1.000] rank 1–2**",
        "model (few)": "(3 of 10)",
        "model (seed)": rows["model (seed)"],
    }
    assert rows["model (seed)"].startswith("**0.500 ["), "one sample is no evidence"


def test_a_hundred_runs_nothing_scored_and_numbers_that_are_none(
    made_run: Made, written: Callable[..., str]
) -> None:
    run = made_run("r0", [[1]] * 4)
    made_run("none", [["failed"]] * 4, model="none")
    made_run("nan", [[float("nan")]] * 4, model="nan")
    for number in range(1, 100):
        copy = run.with_name(f"r{number}")
        (copy / "toy_ask").mkdir(parents=True)
        for file in ("manifest.json", "toy_ask/metrics.json"):
            (copy / file).write_text((run / file).read_text())
    rows = lines(written(*(f"r{number}" for number in range(100)), "none", "nan"))[1:]
    assert len(rows) == 102
    values = {row[0]: row[1] for row in rows}
    assert values["none"] == "(0 of 4, 4 unscored)" and values["nan"] == "(4 of 4)"
    assert [row[0] for row in rows[-2:]] == ["nan", "none"], "no value ranks below every value"


def test_a_run_without_results_is_refused_by_name(call: Call) -> None:
    call("--model", "scripted", "--tasks", "toy_draw", "--output", "run", "--predict-only")
    refused = call("leaderboard", "run")
    assert refused.code == 2 and "run has no results yet" in refused.err


def test_the_leaderboard_in_results_is_up_to_date(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = (ROOT / "results/LEADERBOARD.md").read_text()
    found = re.search(r"Made by `python -m harmon_eval (.*)`", kept)
    assert found
    words = found[1].split()
    (tmp_path / "results").mkdir()
    for run in (ROOT / "results").iterdir():
        (tmp_path / "results" / run.name).symlink_to(run)
    (tmp_path / "results/LEADERBOARD.md").unlink()
    assert call(*words).code == 0
    made = (tmp_path / "results/LEADERBOARD.md").read_text()
    assert made == kept, f"python -m harmon_eval {found[1]}"
    runs = {run.parent.name for run in (ROOT / "results").glob("*/manifest.json")}
    assert runs <= {word.removeprefix("results/") for word in words}, "every tracked run is in it"


def test_a_run_can_be_shown_from_its_manifest_and_metrics_alone(
    call: Call, tmp_path: Path, written: Callable[..., str]
) -> None:
    call("--model", "scripted", "--tasks", "toy_draw", "--output", "run")
    for name in ("manifest.json", "toy_draw/metrics.json"):
        target = tmp_path / "tracked" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text((tmp_path / "run" / name).read_text())
    assert lines(written("tracked")) == lines(written("run"))
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
    assert cell("a\\|b") == "a\\\\\\|b", "the pipe stays escaped behind the name's own backslash"
    assert cell("![seen](https://example.org/x.png)") == "![seen]\\(https://example.org/x.png)"
