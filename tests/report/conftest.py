"""Runs to report on: a small quiz of another package with hostile texts, and GenEval's prompts."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harmon_eval import cli

ENTRY_POINTS = """[harmon_eval.tasks]
quiz = quiz_benchmark:QUIZ
sketch = quiz_benchmark:SKETCH

[harmon_eval.models]
quiz_model = quiz_benchmark:open_model
"""


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The quiz as an installed package, and its runs. Only tests of the report see it."""
    site = tmp_path_factory.mktemp("site")
    shutil.copy(Path(__file__).with_name("quiz_benchmark.py"), site)
    info = site / "quiz_benchmark-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: quiz-benchmark\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(site)
        for name in ("first", "second"):
            code = cli.main(
                [
                    "--model",
                    f"quiz_model:{name}",
                    "--tasks",
                    "quiz,sketch",
                    "--output",
                    str(folder / name),
                ]
            )
            assert code == 1  # one sample is unscored
    return site, folder


@pytest.fixture(scope="module")
def runs(made: tuple[Path, Path]) -> Iterator[Path]:
    """A folder with the runs ``first`` and ``second`` of two models on two tasks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(made[0])
        yield made[1]


@pytest.fixture
def report(runs: Path, tmp_path: Path) -> Callable[..., str]:
    """The command; returns the page it wrote."""

    def report(*arguments: Any) -> str:
        output = tmp_path / "report.html"
        options = [*map(str, arguments), "--output", str(output)]
        assert cli.main(["report", str(runs / "first"), *options]) == 0
        return output.read_text(encoding="utf-8")

    return report
