"""Logs with drawings: lmms-eval's replies name files, inspect_ai's hold the pictures."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import harmon_eval
from harmon_eval import cli, registry, suites
from harmon_eval.core import Draw, Responder, Sample
from harmon_eval.running.jobs import RunSettings, prepare
from harmon_eval.store.run_folder import RunFolder
from harmon_eval.suites.mini.scenes import render, scene_for

from .imported import LOGS, brought_in, refused
from .test_import_lmms import lmms_log

PROMPTS, EACH = 5, 4  # GenEval has four pictures of each prompt


class Painter(Responder):
    """Two right drawings of each prompt and two grey ones."""

    name, fingerprint = "painter", "1"

    def __init__(self, asked: Mapping[str, Any]) -> None:
        self.asked = asked

    def draw(self, requests: Sequence[Draw]) -> list[Image.Image]:
        return [self._painted(request) for request in requests]

    def _painted(self, request: Draw) -> Image.Image:
        if request.index % 2:
            return Image.new("RGB", (64, 64), "gray")
        scene = scene_for(self.asked[request.prompt], np.random.default_rng(request.seed))
        return Image.fromarray(render(scene))


@pytest.fixture(scope="module")
def geneval() -> list[Sample]:
    job = prepare("geneval", registry.task("geneval"), suites.load("mini"), RunSettings())
    return list(job.everything)


@pytest.fixture(scope="module")
def own(geneval: list[Sample], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run made here, of ``PROMPTS`` prompts."""
    folder = tmp_path_factory.mktemp("drawn") / "own"
    painter = Painter({sample.request.text: sample.target for sample in geneval})
    harmon_eval.evaluate(painter, "geneval", limit=PROMPTS, output=folder)
    return folder


def drawn(own: Path, geneval: list[Sample]) -> Iterator[tuple[str, list[Path]]]:
    """Each prompt that was drawn, with its pictures."""
    folder = RunFolder(own).task("geneval")
    files: dict[str, list[Path]] = {}
    for sample in geneval:
        if (file := folder.image_file(sample.id)).exists():
            files.setdefault(sample.request.text, []).append(file)
    assert len(files) == PROMPTS and all(len(each) == EACH for each in files.values())
    yield from files.items()


def lmms_lines(
    own: Path, geneval: list[Sample], pictures: Path, place: str
) -> list[dict[str, Any]]:
    """Replies as lmms-eval's models that draw give them, with the pictures in a folder."""
    lines = []
    for number, (prompt, files) in enumerate(drawn(own, geneval)):
        names = [f"geneval_{number}_{k}.png" for k in range(EACH)]
        for file, name in zip(files, names, strict=True):
            (pictures / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, pictures / name)
        said = {"text": "", "images": [f"{place}/{name}" for name in names]}
        line = {"doc_id": number, "target": prompt, "filtered_resps": [json.dumps(said)]}
        lines.append({**line, "input": prompt, "geneval_overall": {"score": number / 10}})
    return lines


def same_marks(run: Path, own: Path) -> bool:
    rows = [harmon_eval.load(each)["geneval"].rows.set_index("id") for each in (run, own)]
    scored = rows[0][rows[0]["unscored"].isna()]
    assert len(scored) == PROMPTS * EACH and 0 < scored["correct"].sum() < len(scored)
    return bool((scored["correct"] == rows[1].loc[scored.index, "correct"]).all())


def test_drawings_of_lmms_eval_are_marked_by_our_rules(
    tmp_path: Path, own: Path, geneval: list[Sample]
) -> None:
    pictures = tmp_path / "bagel_images" / "run7"
    lines = lmms_lines(own, geneval, pictures, "/nfs/team/bagel_images/run7")
    log = lmms_log(tmp_path / "log", lines, "geneval")
    images = ("--images", str(pictures.parent))
    run = brought_in(log, tmp_path / "run", "--suite", "mini", *images, code=1)
    assert same_marks(tmp_path / "run", own)
    assert run["geneval"].n == PROMPTS * EACH, "what the log lacks is unscored"
    assert run["vqa:imported/geneval+theirs"].metrics["geneval_overall[lmms-eval]"] == 0.2
    assert cli.main(["mark", str(tmp_path / "run")]) == 1, "they can be marked again"
    assert same_marks(tmp_path / "run", own)
    assert cli.main(["report", str(tmp_path / "run"), "--against", str(own)]) == 0


