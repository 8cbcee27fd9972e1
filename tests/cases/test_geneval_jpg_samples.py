"""GenEval folders whose samples are .jpg, or have upper-case suffixes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from harmon_eval.core import UserError
from harmon_eval.tasks.geneval.layout import read_images


def test_the_case(measure, shared_folder: Path, tmp_path: Path) -> None:
    cases = shared_folder / "cases"
    make = cases / "geneval-jpg-samples/make.py"
    subprocess.run([sys.executable, make, tmp_path / "made"], check=True)
    for kind in ("mixed", "all_upper"):
        data = cases / "geneval-rewritten-prompts/data"
        folder = tmp_path / "made" / kind
        found = measure(
            "--model", f"folder:{folder}", "--tasks", "geneval", "--data", data, run=kind
        )
        assert found.code == 0 and found.n == (96, 96) and found.score("overall") == 1.0


METADATA = '{"tag": "single_object", "include": [{"class": "dog", "count": 1}], "prompt": "a dog"}'


@pytest.mark.parametrize("suffix", ["png", "PNG", "jpg", "JPEG", "webp", "bmp", "tif"])
def test_samples_of_any_format_are_numbered_in_order(tmp_path: Path, suffix: str) -> None:
    samples = tmp_path / "00003/samples"
    samples.mkdir(parents=True)
    (tmp_path / "00003/metadata.jsonl").write_text(METADATA)
    for number in (1, 2):
        Image.new("RGB", (4, 4)).save(samples / f"{number:04d}.{suffix}")
    (samples / f"._0001.{suffix}").write_bytes(b"of macOS")
    Image.new("RGB", (4, 4)).save(tmp_path / "00003/grid.png")
    found = read_images(tmp_path)
    assert found is not None
    assert [drawn.file.name for drawn in found] == [f"0001.{suffix}", f"0002.{suffix}"]
    assert [drawn.sample for drawn in found] == ["00003/samples/0000", "00003/samples/0001"]
    assert {drawn.prompt for drawn in found} == {"a dog"}


def test_a_sample_in_two_formats_is_refused(tmp_path: Path) -> None:
    samples = tmp_path / "00000/samples"
    samples.mkdir(parents=True)
    (tmp_path / "00000/metadata.jsonl").write_text(METADATA)
    for suffix in ("png", "jpg"):
        Image.new("RGB", (4, 4)).save(samples / f"0000.{suffix}")
    with pytest.raises(UserError, match=r"0000.png are one picture twice"):
        read_images(tmp_path)
