"""What the tests of the question tasks share: data in a cache of its own, and replies marked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from harmon_eval.core import Answer, Sample, Suite, Task
from harmon_eval.suites import load


@pytest.fixture(scope="session")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Suite:
    """The mini suite, its data made once for all of these tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARMON_EVAL_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield load("mini")


class Folder:
    """A suite whose data lie in one folder."""

    images_per_prompt = 1

    def __init__(self, folder: Path, name: str = "mini") -> None:
        self.folder, self.name = folder, name

    def data(self, task: str) -> Path:
        return self.folder

    def instrument(self, name: str) -> None:
        raise AssertionError(name)


@pytest.fixture
def folder_suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Folder]:
    monkeypatch.setenv("HARMON_EVAL_CACHE", str(tmp_path / "cache"))
    return lambda folder=tmp_path, name="mini": Folder(folder, name)


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
