"""What the tests of the tasks share: the mini suite's data made once, and replies marked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from harmon_eval.core import Answer, Data, Sample, Task
from harmon_eval.suites import Suite, load


@pytest.fixture(scope="session")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Suite:
    """The mini suite, its data made once for all of these tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARMON_EVAL_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield load("mini")


@pytest.fixture
def data_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Data]:
    """A task's data in a folder, with a cache of their own."""
    monkeypatch.setenv("HARMON_EVAL_CACHE", str(tmp_path / "cache"))
    return lambda folder=tmp_path, suite="mini": Data.at(folder, suite, images_per_prompt=1)


def rows_of(task: Task, samples: list[Sample], reply: Callable[[Sample], str]) -> pd.DataFrame:
    """The rows of all samples, as the runner would hand them to ``summarize``."""
    marks = task.mark([Answer(sample, reply(sample)) for sample in samples], {})
    return pd.DataFrame(
        {"id": s.id, "group": s.group, "stratum": s.stratum, "unscored": None, **mark}
        for s, mark in zip(samples, marks, strict=True)
    )


@pytest.fixture
def marked() -> Callable[..., pd.DataFrame]:
    return rows_of
