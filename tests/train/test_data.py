"""Data of every kind that the recipes name: what is read, cropped, cached, skipped and refused."""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from harmon_eval.model.config import VAEConfig
from harmon_eval.model.train import latents
from harmon_eval.model.train.batches import row_pixels
from harmon_eval.model.train.latents import precompute
from harmon_eval.model.train.loop import precompute_latents, train_harmon
from harmon_eval.model.train.recipe import Recipe, Source, TrainingError
from harmon_eval.model.train.run_folder import newest_state
from harmon_eval.model.train.scenes import split_scene
from harmon_eval.model.train.sources import (
    BrokenRow,
    Row,
    StreamedRows,
    make_row,
    open_rows,
    shuffled,
    square_crop,
)
from harmon_eval.model.vae import VAE
from harmon_eval.suites.mini import scenes

RNG = np.random.default_rng(0)


@pytest.fixture
def pairs(tmp_path: Path) -> Source:
    """The authors' format: a list of image and annotation; captions in files, and one in the list.

    Of twelve, one image is damaged and one caption is missing."""
    images, captions, listed = tmp_path / "images", tmp_path / "captions", []
    images.mkdir()
    captions.mkdir()
    for i in range(12):
        Image.new("RGB", (32 + i, 32), (20 * i, 0, 0)).save(images / f"{i}.png")
        if i != 7:
            (captions / f"{i}.json").write_text(json.dumps({"caption": f"a photo of a star {i}"}))
        listed.append({"image": f"{i}.png", "annotation": f"{i}.json"})
    (images / "3.png").write_bytes(b"no picture")
    (tmp_path / "data_info.json").write_text(json.dumps(listed))
    return Source(
        data="json",
        files=(str(tmp_path / "data_info.json"),),
        images=str(images),
        annotations=str(captions),
        batch=4,
    )


def test_the_authors_folders_are_read_and_broken_samples_are_skipped_and_counted(
    pairs: Source, tiny: Recipe, tmp_path: Path
) -> None:
    recipe = replace(tiny, sources=(pairs,), steps=3, broken=0.5)
    train_harmon(recipe, tmp_path / "run")
    state = newest_state(tmp_path / "run")
    assert state is not None
    faults = state["position"]["data"]["faults"]
    assert faults == {"seen": 12, "skipped": 2}
    lines = (tmp_path / "run" / "skipped.jsonl").read_text().splitlines()
    assert {json.loads(line)["sample"] for line in lines} == {"0:3", "0:7"}


def test_more_broken_samples_than_the_share_end_the_run_with_the_list(
    pairs: Source, tiny: Recipe, tmp_path: Path
) -> None:
    recipe = replace(tiny, sources=(pairs,), steps=3, broken=0.01)
    with pytest.raises(TrainingError, match=r"2 of \d+ samples are broken.*0:3, 0:7"):
        train_harmon(recipe, tmp_path / "run")


def test_captions_may_stand_in_the_list_and_templates_fill_questions() -> None:
    values = {"image": "a.png", "caption": " a star ", "question": "What?", "answer": "A star"}
    assert make_row(values, Source(), RNG).prompt == "a star"
    read = make_row(values, Source("image2text", answer="{answer}."), RNG)
    assert read.turns == (("What?", "A star."),)
    described = Source("image2text", questions=("Describe the image.",), answer="{caption}")
    assert make_row(values, described, RNG).turns == (("Describe the image.", "a star"),)
    with pytest.raises(BrokenRow, match="is empty"):
        make_row({"image": "a.png", "caption": None}, Source(), RNG)


def shards(folder: Path, count: int) -> Source:
    for shard in range(2):
        with tarfile.open(folder / f"{shard}.tar", "w") as tar:
            for i in range(shard, count, 2):
                picture = io.BytesIO()
                Image.new("RGB", (32, 32), (i, i, i)).save(picture, "PNG")
                for name, data in ((f"{i}.png", picture.getvalue()), (f"{i}.txt", b"star %d" % i)):
                    info = tarfile.TarInfo(name)
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))
    return Source(
        data="webdataset",
        files=(str(folder / "*.tar"),),
        streaming=True,
        image="png",
        prompt="{txt}",
        batch=2,
    )


def test_a_stream_of_webdataset_shards_resumes_where_it_was(tmp_path: Path) -> None:
    def texts(rows: Any, first: int, count: int) -> list[str]:
        window = rows.window(first, count)
        return [window.row(first + i, RNG).prompt for i in range(count)]

    source = shards(tmp_path, 6)
    whole = open_rows(source, 0)
    assert isinstance(whole, StreamedRows)
    expected = [texts(whole, first, 2) for first in range(0, 10, 2)]
    assert sorted(text for two in expected[:3] for text in two) == [f"star {i}" for i in range(6)]
    assert expected[3] == expected[0]  # the next epoch
    begun = open_rows(source, 0)
    assert isinstance(begun, StreamedRows)
    assert [texts(begun, first, 2) for first in (0, 2, 4, 6)] == expected[:4]
    resumed = open_rows(source, 0)
    assert isinstance(resumed, StreamedRows)
    resumed.restore(begun.state())
    assert texts(resumed, 8, 2) == expected[4]


