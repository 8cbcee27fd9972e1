"""Labelled images in the hub's tables and from the datasets library, read where they lie."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from harmon_eval import cli, registry
from harmon_eval.core import Unscorable, UserError
from harmon_eval.files import image_tables
from harmon_eval.files.images import open_image
from harmon_eval.tasks.linear_probe import hub as probe_hub

TASK = registry.task("linear_probe")
SPLITS = {"train": 12, "validation": 6}


def encoded(number: int) -> bytes:
    """One colour a class of three; the shade tells pictures apart."""
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[..., number % 3] = 100 + number
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def rows(count: int) -> list[dict]:
    return [
        {"image": {"bytes": encoded(i), "path": f"{i}.png"}, "label": i % 3} for i in range(count)
    ]


def features() -> datasets.Features:
    names = ["red", "green", "blue"]
    return datasets.Features(image=datasets.Image(), label=datasets.ClassLabel(names=names))


@pytest.fixture
def parquet(tmp_path: Path) -> Path:
    folder = tmp_path / "parquet"
    folder.mkdir()
    for split, count in SPLITS.items():
        file = folder / f"{split}-00000-of-00001.parquet"
        pq.write_table(pa.Table.from_pylist(rows(count)), file, row_group_size=5)
    return folder


@pytest.fixture
def arrow(tmp_path: Path) -> Path:
    made = {s: datasets.Dataset.from_list(rows(n), features=features()) for s, n in SPLITS.items()}
    datasets.DatasetDict(made).save_to_disk(tmp_path / "arrow")
    return tmp_path / "arrow"


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_a_table_is_read_in_place_and_says_the_same_as_folders(
    kind: str, request: pytest.FixtureRequest, data_at: Any
) -> None:
    folder = request.getfixturevalue(kind)
    before = sorted(folder.rglob("*"))
    found = list(TASK.samples(data_at(folder)))
    assert len(found) == sum(SPLITS.values()) and len({s.id for s in found}) == len(found)
    for sample in found:
        image = open_image(sample.request.image)
        color = int(np.asarray(image)[0, 0].argmax())
        assert sample.target["label"] == str(color)
        assert f"/{color}/" in sample.id and sample.target["split"] in ("train", "val")
    assert sorted(folder.rglob("*")) == before


def test_a_run_from_the_command_line_scores_colours_by_their_pixels(
    parquet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    command = [
        "--model",
        "pixels:2",
        "--suite",
        "official",
        "--tasks",
        "linear_probe",
        "--data",
        str(parquet),
        "--output",
        str(run),
    ]
    assert cli.main(command) == 0
    metrics = json.loads((run / "linear_probe" / "metrics.json").read_text())["metrics"]
    assert metrics["top1[lbfgs]"] == metrics["top1[knn20]"] == 100
    assert metrics["dimension"] == 12
    # Marking again asks no probe: the marks are there and the vectors are the same.
    before = (run / "linear_probe" / "rows.parquet").stat().st_mtime_ns
    assert cli.main(["mark", str(run)]) == 0
    assert "reused 18 of 18 marks" in capsys.readouterr().err
    assert (run / "linear_probe" / "rows.parquet").stat().st_mtime_ns >= before


def test_a_dataset_is_streamed_into_shards_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data_at: Any
) -> None:
    """Any folder that the datasets library opens; rows of a shard that is there stay."""
    monkeypatch.setenv("HARMON_EVAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(probe_hub, "SHARD", 5)
    source = tmp_path / "pictures"
    for split, count in SPLITS.items():
        for i in range(count):
            file = source / split / "rgb"[i % 3] / f"{i}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(encoded(i))
    folder = probe_hub.streamed(str(source))
    names = sorted(file.name for file in folder.iterdir())
    assert names == [
        "complete",
        *(f"train-0000{i}.parquet" for i in range(3)),
        "validation-00000.parquet",
        "validation-00001.parquet",
    ]
    colors = {
        int(np.asarray(open_image(s.request.image))[0, 0].argmax()): s.target["label"]
        for s in TASK.samples(data_at(folder))
    }
    assert colors == {0: "2", 1: "1", 2: "0"}  # labels in the order of the names b, g, r
    monkeypatch.setattr(probe_hub, "_opened", lambda name: pytest.fail("asked again"))
    assert probe_hub.streamed(str(source)) == folder


def test_what_cannot_be_streamed_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARMON_EVAL_CACHE", str(tmp_path / "cache"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="cannot be opened"):
        probe_hub.streamed(str(tmp_path / "empty"))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"image": [{"bytes": b""}]}, "has no labels"),
        ({"label": [0]}, "no column of encoded images"),
    ],
)
def test_a_table_without_what_is_needed_is_refused(
    tmp_path: Path, columns: dict[str, Any], message: str
) -> None:
    file = tmp_path / "train-0.parquet"
    pq.write_table(pa.table(columns), file)
    with pytest.raises(UserError, match=message):
        list(image_tables.labels_of(file))


def test_a_row_that_is_no_image_is_unscored(parquet: Path) -> None:
    file = next(parquet.glob("train*"))
    for name in ("12", "x", "-1"):
        with pytest.raises(Unscorable, match="cannot be read"):
            open_image(file / name)
    (parquet / "broken.parquet").write_bytes(b"no table")
    with pytest.raises(Unscorable, match="get it again"):
        open_image(parquet / "broken.parquet" / "0")
