"""Feature vectors in a run folder: mapped, checked, never lost, never in the log."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harmon_eval.core import Embed, Sample, UserError
from harmon_eval.store.task_folder import LOG, TaskFolder

VECTORS = {f"v{i}": np.random.default_rng(i).normal(size=300).astype(np.float32) for i in range(5)}


def read(folder: TaskFolder, name: str) -> np.ndarray | None:
    entry = folder.recorded()[name]
    answer = folder.answer(Sample(name, Embed(folder.path), {}, name), entry)
    return None if answer is None else answer.response


def base_of(array: np.ndarray) -> object:
    while isinstance(array.base, np.ndarray) and not isinstance(array, np.memmap):
        array = array.base
    return array


def test_a_vector_comes_back_as_a_view_of_its_file(tmp_path: Path) -> None:
    folder = TaskFolder(tmp_path)
    folder.record(VECTORS)
    for name, vector in VECTORS.items():
        found = read(folder, name)
        assert found is not None and np.array_equal(found, vector)
        assert isinstance(base_of(found), np.memmap)
    assert (tmp_path / LOG).stat().st_size < 200 * len(VECTORS)
    assert (tmp_path / "vectors.f32").stat().st_size == 4 * 300 * len(VECTORS)


def test_vectors_are_seen_by_who_read_the_file_before_and_those_of_an_older_run_too(
    tmp_path: Path,
) -> None:
    reader = TaskFolder(tmp_path)
    for name, vector in VECTORS.items():
        TaskFolder(tmp_path).record({name: vector})
        # Mapped before the file grew.
        assert np.array_equal(read(reader, name), vector)
    # A second process of an earlier version had a file of its own.
    (tmp_path / "vectors.f32").rename(tmp_path / "vectors.1.f32")
    entry = TaskFolder(tmp_path).recorded()["v0"]
    entry["at"][0] = 1
    found = TaskFolder(tmp_path).vectors.read(entry)
    assert found is not None and np.array_equal(found, VECTORS["v0"])


def test_a_torn_or_changed_vector_is_no_answer_and_the_next_ones_are(tmp_path: Path) -> None:
    folder = TaskFolder(tmp_path)
    folder.record({"a": VECTORS["v0"], "b": VECTORS["v1"]})
    file = tmp_path / "vectors.f32"
    data = bytearray(file.read_bytes())
    data[5] ^= 1
    file.write_bytes(data[:-3])
    folder = TaskFolder(tmp_path)
    assert read(folder, "a") is None and read(folder, "b") is None
    folder.record({"c": VECTORS["v2"]})
    assert np.array_equal(read(TaskFolder(tmp_path), "c"), VECTORS["v2"])


@pytest.mark.parametrize(
    "at", [[0, 0, 10**9], [0, -1, 300], [7, 0, 300], ["0", 0, 300], [0, 0], None, [0, 10**12, 1]]
)
def test_an_entry_that_leads_elsewhere_is_no_answer(tmp_path: Path, at: object) -> None:
    folder = TaskFolder(tmp_path)
    folder.record({"a": VECTORS["v0"]})
    entry = {**folder.recorded()["a"], "at": at}
    assert folder.answer(Sample("a", Embed(tmp_path), {}, "a"), entry) is None


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "vectors.f32").symlink_to(tmp_path / "other")
    with pytest.raises(UserError, match="is a link"):
        TaskFolder(tmp_path / "run").record(VECTORS)
    assert (tmp_path / "other").read_bytes() == b""