def test_folders_of_pictures_and_streamed_lines_are_read_too(tmp_path: Path) -> None:
    """``imagefolder`` with its metadata, and a stream of JSON lines of questions."""
    Image.new("RGB", (8, 8), "red").save(tmp_path / "a.png")
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "a.png", "text": "a red square"}\n')
    folder = Source(data="imagefolder", files=(str(tmp_path / "**"),), prompt="{text}")
    rows = open_rows(folder, 0)
    assert not isinstance(rows, StreamedRows)
    row = rows.row(0, RNG)
    assert row.prompt == "a red square" and row.picture is not None
    assert row.picture().getpixel((4, 4)) == (255, 0, 0)
    lines = [{"question": f"How many {i}?", "answer": str(i)} for i in range(3)]
    (tmp_path / "text.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    told = Source("text", data="json", files=(str(tmp_path / "text.jsonl"),), streaming=True)
    rows = open_rows(told, 0)
    assert isinstance(rows, StreamedRows)
    window = rows.window(0, 4)
    turns = [window.row(i, RNG).turns for i in range(4)]
    assert turns == [((f"How many {i}?", str(i)),) for i in (0, 1, 2, 0)]


def test_every_epoch_takes_every_row_once_in_another_order() -> None:
    epochs = [[shuffled(0, 1, e * 9 + i, 9) for i in range(9)] for e in range(2)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(9))
    assert epochs[0] != epochs[1]


def test_pictures_are_cropped_to_draw_and_padded_to_see() -> None:
    """A square along the longer side, at random; grey 127 around what is to be seen."""
    wide = Image.new("RGB", (64, 32), "red")
    wide.paste((0, 0, 255), (32, 0, 64, 32))
    assert square_crop(wide, 16, 0.0).getpixel((8, 8)) == (255, 0, 0)
    assert square_crop(wide, 16, 1.0).getpixel((8, 8)) == (0, 0, 255)
    seen = row_pixels(Source("image2text"), Row(picture=lambda: wide), 64, RNG)["pixels"]
    assert seen[:, 2, 32].tolist() == pytest.approx([127 * 2 / 255 - 1] * 3, abs=1e-6)


def test_cached_latents_equal_fresh_ones_and_another_vae_has_its_own(
    tiny: Recipe, tmp_path: Path
) -> None:
    source = tiny.sources[0]
    rows: Any = open_rows(source, 0)
    for seed in (0, 1):
        torch.manual_seed(seed)
        vae = VAE(VAEConfig(width=32, multipliers=(1, 1, 1, 1, 1), blocks=1, scale=1.0))
        cached = precompute(tiny, 0, rows, vae, 64, tmp_path)
        shown = [row_pixels(source, rows.row(i, RNG), 64, RNG)["pixels"] for i in range(16)]
        pixels = torch.stack(shown)
        with torch.no_grad():
            fresh = vae.encode(pixels)
        assert torch.equal(torch.stack([cached.at(i) for i in range(16)]), fresh)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_training_finds_what_precompute_has_encoded(
    tiny: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    precompute_latents(tiny, tmp_path)
    (encoded,) = (tmp_path / "latents").iterdir()  # both sources show the same pictures
    assert (encoded / "manifest.json").exists()

    def again(vae: VAE, pixels: torch.Tensor) -> torch.Tensor:
        raise AssertionError("encoded a second time")

    monkeypatch.setattr(latents, "_encoded", again)
    train_harmon(replace(tiny, steps=1), tmp_path)


def test_combinations_held_out_from_training_are_a_split_of_their_own() -> None:
    for i in range(30):
        assert scenes.unseen(split_scene(0, "unseen", i))
        assert not scenes.unseen(split_scene(0, "train", i))
        assert not scenes.unseen(split_scene(0, "seen", i))


def test_pictures_are_read_as_they_look(tmp_path: Path) -> None:
    """16 bits scaled, transparent on white, upright, as by the reader of the benchmarks."""
    import numpy as np
    from PIL import Image

    from harmon_eval.files.images import read_picture
    from harmon_eval.model.train.sources import open_picture

    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = np.arange(8, dtype=np.uint16).reshape(2, 4) * 8000
    Image.fromarray(pixels).save(tmp_path / "grey.png")
    Image.new("RGBA", (4, 2), (9, 9, 9, 40)).save(tmp_path / "clear.png")
    Image.new("RGB", (4, 2), "red").save(tmp_path / "turned.png", exif=exif)
    for name in ("grey.png", "clear.png", "turned.png"):
        seen = open_picture(name, str(tmp_path))
        assert seen.tobytes() == read_picture(tmp_path / name).tobytes(), name
        assert seen.size == ((2, 4) if name == "turned.png" else (4, 2))
