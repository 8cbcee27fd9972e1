"""Your own prompts: lists of every form, numbers of the measure, diversity worked by hand."""

from __future__ import annotations

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
