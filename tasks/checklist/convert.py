"""A checklist from a table with one point a row, as spreadsheets write it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from harmon_eval.core import UserError
from harmon_eval.files.question_files import read_separated
from harmon_eval.metrics.text import counted
from harmon_eval.settings import did_you_mean
from harmon_eval.tasks.checklist.files import Item, Point, check_items, check_weight, line

COLUMNS = ("id", "prompt", "point", "point_id", "expect", "forms", "parents", "weight", "kind")
GROUP, NOTE = "group:", "note"


def convert(table: Path, target: Path) -> str:
    """Write ``target`` from a CSV or TSV file, and return what was written in a sentence.

    A row is a point; rows with the same ``id`` (or, without one, the same ``prompt``) belong to one
    item. ``parents`` and ``forms`` are lists with semicolons, ``group:NAME`` columns groups. Raises
    UserError for unknown columns, and if ``target`` exists."""
    if target.exists():
        raise UserError(f"{target} exists: give another name, or delete it")
    rows = read_separated(table)
    if not any(map(_filled, rows)):
        raise UserError(f"{table} holds no rows")
    for column in rows[0]:
        if column not in (*COLUMNS, NOTE) and not column.startswith(GROUP):
            known = (*COLUMNS, NOTE, f"{GROUP}NAME")
            raise UserError(f"{table}: {column!r} is not known: {did_you_mean(column, known)}")
    own: dict[str, list[Mapping[str, str]]] = {}
    for number, row in enumerate(rows, start=2):
        if not _filled(row):  # spreadsheets write such rows at the end
            continue
        key = (row.get("id") or row.get("prompt") or "").strip()
        if not key or not (row.get("point") or "").strip():
            raise UserError(f"{table}, row {number}: it needs an id or a prompt, and a point")
        rows_of = own.setdefault(key, [])
        for column in filter(_of_item, row):
            if (above := _told(rows_of, column)) and _cell(row, column) not in ("", above):
                raise UserError(
                    f"{table}, row {number}: item {key[:60]!r} has another {column} above "
                    f"({above[:60]!r}): give all rows of an item the same, or leave it empty"
                )
        rows_of.append(row)
    items = [_item(key, n, points, table) for n, (key, points) in enumerate(own.items())]
    check_items(items, str(table))
    for item in items:
        if not item.prompt:
            raise UserError(f"{table}, item {item.id!r} has no prompt: say what is to be drawn")
    target.write_text("".join(line(item) + "\n" for item in items), encoding="utf-8")
    count = sum(len(item.points) for item in items)
    return f"{target}: {counted(len(items), 'item')}, {counted(count, 'point')}"


def _of_item(column: str) -> bool:
    """Whether a column describes the item, not one of its points."""
    return column in ("prompt", NOTE) or column.startswith(GROUP)


def _cell(row: Mapping[str, str], column: str) -> str:
    return (row.get(column) or "").strip()


def _filled(row: Mapping[str, str]) -> bool:
    return any(_cell(row, column) for column in row)


def _told(rows: list[Mapping[str, str]], column: str) -> str:
    """What the first row of an item that gives something says."""
    return next(filter(None, (_cell(row, column) for row in rows)), "")


def _item(key: str, number: int, rows: list[Mapping[str, str]], table: Path) -> Item:
    first = rows[0]
    points = []
    for place, row in enumerate(rows, start=1):
        where = f"{table}, item {key[:60]!r}, point {place}: the weight {row.get('weight')!r}"
        try:
            weight = float(row.get("weight") or 1)
        except ValueError:
            raise UserError(f"{where} is no number: write it like 1.5") from None
        check_weight(weight, where)
        expect = (row.get("expect") or "yes").strip()
        points.append(
            Point(
                id=(row.get("point_id") or str(place)).strip(),
                text=row["point"].strip(),
                expect=expect.lower() if expect.lower() in ("yes", "no") else expect,
                forms=_listed(row.get("forms")),
                parents=_listed(row.get("parents")),
                weight=weight,
                kind=(row.get("kind") or "").strip("/ "),
            )
        )
    name = key if first.get("id") else f"{number:04d}"
    return Item(
        id=re.sub(r"[^\w .=+-]", "-", name),
        points=tuple(points),
        prompt=_told(rows, "prompt"),
        group={c.removeprefix(GROUP): _told(rows, c) for c in first if c.startswith(GROUP)},
        note=_told(rows, NOTE),
    )


def _listed(cell: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in (cell or "").split(";") if part.strip())
