"""Drawings of 16 bits and in float count as the same drawings in 8 bits."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harmon_eval.files.images import read_rgb
from harmon_eval.tasks.geneval.prompts import single


@pytest.mark.parametrize("kind", ["grey8", "grey16"])
def test_the_case(measure, shared_folder: Path, kind: str) -> None:
    case = shared_folder / "cases/sixteen-bit"
    found = measure(
        "--model", f"folder:{case / kind}", "--tasks", "geneval", "--data", case / "data"
    )
    assert found.code == 0 and found.n == (32, 32)
    assert found.score("overall") == pytest.approx(1 / 3)
    assert found.score("position") == 0.625 and found.score("color_attr") == 0.375


def written(folder: Path, grey: np.ndarray) -> dict[str, Path]:
    """One picture as people have it: (H, W) uint8 in 8 bits, 16 bits and float."""
    wide = grey.astype(np.uint16) * 257
    kinds = {
        "8.png": Image.fromarray(grey),
        "16.png": Image.fromarray(wide),
        "16.tiff": Image.fromarray(wide),
        "16-by-256.png": Image.fromarray(grey.astype(np.uint16) * 256),
        "32.tiff": Image.fromarray(wide.astype(np.int32)),
        "float-to-1.tiff": Image.fromarray(grey.astype(np.float32) / 255),
        "float-to-255.tiff": Image.fromarray(grey.astype(np.float32)),
    }
    for name, image in kinds.items():
        image.save(folder / name)
    return {name: folder / name for name in kinds}


def test_every_depth_is_the_same_picture(tmp_path: Path) -> None:
    grey = np.random.default_rng(0).integers(0, 256, (9, 7), dtype=np.uint8)
    expected = np.repeat(grey[:, :, None], 3, axis=2)
    for name, file in written(tmp_path, grey).items():
        for as_stored in (False, True):  # FID's reader too
            assert np.array_equal(read_rgb(file, as_stored), expected), name


def test_drawings_of_every_depth_are_stored_as_what_they_show(measure, tmp_path: Path) -> None:
    item = single("circle")
    (tmp_path / "data/geneval").mkdir(parents=True)
    (tmp_path / "data/geneval/evaluation_metadata.jsonl").write_text(json.dumps(item))
    grey = np.full((64, 64), 200, dtype=np.uint8)
    grey[20:40, 20:40] = 30
    for name, file in written(tmp_path, grey).items():
        drawn = tmp_path / name.replace(".", "-")
        drawn.mkdir()
        file.rename(drawn / name)
        (drawn / "prompts.json").write_text(json.dumps({name: item["prompt"]}))
        data = tmp_path / "data/geneval"
        found = measure("--model", f"folder:{drawn}", "--tasks", "geneval", "--data", data)
        assert found.result["n"] == 1, name
        stored = read_rgb(found.run / "geneval/images/00000/samples/0000.png")
        assert np.array_equal(stored[:, :, 0], grey), name
