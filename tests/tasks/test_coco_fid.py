"""COCO FID: COCO's own files, a fixed choice of captions, the metrics of mjhq."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from harmon_eval.core import Answer, Data, UserError
from harmon_eval.suites import load
from harmon_eval.tasks.coco_fid import task as coco_fid
from harmon_eval.tasks.mjhq import task as mjhq


@pytest.fixture
def data(tmp_path: Path) -> Data:
    """Six photographs with two captions each, in COCO's format."""
    (tmp_path / "val2014").mkdir()
    images = [{"id": i, "file_name": f"COCO_val2014_{i:012d}.jpg"} for i in range(6)]
    for image in images:
        Image.new("RGB", (20, 30)).save(tmp_path / "val2014" / str(image["file_name"]))
    captions = [
        {"id": 10 * i + k, "image_id": i, "caption": f" A dog \n number {i}. "}
        for i in range(6)
        for k in range(2)
    ]
    content = {"info": {}, "images": images, "annotations": captions}
    (tmp_path / "captions_val2014.json").write_text(json.dumps(content))
    return Data.at(tmp_path)


def test_one_caption_an_image_is_drawn_whatever_the_order_of_the_file(data: Data) -> None:
    chosen = list(coco_fid.samples(data))
    assert [sample.group for sample in chosen] == [str(i) for i in range(6)]
    assert chosen[0].request.prompt == "A dog number 0."
    file = data.folder / "captions_val2014.json"
    content = json.loads(file.read_text())
    content["annotations"].reverse()
    file.write_text(json.dumps(content))
    assert [s.id for s in coco_fid.samples(data)] == [s.id for s in chosen]


def test_no_more_than_thirty_thousand() -> None:
    captions = {i: (i, "a dog") for i in range(30_500)}
    chosen = coco_fid.chosen(Path("nowhere"), captions)
    assert len(set(chosen)) == coco_fid.SIZE
    assert set(coco_fid.chosen(Path("nowhere"), dict(list(captions.items())[::-1]))) == set(chosen)


def test_ones_own_list_of_captions_comes_first(data: Data) -> None:
    listed = data.folder / "captions_30k.txt"
    listed.write_text("51\n0\n")
    assert [s.id for s in coco_fid.samples(data)] == ["0000051", "0000000"]
    listed.write_text("52\n")
    with pytest.raises(UserError, match="no caption has the id 52"):
        list(coco_fid.samples(data))


def test_what_is_missing_or_broken_is_named(data: Data) -> None:
    folder = data.folder
    photograph = folder / "val2014" / "COCO_val2014_000000000003.jpg"
    photograph.unlink()
    with pytest.raises(UserError, match=r"000000000003\.jpg is missing: unpack COCO's val2014"):
        list(coco_fid.samples(data))
    file = folder / "captions_val2014.json"
    file.write_text(file.read_text().replace("COCO_val2014_000000000000.jpg", "../../etc.jpg"))
    with pytest.raises(UserError, match="not the plain name"):
        list(coco_fid.samples(data))
    file.write_text("[]")
    with pytest.raises(UserError, match="not a COCO caption file"):
        list(coco_fid.samples(data))


def test_the_pipeline_is_in_the_name_and_the_metrics_are_those_of_mjhq(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mini suite; the references drawn again have distance 0 by the same summary as mjhq's."""
    monkeypatch.setenv("HARMON_EVAL_CACHE", str(tmp_path / "cache"))
    mini = load("mini")
    samples = list(coco_fid.samples(mini.data("coco_fid", coco_fid.TASK)))
    assert len(samples) == 100
    net = mini.instrument("features", coco_fid.TASK)
    answers = [Answer(s, s.target["reference"]) for s in samples]
    rows = coco_fid.TASK.mark(answers, {"features": net})
    assert all(np.array_equal(row["features"], row["reference_features"]) for row in rows)
    frame = pd.DataFrame(
        [{"id": s.id, "stratum": s.stratum, **row} for s, row in zip(samples, rows, strict=True)]
    )
    metrics = coco_fid.TASK.summarize(frame)
    assert metrics["fid[gigagan256,mini]"] == pytest.approx(0, abs=1e-6)
    assert coco_fid.TASK.summarize is mjhq.summarize
