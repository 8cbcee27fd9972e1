"""The linear probe on folders of images and in whole runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from harmon_eval import registry
from harmon_eval.core import Responder, UserError
from harmon_eval.instruments.probing import table as probe_table
from harmon_eval.instruments.probing.table import Head, standardised
from harmon_eval.running.jobs import RunSettings, prepare
from harmon_eval.running.progress import Progress
from harmon_eval.running.results import headline
from harmon_eval.running.runner import run_job
from harmon_eval.store.run_folder import RunFolder
from harmon_eval.suites.mini.scenes import SHAPES
from harmon_eval.tasks.linear_probe.folder import Labelled

TASK = registry.task("linear_probe")


def write(place: Any) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4)).save(place)


def test_a_folder_in_imagenets_layout_is_one_set(tmp_path: Path, data_at: Any) -> None:
    for name in ("train/n01/a.JPEG", "train/n02/b.JPEG", "val/n01/c.JPEG"):
        write(tmp_path / name)
    (tmp_path / "train/n01/notes.txt").write_text("no image")
    found = list(TASK.samples(data_at()))
    assert [s.id for s in found] == ["train/n01/a.JPEG", "train/n02/b.JPEG", "val/n01/c.JPEG"]
    assert found[2].target == {"source": "", "split": "val", "label": "n01"}
    assert [Labelled.of(s.id).place for s in found] == [s.id for s in found]


def test_random_crops_are_asked_for_beside_each_training_image(
    tmp_path: Path, data_at: Any
) -> None:
    for name in ("train/n01/a.png", "train/n02/b.png", "val/n01/c.png"):
        write(tmp_path / name)
    task = registry.task("linear_probe:?views=2")
    found = list(task.samples(data_at()))
    assert [(s.id, s.request.view) for s in found[:3]] == [
        ("train/n01/a.png", 0),
        ("train+1/n01/a.png", 1),
        ("train+2/n01/a.png", 2),
    ]
    assert len(found) == 7 and found[6].id == "val/n01/c.png"
    assert {s.group for s in found[:3]} == {"train/n01/a.png"}
    elsewhere = registry.task(f"linear_probe:{tmp_path}")
    assert len(list(elsewhere.samples(data_at(tmp_path / "nothing")))) == 3


@pytest.mark.parametrize("argument", ["?views=0", "?views=x", "?layer=1", "?views=91"])
def test_other_variants_are_refused(argument: str) -> None:
    with pytest.raises(UserError, match="views=K"):
        registry.task(f"linear_probe:{argument}")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ((), "has no train/"),
        (("train/a/1.png", "val/a/1.png"), "fewer than two"),
        (("train/a/1.png", "train/b/1.png"), "val is missing"),
        (("train/a/1.png", "train/b/1.png", "val/c/1.png"), "class 'c'"),
    ],
)
def test_what_is_wrong_with_a_folder_is_said(
    tmp_path: Path, data_at: Any, files: tuple[Any, ...], message: str
) -> None:
    for name in files:
        write(tmp_path / name)
    with pytest.raises(UserError, match=message):
        list(TASK.samples(data_at()))


CLASSES = [*"0123456789", *SHAPES]


class Embedder(Responder):
    """Knows the class of every image (``sees``), or nothing."""

    name = fingerprint = "embedder"

    def __init__(self, sees: bool) -> None:
        self.sees = sees

    def embed(self, requests: Any) -> Any:
        names = [r.image.parent.name for r in requests]
        numbers = [CLASSES.index(name) * self.sees for name in names]
        return [np.eye(len(CLASSES), dtype=np.float32)[n] for n in numbers]


@pytest.mark.parametrize("sees", [True, False])
def test_the_mini_suite_gives_100_to_labels_and_chance_to_a_blind_model(
    mini: Any, tmp_path: Path, sees: bool
) -> None:
    """Ten digits and six shapes, equally frequent: chance is the mean of 10 % and 1/6."""
    job = prepare("linear_probe", TASK, mini, RunSettings())
    splits = pd.Series([s.target["split"] for s in job.samples]).value_counts()
    assert splits.to_dict() == {"train": 600, "val": 300}
    run = RunFolder(tmp_path)
    with run.locked():
        run.start({"suite": "mini", "seed": 0})
        result = run_job(job, Embedder(sees), mini, run, 64, Progress("linear_probe"))
    assert result is not None and not result.unscored
    assert headline(TASK, result.metrics) == "top1[lbfgs]"
    for name in ("lbfgs", "lars-cached", "knn20"):
        expected = 100 if sees else (100 / 10 + 100 / 6) / 2
        assert result.metrics[f"top1[{name}]"] == pytest.approx(expected)
    low, high = result.intervals["top1[lbfgs]"]
    assert low <= result.metrics["top1[lbfgs]"] <= high


def test_a_limit_takes_both_splits_of_whole_classes(mini: Any) -> None:
    job = prepare("linear_probe", TASK, mini, RunSettings(limit=64))
    splits = pd.Series([s.target["split"] for s in job.samples]).value_counts()
    assert splits.to_dict() == {"train": 32, "val": 32}


def test_a_head_reads_standardised_features() -> None:
    head = Head(np.array([[0.0, 1.0]]), np.array([0.0, 0.0]))
    table = standardised(np.array([[1.0], [3.0]], np.float32), np.array([0, 1]))
    assert probe_table.top1(head, table) == 1.0
    assert probe_table.head_ranks(head, table).tolist() == [0, 0]