def test_drawings_beside_the_log_need_no_option(
    tmp_path: Path, own: Path, geneval: list[Sample]
) -> None:
    pictures = tmp_path / "pictures"
    lines = lmms_lines(own, geneval, pictures, "./logs/drawn")
    log = lmms_log(tmp_path / "log", lines, "geneval")
    pictures.rename(log / "drawn")
    brought_in(log, tmp_path / "run", "--suite", "mini", code=1)
    assert same_marks(tmp_path / "run", own)


def test_drawings_that_are_not_here_are_said_not_counted_as_wrong(
    tmp_path: Path, own: Path, geneval: list[Sample], capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = tmp_path / "pictures"
    lines = lmms_lines(own, geneval, pictures, "/elsewhere")
    log = lmms_log(tmp_path / "log", lines, "geneval")
    words = ["import", str(log), "--suite", "mini", "--output"]
    assert cli.main([*words, str(tmp_path / "a")]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert "none of the 20 drawings that the log names" in said and "--images DIR" in said
    (pictures / "geneval_0_0.png").unlink()
    (pictures / "geneval_0_1.png").write_bytes(b"no picture")
    assert cli.main([*words, str(tmp_path / "b"), "--images", str(pictures)]) == 1
    own_result = harmon_eval.load(tmp_path / "b")["geneval"]
    assert own_result.n == PROMPTS * EACH - 2
    assert own_result.unscored["the drawing's file is not here"] == 1


def test_no_file_outside_of_the_folder_of_images_is_a_drawing(
    tmp_path: Path, own: Path, geneval: list[Sample]
) -> None:
    pictures = tmp_path / "pictures"
    lines = lmms_lines(own, geneval, pictures, str(tmp_path))
    (tmp_path / "secret.png").write_bytes((pictures / "geneval_0_0.png").read_bytes())
    for line, escape in zip(lines, (str(tmp_path / "secret.png"), "../secret.png"), strict=False):
        line["filtered_resps"] = [json.dumps({"text": "", "images": [escape]})]
    log = lmms_log(tmp_path / "log", lines, "geneval")
    images = ("--images", str(pictures))
    run = brought_in(log, tmp_path / "run", "--suite", "mini", *images, code=1)
    assert run["geneval"].unscored["the drawing's file is not here"] == 2


def test_drawings_of_no_known_benchmark_are_said(
    tmp_path: Path, own: Path, geneval: list[Sample], capsys: pytest.CaptureFixture[str]
) -> None:
    lines = lmms_lines(own, geneval, tmp_path / "pictures", "")
    log = lmms_log(tmp_path / "log", lines, "our_prompts")
    run = brought_in(log, tmp_path / "run", "--suite", "mini")
    assert list(run) == ["vqa:imported/our_prompts+theirs"], "no text is marked as an answer"
    assert "5 drawings left out" in capsys.readouterr().err
    named = ("--suite", "mini", "--task", "our_prompts=geneval", "--images")
    brought_in(log, tmp_path / "named", *named, str(tmp_path / "pictures"), code=1)
    assert same_marks(tmp_path / "named", own)


def test_pictures_in_an_inspect_log_are_its_drawings(
    tmp_path: Path, own: Path, geneval: list[Sample]
) -> None:
    log = json.loads((LOGS / "inspect" / "colours.json").read_text())
    log["eval"]["task"] = "geneval"
    (first, *_), samples = log["samples"], []
    for number, (prompt, files) in enumerate(drawn(own, geneval)):
        for epoch, file in enumerate(files, start=1):
            kept = f"data:image/png;base64,{base64.b64encode(file.read_bytes()).decode()}"
            content = [{"type": "image", "image": f"attachment://{number}"}]
            message = {"role": "assistant", "content": content}
            output = {"model": "painter", "choices": [{"message": message}], "completion": ""}
            asked = {"id": number, "epoch": epoch, "input": prompt, "target": ""}
            samples.append({**first, **asked, "attachments": {str(number): kept}})
            samples[-1] |= {"output": output, "scores": {}}
    (tmp_path / "log.json").write_text(json.dumps({**log, "samples": samples}))
    brought_in(tmp_path / "log.json", tmp_path / "run", "--suite", "mini", code=1)
    assert same_marks(tmp_path / "run", own)


def test_pictures_without_a_log_are_told_the_way(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out" / "00000").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(tmp_path / "out" / "00000" / "0.png")
    assert "--model folder:DIR" in refused(tmp_path / "out", tmp_path / "run", capsys)
