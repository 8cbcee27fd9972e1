"""A picture in memory is a file as soon as somebody asks for one."""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harmon_eval.files.images import decode_image, open_image, pixels_of, read_rgb, size_of
from harmon_eval.files.in_memory import InMemory
from harmon_eval.serving import pictures


@pytest.fixture
def data() -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    made = io.BytesIO()
    Image.fromarray(pixels).save(made, "PNG")
    return made.getvalue()


@pytest.fixture
def held(tmp_path: Path, data: bytes) -> InMemory:
    return InMemory.of(tmp_path / "a.png", data, decode_image(data, "it"))


def test_it_is_read_without_a_file(held: InMemory, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "b.png").write_bytes(data)
    assert np.array_equal(read_rgb(held), read_rgb(tmp_path / "b.png"))
    assert (pixels_of(held), size_of(held)) == (35, (7, 5))
    assert open_image(held).format == "PNG"
    assert {held: 1}[held] == 1
    assert [file.name for file in tmp_path.iterdir()] == ["b.png"]


def test_what_one_reader_does_to_it_another_does_not_see(held: InMemory) -> None:
    before = read_rgb(held).copy()
    open_image(held).paste("black", (0, 0, 7, 5))
    assert np.array_equal(read_rgb(held), before)


def test_who_opens_it_finds_a_file(held: InMemory, data: bytes) -> None:
    assert held.read_bytes() == data
    assert held.with_suffix(".jpg").name == "a.jpg"
    assert not held.with_suffix(".jpg").exists()


def test_another_process_finds_a_file(held: InMemory, data: bytes) -> None:
    there = pickle.loads(pickle.dumps(held))
    assert not isinstance(there, InMemory)
    assert there.read_bytes() == data


def test_what_does_not_fit_into_memory_waits_as_a_file(
    tmp_path: Path, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "MEMORY", 4 * 35 + len(data))
    album = pictures.Album(tmp_path)
    first, second = album.picture(data), album.picture(data)
    assert isinstance(first.file, InMemory)
    assert [file.name for file in tmp_path.iterdir()] == [second.file.name]
    del first, second
    assert isinstance(album.picture(data).file, InMemory)
    assert not list(tmp_path.iterdir())
