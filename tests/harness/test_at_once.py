"""What several processes make at once in the cache, and what is named by content."""

from __future__ import annotations

import base64
import errno
import io
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from harmon_eval import cli
from harmon_eval.core import UserError
from harmon_eval.files import question_files
from harmon_eval.files.cache import CHECKSUM, made_once
from harmon_eval.files.question_files import find_image, read_parquet, read_tsv, tsv_images
from harmon_eval.store.durable import write_all, write_whole
from harmon_eval.store.paths import UnsafePath

MAKING = """
import sys, time
from pathlib import Path
from harmon_eval.files.cache import made_once

def make(folder):
    for n in range(20):
        (folder / f"{n}.txt").write_text(str(n))
        time.sleep(0.002)
    with open(sys.argv[2], "a") as log:
        log.write("made\\n")

for _ in range(200):
    folder = made_once(Path(sys.argv[1]), make)
    assert (folder / "19.txt").read_text() == "19"
"""


def test_what_one_process_made_is_never_taken_away_by_another(tmp_path: Path) -> None:
    words = [sys.executable, "-c", MAKING, str(tmp_path / "data"), str(tmp_path / "log")]
    started = [subprocess.Popen(words, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    for process in started:
        assert not process.communicate(timeout=120)[1] and process.returncode == 0
    assert (tmp_path / "log").read_text() == "made\n"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data", "log"]


def test_what_is_damaged_is_made_again_once(tmp_path: Path) -> None:
    made: list[Path] = []

    def make(folder: Path) -> None:
        made.append(folder)
        time.sleep(0.05)
        (folder / "a.txt").write_text("whole")

    folder = made_once(tmp_path / "data", make)
    (folder / "a.txt").write_text("torn")
    threads = [threading.Thread(target=made_once, args=(folder, make)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 2 and (folder / "a.txt").read_text() == "whole"
    assert sorted(p.name for p in folder.iterdir()) == ["a.txt", CHECKSUM]


def test_more_files_than_may_be_open_are_written(tmp_path: Path) -> None:
    files = {tmp_path / "images" / f"{n % 40}" / f"{n:04d}.png": b"x" * 10 for n in range(1108)}
    limited = (
        "import resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))\n"
        "from pathlib import Path\n"
        "from harmon_eval.store.durable import write_all\n"
        "root = Path(sys.argv[1])\n"
        "names = (root / 'images' / str(n % 40) / f'{n:04d}.png' for n in range(1108))\n"
        "write_all({name: b'x' * 10 for name in names}, root)\n"
    )
    done = subprocess.run([sys.executable, "-c", limited, str(tmp_path)], capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    assert all(file.read_bytes() == data for file, data in files.items())
    assert len([p for p in tmp_path.rglob("*") if p.is_file()]) == 1108


def picture() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), (9, 8, 7)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("index", ["../../../escaped", "/tmp/escaped", "a/b", "x" * 300, "..", "é"])
def test_the_index_of_a_table_writes_only_into_the_cache(
    tmp_path: Path, index: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARMON_EVAL_CACHE", str(tmp_path / "cache"))
    table = tmp_path / "MMBench_DEV_EN.tsv"
    cell = base64.b64encode(picture()).decode()
    table.write_text(f"index\tquestion\timage\n{index}\tWhat?\t{cell}\n7\tWhy?\t{cell}\n")
    images = tsv_images(table, read_tsv(table))
    assert set(images) == {index, "7"} and images["7"].name == "7.png"
    for image in images.values():
        assert image.read_bytes() == picture()
        assert image.resolve().is_relative_to(tmp_path / "cache/images")
    outside = [p for p in tmp_path.rglob("*") if p.is_file() and "cache" not in p.parts]
    assert outside == [table]


def test_a_table_that_unpacks_to_more_than_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A million equal texts are a few kilobytes of Parquet."""
    monkeypatch.setattr(question_files, "MAX_TABLE", 2**20)
    text = pa.array(["yes" * 1000] * 100_000)
    pq.write_table(pa.table({"question": text}), tmp_path / "q.parquet")
    assert (tmp_path / "q.parquet").stat().st_size < 2**17
    with pytest.raises(UserError, match="unpacks to more than"):
        read_parquet(tmp_path / "q.parquet")


def test_names_of_300_characters_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    long = "n" * 300
    with pytest.raises(UserError, match=r"cannot be (found|read)"):
        find_image(f"{long}.png", [tmp_path])
    for words in (
        ["mark", long],
        ["show", long],
        ["--model", "scripted", "--tasks", "geneval", "--limit", "1", "--output", long],
        ["--model", f"folder:{long}", "--tasks", "geneval", "--limit", "1"],
        ["--model", "scripted", "--tasks", f"vqa:{long}.jsonl", "--output", "r"],
        ["--model", "scripted", "--tasks", "geneval", "--data", long, "--output", "r"],
    ):
        assert cli.main(words) == 2
        errors = capsys.readouterr().err.splitlines()
        assert len(errors) == 1 and errors[0].startswith("error:"), words


def test_a_write_never_leaves_its_root(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (tmp_path / "outside").mkdir()
    root.mkdir()
    (root / "link").symlink_to("../outside")
    for path in (root / "link/a", root / "../outside/a", tmp_path / "outside/a", root / "link"):
        if path != root / "link":
            with pytest.raises(UnsafePath):
                write_whole(path, "x", root)
    write_whole(root / "link", "x", root)  # a link is replaced, not followed
    assert not (root / "link").is_symlink() and not list((tmp_path / "outside").iterdir())
    assert not [p for p in root.iterdir() if p.name.endswith(".tmp")]


def test_no_room_leaves_no_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_all({tmp_path / "a/b.png": b"x", tmp_path / "c.png": b"y"})
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]
