"""Captions that repeat: the n-th picture of a text belongs to its n-th caption."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harmon_eval.adapters.folder import FolderResponder
from harmon_eval.core import Data
from harmon_eval.running.jobs import RunSettings, data_hash, prepare
from harmon_eval.tasks.coco_fid.task import TASK


def test_the_case(measure, shared_folder: Path, tmp_path: Path) -> None:
    make = shared_folder / "cases/coco-duplicate-captions/make.py"
    made = tmp_path / "made"
    subprocess.run([sys.executable, make, made], check=True)
    scores = []
    for name in ("unique/drawn", "twice/drawn", "twice/drawn_raw"):
        data = made / name.split("/")[0] / "data"
        run = name.replace("/", "-")
        given = ("--model", f"folder:{made / name}", "--tasks", "coco_fid", "--data", data)
        found = measure(*given, run=run)
        assert found.code == 0 and found.n == (120, 120)
        images = {file.read_bytes() for file in (found.run / "coco_fid/images").iterdir()}
        assert len(images) == 120
        scores.append(found.score("fid["))
    assert scores == [pytest.approx(0.25, abs=0.001)] * 3


class Suite:
    name = "mini"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def data(self, name: str, task: object) -> Data:
        return Data.at(self.folder)


def test_repeated_prompts_are_numbered_by_the_runner(tmp_path: Path) -> None:
    """Whatever the white space; so any task's drawings can be told apart, and each has its own."""
    (tmp_path / "val2014").mkdir()
    texts = ["a dog", "a  dog\n", "a cat", "a dog"]
    names = [f"COCO_val2014_{n:012d}.jpg" for n in range(4)]
    for name in names:
        Image.new("RGB", (8, 8)).save(tmp_path / "val2014" / name)
    images = [{"id": n, "file_name": name} for n, name in enumerate(names)]
    notes = [{"id": 10 + n, "image_id": n, "caption": text} for n, text in enumerate(texts)]
    content = json.dumps({"images": images, "annotations": notes})
    (tmp_path / "captions_val2014.json").write_text(content)
    job = prepare("coco_fid", TASK, Suite(tmp_path), RunSettings())
    indices = [(s.request.prompt, s.request.index) for s in job.everything]
    assert indices == [("a dog", 0), ("a dog", 1), ("a cat", 0), ("a dog", 2)]
    drawn = tmp_path / "drawn"
    drawn.mkdir()
    with (drawn / "prompts.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(("file", "prompt"))
        for number, text in enumerate(texts):
            shade = 10 * number
            Image.new("RGB", (8, 8), (shade, 0, 0)).save(drawn / f"{8 + number}.png")  # 8 ... 11
            table.writerow((f"{8 + number}.png", text))
    folder = FolderResponder(drawn)
    folder.expect("coco_fid", TASK, job.everything)
    found = folder.draw([sample.request for sample in job.everything])
    assert [int(np.asarray(image)[0, 0, 0]) for image in found] == [0, 10, 20, 30]
    assert data_hash(job.everything) == data_hash(list(job.everything))
