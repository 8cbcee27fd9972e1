"""Your own prompts: lists of every form, numbers of the measure, diversity worked by hand."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import harmon_eval
from harmon_eval import cli, registry
from harmon_eval.core import Answer, Draw, Responder, Sample, Unscorable, UserError
from harmon_eval.instruments.optional import Absent
from harmon_eval.suites.mini.edit_images import caption
from harmon_eval.suites.mini.scenes import render, sample_scene
from harmon_eval.tasks.prompts import mini
from harmon_eval.tasks.prompts.files import read_prompts
from harmon_eval.tasks.prompts.task import TASK

SCENES = [sample_scene(np.random.default_rng((mini.SEED, n))) for n in range(mini.COUNT)]
PICTURES = {f"a photo of {caption(s)}": Image.fromarray(render(s)) for s in SCENES}


class Perfect(Responder):
    name, fingerprint = "perfect", "1"

    def draw(self, requests: Sequence[Draw]) -> list[Image.Image]:
        return [PICTURES[request.prompt] for request in requests]


class Empty(Responder):
    name, fingerprint = "empty", "1"

    def draw(self, requests: Sequence[Draw]) -> list[Image.Image]:
        return [Image.new("RGB", (64, 64), (128, 128, 128))] * len(requests)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARMON_EVAL_CACHE", str(tmp_path / "cache"))


def test_perfect_pictures_fit_their_prompts_and_empty_ones_do_not(tmp_path: Path) -> None:
    perfect = harmon_eval.evaluate(Perfect(), tasks="prompts", output=tmp_path / "a")["prompts"]
    empty = harmon_eval.evaluate(Empty(), tasks="prompts", output=tmp_path / "b")["prompts"]
    assert (perfect.n, perfect.headline[:6]) == (32, "score[")
    assert perfect.score is not None and empty.score is not None
    assert perfect.score > 0.97 > 0.8 > empty.score
    assert perfect.interval is not None and perfect.interval[0] > 0.9
    for found in (perfect, empty):  # four times the same picture
        assert found.metrics["diversity[1-cos mini]"] == pytest.approx(0, abs=1e-6)


def test_lists_of_prompts_in_every_form(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a dog\n\n two  cats \na dog\n")
    (tmp_path / "a.csv").write_text("id,Prompt\n1,a dog\n2,two cats\n")
    (tmp_path / "a.jsonl").write_text('{"caption": "a dog"}\n{"caption": "two cats"}\n')
    assert read_prompts(tmp_path / "a.txt", 4) == {"a dog": 8, "two cats": 4}
    for name in ("a.csv", "a.jsonl"):
        assert read_prompts(tmp_path / name, 2) == {"a dog": 2, "two cats": 2}
    (tmp_path / "b.csv").write_text("id,words\n1,a dog\n")
    (tmp_path / "b.txt").write_text("\n")
    for name, said in (
        ("b.csv", "row 1: needs a text in the column prompt"),
        ("b.txt", "holds no prompts"),
        ("c.txt", "no such file"),
    ):
        with pytest.raises(UserError, match=said):
            read_prompts(tmp_path / name, 4)


def test_a_folder_of_finished_images_with_their_prompts_is_marked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As often as each prompt was drawn; real pictures are not measured by the mini suite's own."""
    folder = tmp_path / "drawn"
    folder.mkdir()
    lines = ["file,prompt"]
    for number, (prompt, picture) in enumerate([*PICTURES.items()][:3]):
        for index in range(number + 1):
            picture.save(folder / f"{number}-{index}.png")
            lines.append(f'{number}-{index}.png,"{prompt}"')
    (folder / "prompts.csv").write_text("\n".join(lines))
    command = ["--tasks", f"prompts:{folder}", "--model", f"folder:{folder}"]
    out = ["--output", str(tmp_path / "run")]
    assert cli.main([*command, *out]) == 2
    assert "clip-vit-base-patch32" in capsys.readouterr().err
    mini_instruments = ["--instrument", "measure=mini", "--instrument", "dino=mini"]
    assert cli.main([*command, *out, *mini_instruments]) == 0
    found = harmon_eval.load(tmp_path / "run")[f"prompts:{folder}"]
    assert found.n == 6 and found.score is not None and found.score > 0.9


class Numbers:
    """A measure and a network that were given their numbers: the image's width is the place."""

    name = identity = "numbers"

    def measure(self, images: Any, texts: Any) -> list[float | Exception]:
        values: list[float | Exception] = [1.0, 2.0, 6.0, Unscorable("too long")]
        return [values[image.width - 1] for image in images]

    def images(self, images: Any) -> np.ndarray:
        vectors = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, 0.0]])
        return vectors[[image.width - 1 for image in images]]


def test_means_and_diversity_by_hand(tmp_path: Path) -> None:
    """Prompt a has two images at a right angle, b one, whose fellow has no number."""
    answers = []
    for width, group in enumerate(("a", "a", "b", "b"), 1):
        file = tmp_path / f"{width}.png"
        Image.new("RGB", (width, 1)).save(file)
        answers.append(Answer(Sample(f"{group}/{width}", Draw("x"), {}, group), file))
    numbers = Numbers()
    rows = TASK.mark(answers, {"measure": numbers, "dino": numbers})
    assert [row.get("unscored") for row in rows] == [None, None, None, "too long"]
    frame = pd.DataFrame(rows).assign(group=[a.sample.group for a in answers])
    metrics = TASK.summarize(frame[frame["unscored"].isna()])
    assert metrics == {"score[numbers]": 3.0, "diversity[1-cos numbers]": pytest.approx(1.0)}
    rows = TASK.mark(answers[:2], {"measure": numbers, "dino": Absent("no weights")})
    assert TASK.summarize(pd.DataFrame(rows).assign(group="a")) == {"score[numbers]": 1.5}


