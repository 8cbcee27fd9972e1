"""One reader for every picture: what a file shows, in listed formats, so much at a time."""

from __future__ import annotations

import base64
import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harmon_eval.adapters._image_endpoint import data_url
from harmon_eval.core import Draw, Embed, Responder, Sample, Task, Unscorable
from harmon_eval.files.images import (
    FORMATS,
    MAX_PIXELS,
    open_image,
    portions,
    read_picture,
    read_rgb,
    viewed,
)
from harmon_eval.running.asking import ask_missing
from harmon_eval.running.engine import Local
from harmon_eval.running.progress import Progress
from harmon_eval.running.work import Asking
from harmon_eval.store.task_folder import TaskFolder

ROOT = Path(__file__).resolve().parents[2]
WHITE, RED = [255, 255, 255], [255, 0, 0]


def first(file: Path) -> list[int]:
    found: list[int] = read_rgb(file)[0, 0].tolist()
    return found


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "P", "RGB", "L"])
def test_what_is_transparent_is_white(tmp_path: Path, mode: str) -> None:
    """Also where the pixels below are black, and where one colour stands for transparent."""
    file = tmp_path / "a.png"
    if mode in ("RGBA", "LA"):
        Image.new(mode, (2, 2)).save(file)
    elif mode == "PA":
        file = tmp_path / "a.tiff"
        Image.new("RGBA", (2, 2)).save(file)
    else:
        Image.new(mode, (2, 2)).save(file, transparency=0 if mode != "RGB" else (0, 0, 0))
    assert first(file) == WHITE


def test_half_transparent_red_is_pink(tmp_path: Path) -> None:
    Image.new("RGBA", (2, 2), (255, 0, 0, 128)).save(tmp_path / "a.png")
    assert first(tmp_path / "a.png") == [255, 127, 127]
    # As clean-fid has it:
    assert read_rgb(tmp_path / "a.png", as_stored=True)[0, 0].tolist() == RED


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "I;16"])
def test_every_way_in_turns_a_picture_upright(tmp_path: Path, mode: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    file = tmp_path / "a.png"
    Image.new(mode, (4, 2)).save(file, exif=exif)
    sent = base64.b64decode(data_url(file).partition(",")[2])
    sizes = {read_picture(file).size, viewed(Embed(file)).size, Image.open(io.BytesIO(sent)).size}
    assert sizes == {(2, 4)} and read_rgb(file).shape == (4, 2, 3)
    assert read_rgb(file, as_stored=True).shape == (2, 4, 3)


def test_a_plain_picture_is_sent_byte_by_byte(tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg", "a.webp"):
        Image.new("RGB", (4, 2), "red").save(tmp_path / name)
        sent = base64.b64decode(data_url(tmp_path / name).partition(",")[2])
        assert sent == (tmp_path / name).read_bytes()


def test_of_an_animation_the_first_picture_is_sent(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (4, 2), color) for color in ("red", "blue")]
    for name in ("a.gif", "a.webp", "a.png"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
        sent = base64.b64decode(data_url(tmp_path / name).partition(",")[2])
        with Image.open(io.BytesIO(sent)) as image:
            assert image.format == "PNG" and not getattr(image, "is_animated", False)
            assert image.convert("RGB").getpixel((0, 0))[0] > 250  # type: ignore[index]


def test_a_pipe_is_no_picture_and_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(Unscorable, match=r"a\.png cannot be read as an image: it is no file"):
        open_image(tmp_path / "a.png")


@pytest.mark.parametrize(
    "content", [b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"", b"GIF89a", b"MZ\x90\0"]
)
def test_only_listed_formats_are_opened(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(Unscorable, match="cannot be read as an image"):
        open_image(tmp_path / "a.png")


def test_a_format_that_is_not_listed_is_named(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "a.tga")
    with pytest.raises(Unscorable, match="it is none of PNG, JPEG"):
        open_image(tmp_path / "a.tga")
    assert "EPS" not in FORMATS


@pytest.mark.parametrize("values", [[np.nan, 0], [-1, 0], [0, 1e6]])
def test_float_of_no_known_range_is_refused(tmp_path: Path, values: list[float]) -> None:
    Image.fromarray(np.array([values], dtype=np.float32)).save(tmp_path / "a.tiff")
    with pytest.raises(Unscorable, match=r"a.tiff has (NaN|values from)"):
        read_rgb(tmp_path / "a.tiff")


def test_no_other_place_opens_pictures() -> None:
    """Nor converts them: networks get what the reader gives."""
    allowed = {
        "harmon_eval/files/images.py": "the reader",
        "harmon_eval/files/views.py": "of a picture that was read",
        "harmon_eval/suites/mini/train_features.py": "made there",
        "harmon_eval/suites/mini/measure.py": "made there",
        "harmon_eval/trackers/tensorboard.py": "plots and pictures that were read",
        "tasks/linear_probe/mini.py": "made there",
        "model/processor.py": "a picture that any caller has opened",
        "model/train/sources.py": "the model imports nothing of the harness",
    }
    for folder in ("harmon_eval", "tasks", "model"):
        for file in (ROOT / folder).rglob("*.py"):
            name = str(file.relative_to(ROOT))
            text = file.read_text()
            if name.startswith(("harmon_eval/tasks/", "harmon_eval/model/")) or name in allowed:
                continue
            assert "Image.open(" not in text and '.convert("RGB")' not in text, name


# -- so much at a time ---------------------------------------------------------------------------


def test_portions_of_so_many_pixels(tmp_path: Path) -> None:
    files = []
    for number, side in enumerate((10, 10, 20, 5, 5, 5)):
        files.append(tmp_path / f"{number}.png")
        Image.new("RGB", (side, side)).save(files[-1])
    files.append(tmp_path / "missing.png")
    cut = [len(some) for some in portions(files, lambda file: [file], limit=210)]
    assert cut == [2, 1, 4]  # the third has more than the limit and comes alone
    assert list(portions([], lambda file: [file])) == []
    assert MAX_PIXELS == 2**26


class Watching(Responder):
    """Draws what lies in files, and notes how many at a time."""

    name, fingerprint = "watching", "1"

    def __init__(self, file: Path) -> None:
        self.file, self.batches = file, list[int]()

    def reads(self, request: object) -> list[Path]:
        return [self.file]

    def draw(self, requests: object) -> list[Image.Image]:
        self.batches.append(len(requests))  # type: ignore[arg-type]
        return [open_image(self.file) for _ in requests]  # type: ignore[attr-defined]


def test_a_batch_of_large_pictures_is_read_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, toy_task: Task
) -> None:
    Image.new("L", (100, 100)).save(tmp_path / "a.png")
    samples = [Sample(str(n), Draw("p", index=n), {}, "p") for n in range(7)]
    monkeypatch.setattr("harmon_eval.files.images.pixels_of", lambda file: 2**26)
    model = Watching(tmp_path / "a.png")
    folder = TaskFolder(tmp_path / "task")
    ask_missing(toy_task, Asking(model), Local(), folder, samples, 32, Progress("toy"))
    assert sum(model.batches) == 7 and max(model.batches) <= 2
    assert len(folder.recorded()) == 7


@pytest.fixture
def toy_task() -> Task:
    from harmon_eval.tasks.wise.task import TASK

    return TASK
