"""Images that something else drew: matched by prompt and index, nothing trusted."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from harmon_eval import registry
from harmon_eval.adapters.folder import FolderResponder, Settings, open_model
from harmon_eval.core import Draw, Unscorable, UserError

Call = Callable[..., Any]


def picture(path: Path, color: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), color).save(path)


def drawn(folder: Path, prompt: str, index: int = 0) -> tuple[int, ...] | str:
    (image,) = FolderResponder(folder).draw([Draw(prompt, index=index)])
    if isinstance(image, Exception):
        assert isinstance(image, Unscorable)
        return str(image)
    return tuple(int(v) for v in np.asarray(image.convert("RGB"))[0, 0])


RED, LIME, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def test_genevals_layout_is_matched_by_prompt_and_sorted_index(tmp_path: Path) -> None:
    for number, prompt in (("00000", "a dog"), ("00007", "two cats")):
        picture(tmp_path / number / "samples" / "0000.png", "red" if prompt == "a dog" else "blue")
        (tmp_path / number / "metadata.jsonl").write_text(
            json.dumps(
                {
                    "tag": "single_object",
                    "include": [{"class": "dog", "count": 1}],
                    "prompt": prompt,
                }
            )
        )
    picture(tmp_path / "00000" / "samples" / "0001.png", "lime")
    assert drawn(tmp_path, "a dog") == RED
    assert drawn(tmp_path, "a dog", 1) == LIME
    assert drawn(tmp_path, "two cats") == BLUE
    assert drawn(tmp_path, "two cats", 1) == "the folder has 1 image of this prompt"
    assert drawn(tmp_path, "a horse") == "the folder has 0 images of this prompt"


CSV = 'file,prompt\nb.png,"a, ""dog"""\na.png,"a, ""dog"""\nsub/c.png,"two\nlines"\n'
ENTRIES = [("b.png", 'a, "dog"'), ("a.png", 'a, "dog"'), ("sub/c.png", "two\nlines")]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("prompts.csv", CSV),
        ("prompts.csv", "\ufeff" + CSV.replace("\n", "\r\n").replace("two\r\n", "two\n")),
        ("prompts.json", json.dumps(dict(ENTRIES))),
        ("prompts.json", json.dumps([{"file_name": f, "prompt": p} for f, p in ENTRIES])),
        ("prompts.jsonl", "\n".join(json.dumps({"image": f, "prompt": p}) for f, p in ENTRIES)),
    ],
)
def test_a_plain_folder_with_a_list_of_prompts(tmp_path: Path, name: str, text: str) -> None:
    for file, color in (("a.png", "red"), ("b.png", "lime"), ("sub/c.png", "blue")):
        picture(tmp_path / file, color)
    (tmp_path / name).write_text(text, encoding="utf-8", newline="")
    assert drawn(tmp_path, 'a, "dog"') == RED
    assert drawn(tmp_path, 'a, "dog"', 1) == LIME
    assert drawn(tmp_path, "two\nlines") == BLUE


def test_mjhqs_layout(tmp_path: Path) -> None:
    picture(tmp_path / "people" / "k1.png", "red")
    (tmp_path / "meta_data.json").write_text(
        json.dumps(
            {
                "k1": {"category": "people", "prompt": "a man"},
                "k2": {"category": "people", "prompt": "a woman"},
            }
        )
    )
    assert drawn(tmp_path, "a man") == RED
    assert "k2 cannot be read" in str(drawn(tmp_path, "a woman"))


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("prompts.csv", "picture,text\na.png,dog\n", "needs the fields file and prompt"),
        ("prompts.json", "{", "cannot be read"),
        ("prompts.json", '["a.png"]', "needs the fields file and prompt"),
        ("prompts.csv", "file,prompt\n../secret.png,dog\n", "lies outside"),
        ("prompts.csv", "file,prompt\nlink.png,dog\n", "lies outside"),
        ("prompts.csv", "file,prompt\ngone.png,dog\n", "holds no images with prompts"),
        ("notes.txt", "", "holds no images with prompts"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, name: str, text: str, words: str) -> None:
    picture(tmp_path / "secret.png", "red")
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    (folder / name).write_text(text)
    with pytest.raises(UserError, match=words):
        FolderResponder(folder)


def bomb(path: Path) -> None:
    """A PNG of a few bytes that says it has 60,000 x 60,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + content)


def test_a_bad_image_is_unscored_with_its_reason_and_the_others_are_scored(
    call: Call, tmp_path: Path
) -> None:
    images = tmp_path / "drawn"
    lines = ["file,prompt"]
    for color in ("red", "green", "blue"):
        for prompt in range(12):
            for index in range(2):
                name = f"{color}-{prompt}-{index}.png"
                picture(images / name, "lime" if color == "green" else color)
                lines.append(f"{name},{color} picture {prompt}")
    (images / "prompts.csv").write_text("\n".join(lines))
    bomb(images / "red-0-0.png")
    (images / "red-1-1.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    (images / "blue-3-0.png").unlink()
    done = call("--model", f"folder:{images}", "--tasks", "toy_draw", "--output", "run")
    assert done.code == 1
    result = json.loads((tmp_path / "run/toy_draw/metrics.json").read_text())
    assert (result["n"], result["total"]) == (69, 72)
    assert result["metrics"]["accuracy"] == 1.0
    assert result["provenance"]["model"]["settings"] == {"recipe": "unknown"}
    rows = pd.read_parquet(tmp_path / "run/toy_draw/rows.parquet").set_index("id")
    assert "refused" in rows.loc["red-0/samples/0000", "unscored"]
    assert "cannot be read" in rows.loc["red-1/samples/0001", "unscored"]


def test_settings_that_nothing_would_follow_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no setting 'cfg' \(the images are drawn already\)"):
        registry.model(f"folder:{tmp_path}", {"cfg": 3.0})
    with pytest.raises(UserError, match="needs a path"):
        open_model("", Settings())


def test_other_images_have_another_fingerprint(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", "red")
    (tmp_path / "prompts.json").write_text('{"a.png": "dog"}')
    before = FolderResponder(tmp_path).fingerprint
    assert FolderResponder(tmp_path).fingerprint == before
    (tmp_path / "prompts.json").write_text('{"a.png": "cat"}')
    assert FolderResponder(tmp_path).fingerprint != before


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("metadata.jsonl", '{"file_name": "A.png", "text": "a dog"}\n'),
        ("metadata.csv", "file_name,caption\nA.png,a dog\n"),
        ("prompts.csv", "File,Prompt\nA.png,a dog\n"),
        ("prompts.csv", "file,prompt\nA,a  dog \n"),
    ],
)
def test_lists_as_others_call_them(tmp_path: Path, name: str, text: str) -> None:
    picture(tmp_path / "A.png", "red")
    (tmp_path / name).write_text(text)
    assert drawn(tmp_path, "a dog") == RED


def test_a_list_that_is_no_utf8_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "prompts.csv").write_bytes("file,prompt\na.png,café\n".encode("cp1252"))
    with pytest.raises(UserError, match="save it as UTF-8"):
        FolderResponder(tmp_path)
