"""GenEval marked again by other thresholds from what its detector found: no detector is loaded, and
the official result stays as it is, in a column of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from harmon_eval.suites.mini.suite import MiniSuite

from harmon_eval import cli
from harmon_eval.ranking.entries import measured
from harmon_eval.store.durable import read_json
from harmon_eval.tasks.geneval.marks import verdicts
from harmon_eval.tasks.geneval.rules import Protocol


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A marked run, whose instruments are out of reach from now on."""
    run = tmp_path / "run"
    command = ["--model", "scripted", "--tasks", "geneval", "--limit", "4", "--output", str(run)]
    assert cli.main(command) == 0

    def out_of_reach(self: MiniSuite, name: str) -> Any:
        raise AssertionError(f"{name} was loaded")

    monkeypatch.setattr(MiniSuite, "instrument", out_of_reach)
    return run


def test_other_thresholds_need_no_detector_and_never_mix_with_the_official_result(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    official = {p: p.read_bytes() for p in (run / "geneval").rglob("*") if p.is_file()}
    assert cli.main(["mark", str(run), "--geneval-threshold", "0.1"]) == 0
    name = "geneval@threshold=0.1,counting=0.9"
    assert name.split(",")[0] in capsys.readouterr().out
    assert official == {p: p.read_bytes() for p in (run / "geneval").rglob("*") if p.is_file()}
    beside = run / name.replace(",", "-")
    result = read_json(beside / "metrics.json")
    assert result["task"] == name and result["provenance"]["instruments"]["rules"] == {
        "threshold": 0.1,
        "counting_threshold": 0.9,
        "max_objects": 16,
        "max_overlap": 1.0,
        "position_threshold": 0.1,
    }
    rows = pd.read_parquet(run / "geneval/rows.parquet")
    expected = verdicts(rows, Protocol(threshold=0.1))
    again = pd.read_parquet(beside / "rows.parquet")
    pd.testing.assert_frame_equal(again, expected)
    assert (again["details"] != rows["details"]).any()
    board = measured([run])
    assert set(board["task"]) == {"geneval", name}
    assert board.groupby(["task", "metric"]).size().max() == 1
    # The same command resumes the official run as if nothing lay beside it.
    assert cli.main(["show", str(run)]) == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--geneval-threshold", "0.3"], "published thresholds"),
        (["--geneval-threshold", "0.01"], "below 0.05 are not stored"),
        (["--geneval-counting-threshold", "1.5"], "between 0 and 1"),
        (["--geneval-threshold", "0.5", "--detector", "hf"], "without --tasks and --detector"),
    ],
)
def test_thresholds_that_cannot_be_are_one_line(
    run: Path, capsys: pytest.CaptureFixture[str], options: list[str], words: str
) -> None:
    assert cli.main(["mark", str(run), *options]) == 2
    assert words in capsys.readouterr().err
    assert not list(run.glob("geneval@*"))


def test_a_run_without_sound_marks_of_geneval_says_so(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "geneval/rows.parquet").write_bytes(b"PAR1")
    assert cli.main(["mark", str(run), "--geneval-threshold", "0.5"]) == 2
    assert "no sound marks of geneval" in capsys.readouterr().err