def test_every_measure_of_ours_can_be_named() -> None:
    assert {"clipscore", "pickscore", "hps", "imagereward", "aesthetic"} <= set(
        registry.instrument_names("measure")
    )


class Distances:
    """Distance of two images: the difference of their widths."""

    name = identity = "widths"

    def pairs(self, images: Any) -> list[float | Exception]:
        return [float(abs(a.width - b.width)) for a, b in itertools.combinations(images, 2)]


def of_widths(folder: Path, *drawn: tuple[str, int]) -> list[Answer]:
    answers = []
    for number, (group, width) in enumerate(drawn):
        file = folder / f"{number}-{width}.png"
        Image.new("RGB", (width, 1)).save(file)
        answers.append(Answer(Sample(f"{group}/{number}", Draw("x"), {}, group), file))
    return answers


def summed(answers: Sequence[Answer], rows: Sequence[Any]) -> dict[str, float]:
    frame = pd.DataFrame(rows).assign(group=[a.sample.group for a in answers])
    return TASK.summarize(frame)


def test_diversity_by_distances_of_pairs_by_hand(tmp_path: Path) -> None:
    """Widths 1, 2 and 3: (1 + 2 + 1) / 3; twice 2: 0; one image of a prompt has none."""
    drawn = [("a", 1), ("a", 2), ("a", 3), ("b", 2), ("b", 2), ("c", 1)]
    answers = of_widths(tmp_path, *drawn)
    chosen = {"measure": Numbers(), "dino": Absent(""), "diversity": Distances()}
    rows = TASK.mark(answers, chosen)
    assert summed(answers, rows)["diversity[widths]"] == pytest.approx((4 / 3 + 0) / 2)
    assert "diversity[widths]" not in summed(answers[-1:], rows[-1:])
    absent = TASK.mark(answers, {**chosen, "diversity": Absent("no weights")})
    assert summed(answers, absent) == {"score[numbers]": pytest.approx(14 / 6)}


def test_rows_of_a_drawing_that_was_made_again_match_no_other(tmp_path: Path) -> None:
    """Whichever of two sound rows of an image is kept, old distances are not used."""
    chosen = {"measure": Numbers(), "dino": Absent(""), "diversity": Distances()}
    before, after = of_widths(tmp_path, ("a", 1), ("a", 3)), of_widths(tmp_path, ("a", 1), ("a", 2))
    old, new = TASK.mark(before, chosen), TASK.mark(after, chosen)
    for first in (old[0], new[0]):
        assert summed(after, [first, new[1]])["diversity[widths]"] == 1
    apart = [row for answer in after for row in TASK.mark([answer], chosen)]
    assert "diversity[widths]" not in summed(after, apart)


def test_lpips_diversity_of_a_run_counts_drawings_that_came_later(tmp_path: Path) -> None:
    """Batches hold whole prompts, however small they are, and a prompt that got another drawing is
    marked again as a whole."""
    name, all_of = "diversity[lpips-mini]", {}
    for size in (1, 32):
        found = harmon_eval.evaluate(
            Turning(), tasks="prompts", output=tmp_path / str(size), batch_size=size
        )["prompts"]
        all_of[size] = found.metrics[name]
        assert found.intervals[name][0] < found.metrics[name] < found.intervals[name][1]
    assert all_of[1] == all_of[32] > 0
    few = tmp_path / "few"
    lacking = harmon_eval.evaluate(Turning(fails=True), tasks="prompts", output=few)["prompts"]
    assert lacking.n == 24 and lacking.metrics[name] != all_of[1]
    again = harmon_eval.evaluate(Turning(), tasks="prompts", output=few)["prompts"]
    assert (again.n, again.metrics[name]) == (32, all_of[1])


class Turning(Responder):
    """Turns the picture of a prompt by a quarter for each drawing; one fails if it shall."""

    name, fingerprint = "turning", "1"

    def __init__(self, fails: bool = False) -> None:
        self.fails = fails

    def draw(self, requests: Sequence[Draw]) -> list[Image.Image]:
        if self.fails and any(request.index == 3 for request in requests):
            raise Unscorable("not now")
        return [PICTURES[r.prompt].rotate(90 * r.index) for r in requests]


def test_the_prompts_of_a_dataset_are_drawn_and_a_wrong_column_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    pd.DataFrame({"words": ["a dog", "ein grüner Kreis"], "n": [1, 2]}).to_parquet("p.parquet")
    given = ["--model", "scripted", "--predict-only", "--output", "run", "--tasks"]
    cli.main([*given, "prompts:datasets:p.parquet?prompt=words"])
    (task,) = (tmp_path / "run").glob("prompts*")
    assert len(list((task / "images").rglob("*.png"))) == 8
    capsys.readouterr()
    assert cli.main([*given, "prompts:datasets:p.parquet?prompt=word", "--fresh"]) == 2
    assert "has no column 'word': did you mean 'words'" in capsys.readouterr().err
    (tmp_path / "p.jsonl").write_text('{"prompt": "a dog"}\n')
    assert cli.main([*given, "prompts:datasets:p.jsonl", "--fresh"]) == 2
    assert "leave out 'datasets:'" in capsys.readouterr().err
