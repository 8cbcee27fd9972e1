"""The run folder: every file whole or absent, every line of the log whole or not counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from harmon_eval.core import Answer, Ask, Draw, Sample, UserError
from harmon_eval.store.durable import write_whole
from harmon_eval.store.run_folder import RunFolder, differing
from harmon_eval.store.task_folder import TaskFolder, check_sample_id

SAME_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize(
    "sample_id",
    ["00000/samples/0000", "people/a1b2", "naïve-名前", "a b (c)", "x" * 200, "a.b/c..d"],
)
def test_plain_relative_paths_are_sample_ids(sample_id: str) -> None:
    check_sample_id(sample_id)


@pytest.mark.parametrize(
    "sample_id",
    [
        "",
        "/etc/x",
        "../x",
        "a/../x",
        "a/./x",
        "a//b",
        "a/",
        "a\\b",
        "a\nb",
        "a\0b",
        "~/../x",
        "C:x",
        "\x1b[31m",
        "a\u202eb",
        "x" * 300,
        "/".join(["abc"] * 150),
        "..",
        ". ",
        "名" * 100,
    ],
)
def test_anything_that_is_more_than_a_plain_path_is_refused(sample_id: str) -> None:
    with pytest.raises(UserError, match="plain relative path"):
        check_sample_id(sample_id)


@given(st.text(max_size=60))
@SAME_FOLDER
def test_an_accepted_id_stays_below_the_images(tmp_path: Path, sample_id: str) -> None:
    folder = TaskFolder(tmp_path)
    try:
        check_sample_id(sample_id)
    except UserError:
        return
    images = (tmp_path / "images").resolve()
    assert folder.image_file(sample_id).resolve().is_relative_to(images)


@given(
    st.dictionaries(st.from_regex(r"[a-z]{1,5}", fullmatch=True), st.text(), max_size=6), st.data()
)
@SAME_FOLDER
def test_a_log_cut_anywhere_keeps_every_whole_line_and_can_be_continued(
    tmp_path_factory: pytest.TempPathFactory, replies: dict[str, str], data: st.DataObject
) -> None:
    folder = TaskFolder(tmp_path_factory.mktemp("task"))
    for sample_id, reply in replies.items():
        folder.record({sample_id: reply})
    log = folder.path / "responses.jsonl"
    content = log.read_bytes() if replies else b""
    kept = data.draw(st.integers(0, len(content)))
    whole = [json.loads(line) for line in content[:kept].split(b"\n")[:-1]]
    if replies:
        log.write_bytes(content[:kept])
    before = folder.recorded()
    for entry in whole:
        assert before[entry["id"]]["reply"] == replies[entry["id"]]
    folder.record({"later": "yes"})
    after = folder.recorded()
    assert after == {**before, "later": {"id": "later", "reply": "yes"}}


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "CMYK", "I;16", "1"])
def test_an_image_of_any_mode_is_stored_as_a_png_and_read_back(tmp_path: Path, mode: str) -> None:
    folder, sample = TaskFolder(tmp_path), Sample("a/b", Draw("p"), {}, "a")
    folder.record({"a/b": Image.new(mode, (4, 4))})
    answer = folder.answer(sample, folder.recorded()["a/b"])
    assert answer is not None
    assert np.asarray(Image.open(answer.image).convert("RGB")).shape == (4, 4, 3)


def test_the_orientation_that_came_with_an_image_is_kept(tmp_path: Path) -> None:
    image = Image.new("RGB", (4, 2))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.jpg", exif=exif)
    folder = TaskFolder(tmp_path)
    with Image.open(tmp_path / "turned.jpg") as turned:
        folder.record({"a": turned})
    with Image.open(folder.image_file("a")) as stored:
        assert stored.getexif()[0x0112] == 6


@pytest.mark.parametrize(
    "response", ["", "two\nlines 🟥 \u2028 \x1b", "ja" * 5000, np.arange(4, dtype=np.float32)]
)
def test_replies_and_vectors_come_back_as_they_were(tmp_path: Path, response: Any) -> None:
    folder, sample = TaskFolder(tmp_path), Sample("a", Ask("q"), {}, "a")
    folder.record({"a": response})
    answer = folder.answer(sample, folder.recorded()["a"])
    assert isinstance(answer, Answer)
    np.testing.assert_array_equal(answer.response, response)


def test_errors_are_asked_again(tmp_path: Path) -> None:
    folder, sample = TaskFolder(tmp_path), Sample("a", Ask("q"), {}, "a")
    folder.record({"a": ValueError("no")})
    entry = folder.recorded()["a"]
    assert entry["error"] == "ValueError: no" and folder.answer(sample, entry) is None
    folder.record({"a": "yes"})
    assert folder.recorded()["a"] == {"id": "a", "reply": "yes"}


def test_a_file_is_replaced_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_whole(tmp_path / "f", "before")

    def failing(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("harmon_eval.store.durable.os.fsync", failing)
    with pytest.raises(OSError, match="No space"):
        write_whole(tmp_path / "f", "after")
    assert [p.read_text() for p in tmp_path.iterdir()] == ["before"]


def test_differences_name_the_setting() -> None:
    old = {"model": {"cfg": 3.0, "size": 64}, "seed": 0}
    new = {"model": {"cfg": 2.0, "size": 64}, "seed": 0, "suite": "mini"}
    assert list(differing(old, new)) == ["model.cfg: 3.0 -> 2.0", "suite: none -> mini"]


def test_a_run_that_never_began_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError), RunFolder(tmp_path / "run").locked():
        raise UserError("unknown model")
    assert not (tmp_path / "run").exists()
