"""Columns of pictures by the names that people give them: sent, or named."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from harmon_eval.core import UserError
from harmon_eval.files.images import read_rgb
from harmon_eval.tasks.vqa.files import Question, read_questions


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARMON_EVAL_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize(
    ("name", "pictures"),
    [
        ("image_path.csv", 1),
        ("Image.jsonl", 1),
        ("images_list.jsonl", 2),
        ("bom_image_first.tsv", 1),
        ("images.parquet", 2),
    ],
)
def test_the_case(shared_folder: Path, name: str, pictures: int) -> None:
    (row,) = read_questions(shared_folder / "cases/vqa-image-column-not-read" / name)
    assert [read_rgb(file).shape[2] for file in row.images] == [3] * pictures


def png(color: str = "red") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), color).save(buffer, "PNG")
    return buffer.getvalue()


def asked(folder: Path, *rows: dict[str, Any], kind: str = "jsonl") -> list[Question]:
    for name in ("a", "b"):
        (folder / f"{name}.png").write_bytes(png("red" if name == "a" else "blue"))
    file = folder / f"mine.{kind}"
    full = [{"question": "q?", "answer": "red", **row} for row in rows]
    if kind == "parquet":
        pd.DataFrame(full).to_parquet(file)
    elif kind == "jsonl":
        file.write_text("\n".join(json.dumps(row) for row in full), encoding="utf-8-sig")
    else:
        pd.DataFrame(full).to_csv(file, index=False, sep="\t" if kind == "tsv" else ",")
    return list(read_questions(file))


def colors(question: Question) -> list[tuple[int, ...]]:
    return [tuple(read_rgb(file)[0, 0].tolist()) for file in question.images]


ENCODED = base64.b64encode(png()).decode()
RED, BLUE = (255, 0, 0), (0, 0, 255)


@pytest.mark.parametrize("kind", ["jsonl", "csv", "tsv", "parquet"])
@pytest.mark.parametrize(
    "name", ["image", "Image", "IMAGE", "images", "image_path", "imagePath", "img", "Image File"]
)
def test_names_of_the_column(tmp_path: Path, kind: str, name: str) -> None:
    (row,) = asked(tmp_path, {name: "a.png"}, kind=kind)
    assert colors(row) == [RED]


@pytest.mark.parametrize(
    "cell",
    [["a.png", "b.png"], '["a.png", "b.png"]', [ENCODED, "b.png"], str([ENCODED, "b.png"])],
)
def test_several_pictures(tmp_path: Path, cell: object) -> None:
    (row,) = asked(tmp_path, {"images": cell})
    assert colors(row) == [RED, BLUE]


def test_numbered_columns(tmp_path: Path) -> None:
    rows = {"image_2": "b.png", "image_1": "a.png"}, {"image_1": "b.png", "image_2": ""}
    assert [colors(row) for row in asked(tmp_path, *rows)] == [[RED, BLUE], [BLUE]]


@pytest.mark.parametrize("cell", [ENCODED, f"data:image/png;base64,{ENCODED}"])
@pytest.mark.parametrize("kind", ["jsonl", "csv", "tsv"])
def test_base64_in_a_cell(tmp_path: Path, cell: str, kind: str) -> None:
    assert colors(asked(tmp_path, {"image": cell}, kind=kind)[0]) == [RED]


def test_vlmevalkits_table(tmp_path: Path) -> None:
    """``image`` holds the picture or the index of the row that has it, ``image_path`` a name."""
    first = {"index": "0", "image": ENCODED, "image_path": "x/0.jpg", "category": "c"}
    second = {"index": "1", "image": "0", "image_path": "x/1.jpg", "category": "c"}
    rows = asked(tmp_path, first, second, kind="tsv")
    assert [colors(row) for row in rows] == [[RED], [RED]] and rows[0].group == rows[1].group


@pytest.mark.parametrize(
    "cell", [{"bytes": png(), "path": "z"}, {"bytes": None, "path": "a.png"}, png()]
)
def test_cells_of_parquet(tmp_path: Path, cell: object) -> None:
    for given in (cell, [cell]):
        assert colors(asked(tmp_path, {"image": given}, kind="parquet")[0]) == [RED]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"screenshot": "a.png"}, "the column 'screenshot' looks like pictures"),
        ({"visual": "a.png"}, "the column 'visual' looks like pictures"),
        ({"data": ENCODED}, "the column 'data' looks like pictures"),
        ({"image_url": "https://host/a.png"}, "the column 'image_url' looks like pictures"),
        ({"image": "a.png", "second": "b.png"}, "the column 'second' looks like pictures"),
        ({"image": "a.png", "Image": "b.png"}, "mean the same"),
        ({"image": "a.png", "image_1": "b.png"}, "keep one kind of column"),
        ({"image": "https://host/a.png"}, "row 1: .* is an address: save the picture"),
        ({"image": "n" * 300 + ".png"}, "row 1: image .*characters.*cannot be read"),
        ({"image": "/etc/a.png"}, "row 1: image '/etc/a.png' is missing: put it into"),
        ({"image": "sub/../../a.png"}, "name it from there"),
        ({"image": {"bytes": None, "path": None}}, "row 1: no image in it"),
        ({"image": "data:image/png;base64,%%"}, "row 1: the image is no base64"),
    ],
)
def test_what_is_not_read_is_named(tmp_path: Path, row: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        asked(tmp_path, row)
    assert len(str(caught.value)) < 500


def test_what_is_left_out_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    asked(tmp_path, {"image": "a.png", "difficulty": 3, "image_id": 12})
    assert "not read are the columns difficulty, image_id" in caplog.text
    caplog.clear()
    (tmp_path / "none").mkdir()
    asked(tmp_path / "none", {"image": ""}, {"image": None})
    assert "no row has a picture" in caplog.text
