"""Each field of a manifest, a result and the rows takes wrong values: one line, no traceback."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from harmon_eval.store.digests import checksum
from harmon_eval.store.durable import read_json

Call = Callable[..., Any]
DRAW = ("--model", "scripted", "--tasks", "toy_draw", "--output", "run")
WRONG = (None, True, -1, 10**30, 1e308, "x" * 2000, "../..", "\x1b[31m", [], [[1]], {}, {"a": []})
COMMANDS = (
    ("show", "run"),
    ("leaderboard", "run"),
    ("compare", "good", "run"),
    ("report", "run", "--output", "r.html"),
    ("mark", "run"),
)


def places(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a tree of JSON values."""
    if way:
        yield way
    inside = value.items() if isinstance(value, dict) else ()
    for name, below in inside:
        yield from places(below, (*way, name))


def changed(value: Any, way: tuple[Any, ...], new: Any) -> Any:
    whole = json.loads(json.dumps(value))
    at = whole
    for name in way[:-1]:
        at = at[name]
    if new is Ellipsis:
        del at[way[-1]]
    else:
        at[way[-1]] = new
    return whole


def put(file: Path, value: Any) -> None:
    """As anybody could write it, with the right checksum."""
    file.write_text(json.dumps({**value, "checksum": checksum(value)}))


@pytest.fixture
def good(call: Call, tmp_path: Path) -> Path:
    assert call(*DRAW, "--limit", 2).code == 0
    shutil.copytree(tmp_path / "run", tmp_path / "good")
    return tmp_path / "good"


def tried(call: Call, good: Path, commands: tuple[tuple[str, ...], ...]) -> None:
    for words in commands:
        done = call(*words)
        errors = [line for line in done.err.splitlines() if line.startswith("error:")]
        assert done.code in (0, 1, 2) and len(errors) <= 1, words
        assert "\x1b" not in done.err


@pytest.mark.parametrize("name", ["manifest.json", "toy_draw/metrics.json"])
def test_every_field_takes_every_wrong_value(
    call: Call, good: Path, tmp_path: Path, name: str
) -> None:
    value = read_json(good / name)
    for number, way in enumerate(places(value)):
        for new in (Ellipsis, WRONG[number % len(WRONG)], WRONG[(5 * number + 3) % len(WRONG)]):
            put(tmp_path / "run" / name, changed(value, way, new))
            tried(call, good, COMMANDS[:3] if number % 4 else COMMANDS[:4])
    shutil.copy(good / name, tmp_path / "run" / name)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"a":' * 500 + "1" + "}" * 500,
        '{"identity": NaN}',
        '{"identity": 1e999}',
        '{"identity": ' + "9" * 5000 + "}",
        "",
        "null",
        '"\\ud800"',
        "\ufeff{}",
    ],
)
def test_what_is_no_json_of_ours_is_one_line(
    call: Call, good: Path, tmp_path: Path, text: str
) -> None:
    (tmp_path / "run/.manifest-copy.json").unlink()
    for name in ("toy_draw/metrics.json", "manifest.json"):
        (tmp_path / "run" / name).write_text(text)
        for words in COMMANDS[:3]:
            done = call(*words)
            assert done.code == 2 and done.err.count("error:") == 1, words


def test_a_huge_manifest_is_not_read(call: Call, good: Path, tmp_path: Path) -> None:
    with (tmp_path / "run/manifest.json").open("wb") as file:
        file.truncate(2**27)
    (tmp_path / "run/.manifest-copy.json").unlink()
    done = call("show", "run")
    assert done.code == 2 and "more than" in done.err


@pytest.mark.parametrize("column", ["id", "group", "unscored", "correct"])
def test_rows_without_a_column_or_with_another_kind_of_it(
    call: Call, good: Path, tmp_path: Path, column: str
) -> None:
    rows = pd.read_parquet(good / "toy_draw/rows.parquet")
    if column not in rows:
        pytest.skip(f"no {column} here")
    for wrong in (
        rows.drop(columns=column),
        rows.assign(**{column: 7}),
        rows.assign(**{column: [["x"]] * len(rows)}),
        pd.concat([rows, rows]),
    ):
        wrong.to_parquet(tmp_path / "run/toy_draw/rows.parquet", index=False)
        tried(call, good, COMMANDS[2:4])
