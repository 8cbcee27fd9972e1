"""What the tests of the tasks share: the mini suite's data made once, and replies marked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from harmon_eval.core import Answer, Data, Sample, Task
from harmon_eval.suites import Suite, load
from tests.vectors import read_vectors


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


# -- vectors of the editing benchmarks -----------------------------------------------------------

COMMITTED = Path(__file__).parents[1] / "fixtures" / "editing_vectors.json.gz"


def editing_vectors() -> dict[str, Any]:
    """What the original scripts did with invented inputs (tests/fixtures/README.md).

    ``EDITING_VECTORS`` names a file of the same form (JSON, also gzipped) to check other ones."""
    return read_vectors("EDITING_VECTORS", COMMITTED)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test with an argument named like a part of the vectors runs for each of its entries; it is
    skipped where the file does not hold that part."""
    parts = [name for name in metafunc.fixturenames if name.startswith(PARTS)]
    for name in parts:
        entries = editing_vectors().get(name)
        if entries is None:
            lacking = pytest.mark.skip(reason=f"these vectors hold no {name}")
            metafunc.parametrize(name, [pytest.param(None, marks=lacking)], ids=["none"])
            continue
        ids = [str(entry.get("id", number)) for number, entry in enumerate(entries)]
        metafunc.parametrize(name, entries, ids=ids)


PARTS = ("viescore_", "gedit_aggregate", "imgedit_", "kris_", "rise_", "omnicontext_", "pie_masks")


@pytest.fixture
def vectors() -> dict[str, Any]:
    """All parts of the vectors, for what is no list of entries."""
    return editing_vectors()
