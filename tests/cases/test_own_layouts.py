"""Folders as the projects themselves write them, grids, and this project's own run folders."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from harmon_eval.adapters.folder import FolderResponder, Settings
from harmon_eval.core import Draw, Sample, UserError
from harmon_eval.files.grids import are_grids
from harmon_eval.tasks.dpg.task import TASK as DPG
from harmon_eval.tasks.geneval.task import TASK as GENEVAL
from harmon_eval.tasks.mjhq.task import TASK as MJHQ
from harmon_eval.tasks.wise.task import TASK as WISE


def test_the_case(measure: Any, shared_folder: Path, tmp_path: Path) -> None:
    cases = shared_folder / "cases"
    make, made = cases / "own-layouts/make.py", tmp_path / "made"
    subprocess.run([sys.executable, make, made], check=True)
    data = cases / "geneval-rewritten-prompts/data"
    given = ("--model", f"folder:{made / 'harmon_batch'}", "--tasks", "geneval")
    found = measure(*given, "--data", data)
    assert found.code == 0 and found.n == (96, 96) and found.score("overall") == 1.0
    assert "24 pictures are grids of 2 x 2 and are cut" in found.said
    own = cases / "own-layouts/dpg_files", made / "dpg_grid", made / "dpg_grid_csv"
    for place in own:
        given = ("--model", f"folder:{place}", "--tasks", "dpg")
        found = measure(*given, "--data", cases / "own-layouts/dpg_data", run=place.name)
        assert (
            found.code == 0 and found.n == (40, 40) and found.score("dpg") == pytest.approx(87.125)
        )


@pytest.mark.parametrize("task", ["wise", "wise_verified", "dpg", "coco_fid", "geneval_fresh"])
def test_the_images_of_a_run_give_its_own_score(measure: Any, task: str) -> None:
    limit = ("--limit", 6 if task != "coco_fid" else 40)
    first = measure("--model", "scripted", "--tasks", task, *limit, run="first")
    run = first.run
    places = (
        (run, run / task, run / task / "images") if task == "wise" else (run / task / "images",)
    )
    for place in places:
        again = measure("--model", f"folder:{place}", "--tasks", task, *limit, run="again")
        assert again.code == first.code and again.n == first.n
        assert again.result["metrics"] == first.result["metrics"]


def test_the_images_of_another_task_are_named(measure: Any) -> None:
    """The editions of WISE share their ids and not their prompts."""
    first = measure("--model", "scripted", "--tasks", "wise", "--limit", 6, run="first")
    for place, words in (
        (first.run / "wise/images", "the drawings of wise, not those of wise_verified"),
        (first.run, "is a run without drawings of wise_verified"),
    ):
        found = measure("--model", f"folder:{place}", "--tasks", "wise_verified", "--limit", 6)
        assert found.code == 2 and words in found.said


# -- the same in small, made here ----------------------------------------------------------------

RED, LIME, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
COLORS = (RED, LIME, BLUE, WHITE)


def grid(file: Path, colors: tuple[tuple[int, int, int], ...] = COLORS) -> None:
    whole = Image.new("RGB", (16, 16))
    for number, color in enumerate(colors):
        whole.paste(
            color, (number % 2 * 8, number // 2 * 8, number % 2 * 8 + 8, number // 2 * 8 + 8)
        )
    file.parent.mkdir(parents=True, exist_ok=True)
    whole.save(file)


def wanted(ids: dict[str, str]) -> list[Sample]:
    """Samples by id and prompt; a prompt that comes again is its next drawing."""
    seen: list[str] = []
    samples = []
    for name, prompt in ids.items():
        samples.append(Sample(name, Draw(prompt, index=seen.count(prompt)), {}, prompt))
        seen.append(prompt)
    return samples


def seen(folder: FolderResponder, samples: list[Sample]) -> list[object]:
    found = folder.draw([sample.request for sample in samples])
    return [
        str(image)
        if isinstance(image, Exception)
        else tuple(np.asarray(image.convert("RGB"))[3, 3])
        for image in found
    ]


def test_a_grid_is_cut_row_by_row(tmp_path: Path) -> None:
    four = {f"item7/{k:04d}": "a prompt" for k in range(4)}
    grid(tmp_path / "item7.png")
    folder = FolderResponder(tmp_path)
    folder.expect("dpg", DPG, wanted(four))
    assert seen(folder, wanted(four)) == list(COLORS)
    assert folder.about["grid"] == "1 pictures are grids of 2 x 2 and are cut"


def test_pictures_one_by_one_in_dpgs_names(tmp_path: Path) -> None:
    for k, color in enumerate(COLORS):
        Image.new("RGB", (8, 8), color).save(tmp_path / f"item7_{k}.JPG".lower(), quality=100)
        (tmp_path / "item8").mkdir(exist_ok=True)
        Image.new("RGB", (8, 8), color).save(tmp_path / f"item8/{k:04d}.png")
    ids = {f"item{i}/{k:04d}": f"prompt {i}" for i in (7, 8) for k in range(4)}
    folder = FolderResponder(tmp_path)
    folder.expect("dpg", DPG, wanted(ids))
    assert seen(folder, wanted(ids))[4:] == list(COLORS)
    assert not [said for said in seen(folder, wanted(ids)) if isinstance(said, str)]


def test_what_does_not_look_like_a_grid_is_asked_for(tmp_path: Path) -> None:
    four = wanted({f"item7/{k:04d}": "a prompt" for k in range(4)})
    grid(tmp_path / "item7.png", (RED,) * 4)
    with pytest.raises(UserError, match=r"do not look so: .*grid=2 for grids .*grid=1"):
        FolderResponder(tmp_path).expect("dpg", DPG, four)
    one = FolderResponder(tmp_path, Settings(grid=1))
    one.expect("dpg", DPG, four)
    assert seen(one, four)[:2] == [RED, "the folder has 0 images of this prompt"]
    cut = FolderResponder(tmp_path, Settings(grid=2))
    cut.expect("dpg", DPG, four)
    assert seen(cut, four) == [RED] * 4 and cut.settings == {"recipe": "unknown", "grid": 2}


def test_grids_are_told_from_single_drawings(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)

    def drawing(side: int) -> np.ndarray:
        y, x = np.mgrid[0:side, 0:side] / side
        waves = [np.sin(6 * (a * x + b * y) + c) for a, b, c in rng.normal(size=(3, 3))]
        return (127 + 100 * np.stack(waves, axis=-1) / 1.2).clip(0, 255).astype(np.uint8)

    grids, singles = [], []
    for number in range(12):
        rows = [np.concatenate([drawing(32), drawing(32)], axis=1) for _ in range(2)]
        for kind, pixels in (("grid", np.concatenate(rows)), ("one", drawing(64))):
            file = tmp_path / f"{kind}{number}.jpg"
            Image.fromarray(pixels).save(file, quality=85)
            (grids if kind == "grid" else singles).append(file)
    assert are_grids(grids) and not are_grids(singles)


def test_harmons_output(tmp_path: Path) -> None:
    for number, prompt in enumerate(("a dog", "a cat")):
        grid(tmp_path / f"{number:08d}.png", COLORS if number else COLORS[::-1])
        (tmp_path / f"{number:08d}.json").write_text(json.dumps({"prompt": prompt}))
    ids = {
        f"{i:05d}/samples/{k:04d}": p for i, p in enumerate(("a dog", "a cat")) for k in range(4)
    }
    folder = FolderResponder(tmp_path)
    folder.expect("geneval", GENEVAL, wanted(ids))
    assert seen(folder, wanted(ids)) == [*COLORS[::-1], *COLORS]


@pytest.mark.parametrize("suffix", ["png", "jpg", "PNG", "JPEG"])
def test_wises_numbers(tmp_path: Path, suffix: str) -> None:
    for number, color in ((1, WHITE), (10, RED), (1000, BLUE)):
        Image.new("RGB", (8, 8), color).save(tmp_path / f"{number}.{suffix}")
    Image.new("RGB", (8, 8)).save(tmp_path / "overview.png")
    ids = {"1": "a", "2": "b", "1000": "c"}
    folder = FolderResponder(tmp_path)
    folder.expect("wise", WISE, wanted(ids))
    found = seen(folder, wanted(ids))
    assert found[0] == WHITE and found[1] == "the folder has 0 images of this prompt"
    assert max(found[2]) > 250  # type: ignore[type-var]


def test_a_number_in_two_formats_is_refused(tmp_path: Path) -> None:
    for suffix in ("png", "jpg"):
        Image.new("RGB", (8, 8)).save(tmp_path / f"7.{suffix}")
    with pytest.raises(UserError, match="one picture twice"):
        FolderResponder(tmp_path).expect("wise", WISE, wanted({"7": "a"}))


def test_mjhqs_images_without_their_list(tmp_path: Path) -> None:
    for key, color in (("k1", RED), ("k2", BLUE)):
        (tmp_path / "people").mkdir(exist_ok=True)
        Image.new("RGB", (8, 8), color).save(tmp_path / f"people/{key}.webp", lossless=True)
    ids = {"people/k2": "the same", "people/k1": "the same"}
    folder = FolderResponder(tmp_path)
    folder.expect("mjhq", MJHQ, wanted(ids))
    assert seen(folder, wanted(ids)) == [BLUE, RED]


def test_a_folder_of_something_else_is_refused_before_anything_is_drawn(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "holiday.png")
    with pytest.raises(UserError, match=r"geneval publishes \(00000/metadata.jsonl"):
        FolderResponder(tmp_path).expect("geneval", GENEVAL, wanted({"a": "a dog"}))
    with pytest.raises(UserError, match=r"no images with prompts: use .*publishes \(CATEGORY/KEY"):
        FolderResponder(tmp_path).expect("mjhq", MJHQ, wanted({"people/a": "a dog"}))
    (tmp_path / "prompts.json").write_text('{"holiday.png": "a beach"}')
    with pytest.raises(UserError, match="none of the 1 images that geneval asks for"):
        FolderResponder(tmp_path).expect("geneval", GENEVAL, wanted({"a": "a dog"}))


def test_the_fingerprint_is_of_bytes(tmp_path: Path) -> None:
    """A BMP of another colour has the same size."""
    (tmp_path / "prompts.json").write_text('{"a.bmp": "a dog"}')
    prints = set()
    for color in (RED, BLUE):
        Image.new("RGB", (8, 8), color).save(tmp_path / "a.bmp")
        prints.add(FolderResponder(tmp_path).fingerprint)
    assert len(prints) == 2
