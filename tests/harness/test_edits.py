"""Edits: source images and an instruction in, an image out; turns that build on each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import harmon_eval
from harmon_eval.adapters.scripted import ScriptedResponder
from harmon_eval.core import (
    About,
    Answer,
    Data,
    Draw,
    Edit,
    Instruments,
    Metric,
    Request,
    Responder,
    Row,
    Sample,
    Task,
    Unscorable,
    UserError,
)
from harmon_eval.files.images import read_rgb, size_of
from harmon_eval.files.sizes import aspect_kept
from harmon_eval.running.jobs import RunSettings, data_hash, prepare
from harmon_eval.suites import load

TURNS = ("Make it darker.", "Make it darker still.", "Make it brighter again.")


def task_at(folder: Path) -> Task:
    """Two sessions of three turns on pictures in ``folder``."""

    def samples(data: Data) -> Iterator[Sample]:
        for name in ("a", "b"):
            for turn, text in enumerate(TURNS):
                yield Sample(
                    f"{name}/{turn}",
                    Edit((folder / f"{name}.png",), text),
                    {},
                    name,
                    after=(f"{name}/{turn - 1}",) if turn else (),
                )

    def follow(sample: Sample, answers: Sequence[Answer]) -> Request:
        return Edit((answers[0].image,), sample.request.text)

    def mark(answers: Sequence[Answer], instruments: Instruments) -> list[Row]:
        return [{"level": float(read_rgb(answer.image).mean())} for answer in answers]

    return Task(
        samples=samples,
        mark=mark,
        summarize=lambda rows: {"level": float(rows["level"].mean())},
        metrics=(Metric("level", maximum=255.0),),
        about=About(paper="none", version="1"),
        follow=follow,
        intervals=lambda rows, summarize: {},
    )


class Darker(Responder):
    """Takes 40 levels away from a picture and cuts it to a square; fails on ``fails``."""

    name, fingerprint = "darker", "1"

    def __init__(self, fails: str = "") -> None:
        self.fails = fails
        self.seen: list[Edit] = []

    def edit(self, requests: Sequence[Edit]) -> list[Image.Image | Exception]:
        self.seen += requests
        return [
            Unscorable("no edit") if r.images[0].stem == self.fails else self.darker(r)
            for r in requests
        ]

    def darker(self, request: Edit) -> Image.Image:
        values = read_rgb(request.images[0]).astype(int) - 40
        side = min(values.shape[:2])
        return Image.fromarray(values[:side, :side].clip(0).astype(np.uint8))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    Image.new("RGB", (32, 32), (200, 200, 200)).save(tmp_path / "a.png")
    Image.new("RGB", (48, 32), (160, 160, 160)).save(tmp_path / "b.png")
    return tmp_path


def run(folder: Path, model: Responder, name: str = "run", **settings: Any) -> Any:
    tasks = {"turns": task_at(folder)}
    return harmon_eval.evaluate(model, tasks=tasks, output=folder / name, **settings)


def test_each_turn_edits_the_result_of_the_turn_before(pictures: Path) -> None:
    model = Darker()
    rows = run(pictures, model)["turns"].rows.set_index("id")
    assert list(rows.loc[["a/0", "a/1", "a/2"], "level"]) == [160, 120, 80]
    later = [r.images[0] for r in model.seen if r.instruction == TURNS[2]]
    assert [path.relative_to(pictures / "run/turns/images") for path in later] == [
        Path("a/1.png"),
        Path("b/1.png"),
    ]
    assert list(rows["instruction"].head(3)) == list(TURNS)


def test_a_failed_turn_leaves_the_later_ones_unscored(pictures: Path) -> None:
    model = Darker(fails="b")
    found = run(pictures, model)["turns"]
    reasons = found.rows.set_index("id")["unscored"].dropna()
    assert dict(reasons) == {
        "b/0": "no edit",
        "b/1": "no response to b/0, which it comes after",
        "b/2": "no response to b/1, which it comes after",
    }
    assert (found.n, found.total) == (3, 6)


def test_every_row_says_both_sizes_and_whether_the_aspect_is_kept(
    pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = run(pictures, Darker())["turns"].rows.set_index("id")
    sizes = rows[["source_size", "result_size", "aspect_kept"]]
    assert list(sizes.loc["a/0"]) == ["32x32", "32x32", True]
    assert list(sizes.loc["b/0"]) == ["48x32", "32x32", False]
    assert list(sizes.loc["b/1"]) == ["32x32", "32x32", True]
    assert "5 of 6 results keep the aspect ratio of their source" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("source", "result", "kept"),
    [
        ((640, 384), (640, 384), True),
        ((640, 384), (320, 192), True),
        ((640, 384), (512, 512), False),
        ((1000, 1000), (1020, 1000), True),  # log 1.02 is 0.0198
        ((1000, 1000), (1021, 1000), False),
        ((1000, 1000), (1000, 1021), False),
    ],
)
def test_the_aspect_is_kept_within_two_per_cent(source: Any, result: Any, kept: bool) -> None:
    assert aspect_kept(source, result) == kept


def test_a_turned_photograph_has_the_size_that_people_see(tmp_path: Path) -> None:
    image = Image.new("RGB", (30, 20))
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.jpg", exif=exif)
    assert size_of(tmp_path / "turned.jpg") == (20, 30)


def test_a_model_that_cannot_edit_says_so(pictures: Path) -> None:
    class Painter(Responder):
        name, fingerprint = "painter", "1"

        def draw(self, requests: Sequence[Draw]) -> list[Image.Image]:
            return [Image.new("RGB", (8, 8)) for _ in requests]

    with pytest.raises(UserError, match="painter cannot edit images"):
        Painter().edit([])
    with pytest.raises(UserError, match="edit images"):
        run(pictures, Painter())


def test_other_bytes_of_a_source_or_a_mask_are_other_data(pictures: Path) -> None:
    def digest(request: Edit) -> str:
        return data_hash([Sample("a", request, {}, "a")])

    a, b, copy = pictures / "a.png", pictures / "b.png", pictures / "copy.png"
    copy.write_bytes(a.read_bytes())
    before = digest(Edit((a,), "Make it red."))
    assert digest(Edit((copy,), "Make it red.")) == before
    assert digest(Edit((b,), "Make it red.")) != before
    assert digest(Edit((a, b), "Make it red.")) != before
    assert digest(Edit((a,), "Make it blue.")) != before
    assert digest(Edit((a,), "Make it red.", mask=b)) != before
    assert digest(Edit((a,), "Make it red.", "cn")) != before
    assert digest(Edit((a,), "Make it red.", seed=7)) == before


def test_the_same_instruction_for_another_picture_has_its_own_count(pictures: Path) -> None:
    def samples(data: Data) -> Iterator[Sample]:
        for number, name in enumerate(("a", "b", "a")):
            yield Sample(str(number), Edit((pictures / f"{name}.png",), "Crop it."), {}, name)

    task = Task(samples, lambda *_: [], lambda rows: {}, (Metric("x"),), About("none", "1"))
    job = prepare("crops", task, load("mini"), RunSettings())
    assert [sample.request.index for sample in job.samples] == [0, 0, 1]
    assert len({sample.request.seed for sample in job.samples}) == 3


def test_the_scripted_model_mirrors_its_source(tmp_path: Path) -> None:
    values = np.zeros((4, 6, 3), np.uint8)
    values[:, 0] = 255
    Image.fromarray(values).save(tmp_path / "left.png")
    (image,) = ScriptedResponder().edit([Edit((tmp_path / "left.png",), "Anything.")])
    assert isinstance(image, Image.Image)
    assert (np.asarray(image) == values[:, ::-1]).all()
    (error,) = ScriptedResponder().edit([Edit((tmp_path / "none.png",), "Anything.")])
    assert isinstance(error, Unscorable)


def test_any_object_with_a_method_edit_is_a_model(pictures: Path) -> None:
    class Own:
        def edit(self, requests: Sequence[Edit]) -> list[Image.Image]:
            return [Image.open(request.images[0]) for request in requests]

    found = run(pictures, Own())["turns"]  # type: ignore[arg-type]
    assert isinstance(found.rows, pd.DataFrame)
    assert found.score == pytest.approx((200 + 160) / 2)


def test_a_notebook_shows_source_and_result_side_by_side(pictures: Path) -> None:
    shown = str(run(pictures, Darker())["turns"].show())
    assert shown.count('alt="source image"') == 6
    assert shown.count(f'alt="Result 1 of 1 by turns for: {TURNS[0]}: marked."') == 2
    assert "image asked about" not in shown
