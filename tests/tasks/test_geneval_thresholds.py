"""GenEval marked again by other thresholds from what its detector found: no detector is loaded, and
the official result stays as it is, in a column of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from harmon_eval import cli, registry
from harmon_eval.core import Answer, Draw, Sample, Task, UserError
from harmon_eval.ranking.entries import measured
from harmon_eval.store.durable import read_json
from harmon_eval.store.run_folder import RunFolder
from harmon_eval.suites import Suite
from harmon_eval.tasks.geneval import prompts
from harmon_eval.tasks.geneval.marks import verdicts
from harmon_eval.tasks.geneval.rules import Protocol


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A marked run, whose instruments are out of reach from now on."""
    run = tmp_path / "run"
    command = ["--model", "scripted", "--tasks", "geneval", "--limit", "4", "--output", str(run)]
    assert cli.main(command) == 0

    def out_of_reach(self: Suite, role: str, task: Task) -> Any:
        raise AssertionError(f"{role} was loaded")

    monkeypatch.setattr(Suite, "instrument", out_of_reach)
    return run


def test_other_thresholds_need_no_detector_and_never_mix_with_the_official_result(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    official = {p: p.read_bytes() for p in (run / "geneval").rglob("*") if p.is_file()}
    assert cli.main(["mark", str(run), "--geneval-threshold", "0.1"]) == 0
    name = "geneval:threshold=0.1"
    assert name in capsys.readouterr().out
    assert official == {p: p.read_bytes() for p in (run / "geneval").rglob("*") if p.is_file()}
    beside = RunFolder(run).task(name).path
    result = read_json(beside / "metrics.json")
    assert result["task"] == name
    assert result["provenance"]["version"] == "1, threshold 0.1, counting 0.9"
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
        (["--geneval-threshold", "0.3"], "holds no responses of 'geneval:threshold=0.3'"),
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
    assert [path.name for path in run.glob("geneval*")] == ["geneval"]


def test_a_run_without_sound_marks_of_geneval_says_so(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "geneval/rows.parquet").write_bytes(b"PAR1")
    assert cli.main(["mark", str(run), "--geneval-threshold", "0.5"]) == 2
    assert "no sound marks of geneval" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["geneval", "geneval_fresh"])
def test_a_variant_says_its_thresholds_and_the_published_ones_are_no_variant(name: str) -> None:
    published = registry.task(name)
    assert registry.task(f"{name}:threshold=0.3+counting=0.9") is published
    both = registry.task(f"{name}:counting=0.95+threshold=0.4")
    assert both.version == f"{published.version}, threshold 0.4, counting 0.95"
    assert (published.from_marks, both.from_marks is None) == (None, False)
    assert both.sources is published.sources and both.metrics is published.metrics


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("threshold=1.5", "between 0 and 1"),
        ("threshold=nan", "between 0 and 1"),
        ("counting", "between 0 and 1"),
        ("threshold=0.01", "below 0.05 are not stored"),
        ("threshold=0.4+threshold=0.5", "given twice"),
        ("score=0.4", "unknown GenEval threshold 'score'"),
    ],
)
def test_what_is_no_threshold_is_refused(argument: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        registry.task(f"geneval:{argument}")


def test_images_are_marked_by_a_variant_as_its_stored_detections_are(tmp_path: Path) -> None:
    """A red circle with a score of 0.25, marked from the image and from the stored rows."""
    boxes = np.array([[0, 0, 2, 1, 0.25]], np.float32)
    masks = np.ones((1, 1, 2), dtype=bool)
    instruments = {
        "detector": lambda images: [{"circle": (boxes, masks)} for _ in images],
        "color": lambda image, found, masks, name: ["red"] * len(found),
    }
    Image.new("RGB", (2, 1)).save(tmp_path / "a.png")
    item = prompts.colors("circle", "red")
    answers = [Answer(Sample("a", Draw(item["prompt"]), item, "a", "colors"), tmp_path / "a.png")]
    published, variant = registry.task("geneval"), registry.task("geneval:threshold=0.2")
    rows = pd.DataFrame(published.mark(answers, instruments))
    again = pd.DataFrame(variant.mark(answers, instruments))
    assert (rows["correct"].item(), again["correct"].item()) == (False, True)
    assert variant.from_marks is not None
    pd.testing.assert_frame_equal(variant.from_marks(rows), again)
