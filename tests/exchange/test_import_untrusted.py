"""Logs that nobody should trust: other versions, damaged and hostile ones."""

from __future__ import annotations

import base64
import io
import json
import shutil
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from harmon_eval.exchange.logs.lm_eval import _arguments

from .imported import LOGS, brought_in, refused


def test_a_log_of_another_version_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = json.loads((LOGS / "inspect" / "colours.json").read_text())
    (tmp_path / "log.json").write_text(json.dumps({**log, "version": 3}))
    assert "version '3' of inspect_ai's log format" in refused(
        tmp_path / "log.json", tmp_path / "run", capsys
    )
    (tmp_path / "results_2026-01-01T00-00-00.0.json").write_text('{"results": {}}')
    assert "not a result of lm-eval 0.4" in refused(
        tmp_path / "results_2026-01-01T00-00-00.0.json", tmp_path / "run", capsys
    )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("model_POPE.pkl", b"\x80\x04", "is a pickle"),
        ("log.json", b"[" * 100_000, "no sound JSON"),
        ("log.json", b'{"a": 1}', "holds no log that is known"),
        ("log.eval", b"PK", "no sound log of inspect_ai"),
        ("m_D.xlsx", b"PK", "no sound spreadsheet"),
        ("m_D.tsv", b"index\tanswer\n1\tA\n", "holds no log that is known"),
        ("log.txt", b"", "holds no log that is known"),
    ],
)
def test_what_is_no_log_is_refused(
    tmp_path: Path, name: str, content: bytes, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_bytes(content)
    assert said in refused(tmp_path / name, tmp_path / "run", capsys)


def test_an_archive_that_unpacks_beyond_all_memory_is_not_unpacked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from harmon_eval.exchange.logs import inspect_log

    monkeypatch.setattr(inspect_log, "MAX_FILE", 1000)
    with zipfile.ZipFile(tmp_path / "log.eval", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.json", "{}" + " " * 10_000)
    assert "it is not read" in refused(tmp_path / "log.eval", tmp_path / "run", capsys)


def test_no_file_that_a_log_names_is_opened_outside_the_folder_of_images(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(_png())
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "good.png").write_bytes(_png())
    shutil.copytree(LOGS / "lm-eval", tmp_path / "log")
    (file,) = (tmp_path / "log").glob("samples_sums_*")
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    rows[0]["doc"]["images"] = ["../secret.png", str(tmp_path / "secret.png")]
    rows[1]["doc"]["images"] = ["good.png"]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    images = ("--images", str(tmp_path / "images"))
    brought_in(tmp_path / "log", tmp_path / "run", *images)
    lines = (tmp_path / "run" / "imported" / "sums.jsonl").read_text().splitlines()
    assert [len(json.loads(line)["images"]) for line in lines] == [0, 1]


def _png() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (2, 2)).save(buffer, "PNG")
    return buffer.getvalue()


def test_a_picture_that_is_none_is_left_out(tmp_path: Path) -> None:
    log = json.loads((LOGS / "inspect" / "colours.json").read_text())
    bad = "data:image/png;base64," + base64.b64encode(b"<script>").decode()
    log["samples"][0]["input"] = [
        {
            "role": "user",
            "content": [{"type": "image", "image": bad}, {"type": "text", "text": "?"}],
        }
    ]
    (tmp_path / "log.json").write_text(json.dumps(log))
    brought_in(tmp_path / "log.json", tmp_path / "run")
    assert not list((tmp_path / "run" / "imported").rglob("*.png"))


def test_ids_and_names_of_a_log_lead_nowhere(tmp_path: Path) -> None:
    log = json.loads((LOGS / "inspect" / "colours.json").read_text())
    log["eval"]["task"] = "../../evil"
    log["samples"][0]["id"] = "../../../etc/passwd"
    (tmp_path / "log.json").write_text(json.dumps(log))
    run = brought_in(tmp_path / "log.json", tmp_path / "run")
    (name,) = run
    assert name == "vqa:imported/evil"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["log.json", "run"]


def test_two_logs_of_one_task_are_not_mixed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.json", "b.json"):
        shutil.copy(LOGS / "inspect" / "colours.json", tmp_path / name)
    assert "holds two logs of 'colours'" in refused(tmp_path, tmp_path / "run", capsys)


@pytest.mark.parametrize("value", [7, "text", None, True])
def test_arguments_that_are_no_list_hold_no_request(value: object) -> None:
    """A log is untrusted: a number there is no traceback."""
    assert _arguments(value) == []
    assert _arguments([["question", " yes"]]) == [("question", " yes")]
