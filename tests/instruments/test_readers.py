"""Readers of rendered text: RapidOCR's own weights, models that are asked, the mini pages."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import socket
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from harmon_eval import instruments, registry
from harmon_eval.core import InstrumentMissing, Responder, Unscorable, UserError
from harmon_eval.instruments.judging import Judge
from harmon_eval.instruments.reader import _any, rapidocr
from harmon_eval.settings import declared
from harmon_eval.suites.mini.pages import (
    CHINESE,
    COLUMNS,
    LETTERS,
    ROWS,
    SIZE,
    font,
    page,
    read_page,
)


def nowhere(weights: Any) -> Path:
    raise InstrumentMissing("no weights are needed")


def saved(folder: Path, *images: np.ndarray) -> list[Path]:
    files = [folder / f"{number}.png" for number in range(len(images))]
    for file, image in zip(files, images, strict=True):
        Image.fromarray(image).save(file)
    return files


def test_rapidocr_reads_what_pillow_wrote_without_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise AssertionError("no reader opens a connection")

    monkeypatch.setattr(socket, "socket", refused)
    reader = registry.instrument("reader", "rapidocr", nowhere)
    lines = ["Open all day", "café Noël 42"]
    written = Image.new("RGB", (256, 256), "white")
    blank = np.full((64, 64, 3), 128, np.uint8)
    ImageDraw.Draw(written).multiline_text((8, 8), "\n".join(lines), "black", font())
    (tmp_path / "x.png").write_bytes(b"no picture")
    files = [*saved(tmp_path, np.asarray(written), blank), tmp_path / "x.png"]
    first, second, third = reader.read(files)
    assert (first, second) == ("\n".join(lines), "")
    assert isinstance(third, Unscorable)
    assert reader.name == "rapidocr-PP-OCRv6-small" and "onnxruntime" in reader.identity


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rapidocr", None)
    with pytest.raises(InstrumentMissing, match=r"pip install 'harmon-eval\[ocr\]'"):
        rapidocr.open_instrument()


def test_a_reader_that_cannot_read_is_refused() -> None:
    class Blind:
        name = "blind"

        def text(self, image: np.ndarray) -> str:
            return ""

    with pytest.raises(UserError, match="self-test"):
        rapidocr.self_test(Blind())  # type: ignore[arg-type]


class Says(Responder):
    name, fingerprint = "says", "1"

    def __init__(self, *replies: Any) -> None:
        self.replies = list(replies)

    def ask(self, requests: Any) -> Any:
        return [self.replies.pop(0) for _ in requests]


def test_a_model_is_asked_for_the_text_and_says_where_there_is_none(tmp_path: Path) -> None:
    files = saved(tmp_path, *(np.full((8, 8, 3), value, np.uint8) for value in range(3)))
    model = Says(" Open\nall day ", "No text recognized", OSError("gone"))
    reader = _any.ModelReader(Judge(model)).bound_to(tmp_path)
    found = reader.read(files)
    assert found[:2] == ["Open\nall day", ""] and isinstance(found[2], Unscorable)
    assert reader.read(files[:2]) == found[:2], "kept, not asked again"
    assert reader.name == "says"


@pytest.mark.parametrize("name", ["openai:any@http://127.0.0.1:9/v1", "harmon-mini"])
def test_a_model_is_named_as_a_reader_as_it_is_as_a_judge(name: str) -> None:
    assert isinstance(registry.instrument("reader", name, nowhere), _any.ModelReader)


def test_the_settings_of_every_instrument_are_found() -> None:
    """Also where an annotation names them through their module."""
    modules = pkgutil.walk_packages(instruments.__path__, "harmon_eval.instruments.")
    openers = [
        opener
        for module in modules
        if (opener := getattr(importlib.import_module(module.name), "open_instrument", None))
    ]
    takers = [o for o in openers if "settings" in inspect.signature(o).parameters]
    assert len(takers) > 3 and all(declared(opener) for opener in takers)


def test_a_page_is_read_as_it_was_written() -> None:
    lines = ["Open all day", LETTERS[:COLUMNS], "".join(CHINESE)]
    assert read_page(page(lines)) == "\n".join(lines)
    assert page(lines).shape == (SIZE[1], SIZE[0], 3)
    assert read_page(page(["one two " * 4])) == "one two one two one two\none two"
    with pytest.raises(ValueError, match=f"a page holds {ROWS}"):
        page(["x"] * (ROWS + 1))


@pytest.mark.parametrize("value", [0, 128, 255])
def test_an_empty_image_and_noise_hold_no_text(value: int) -> None:
    assert read_page(np.full((64, 64, 3), value, np.uint8)) == ""
    noise = np.random.default_rng(value).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert read_page(noise) == ""
