"""The neutral format of checklists: ``checklist.jsonl`` and, beside it, ``checklist.toml``.

Each line of the first is an item: a prompt and its points. The second says how to ask about the
points and how to add them up. Both are described in docs/checklists.md.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from harmon_eval.core import UserError
from harmon_eval.files.question_files import placed_json_rows, read_text
from harmon_eval.settings import did_you_mean

ITEMS, PROTOCOL = "checklist.jsonl", "checklist.toml"
YES, NO = "yes", "no"
MOST_IMAGES = 1000  # of a prompt
WEIGHTS = (1e-6, 1e6)
ITEM_KEYS = ("id", "prompt", "group", "images", "points", "note")
POINT_KEYS = ("id", "text", "expect", "forms", "parents", "weight", "kind")


@dataclass(frozen=True)
class Point:
    """One yes/no point about an image, or a question with a word for an answer (``expect``).

    ``parents`` are ids of points of the same item without which this one is worth nothing.
    ``kind`` is a path with ``/``: totals are given for each prefix of it."""

    id: str
    text: str
    expect: str = YES
    forms: tuple[str, ...] = ()
    parents: tuple[str, ...] = ()
    weight: float = 1.0
    kind: str = ""

    @property
    def kinds(self) -> tuple[str, ...]:
        """Every prefix of ``kind``, the shortest first; none for a point without one."""
        parts = self.kind.split("/") if self.kind else []
        return tuple("/".join(parts[:end]) for end in range(1, len(parts) + 1))


@dataclass(frozen=True)
class Item:
    """A prompt with its points in file order. ``group``: what totals can be taken by."""

    id: str
    points: tuple[Point, ...]
    prompt: str = ""
    group: Mapping[str, str] = field(default_factory=dict)
    images: int | None = None
    note: str = ""


def read_items(file: Path) -> list[Item]:
    """The items of a file, checked. Raises UserError that names the line and what is wrong."""
    items = []
    for where, row in placed_json_rows(file):
        items.append(item_of(row, where))
    if not items:
        raise UserError(f"{file} holds no items")
    check_items(items, str(file))
    return items


def check_prompts(file: Path, items: Sequence[Item]) -> None:
    """Raises UserError that names the line of the first item of a file without a prompt."""
    for number, item in enumerate(items):
        if not item.prompt.strip():
            where, _ = placed_json_rows(file)[number]
            raise UserError(f"{where}: the prompt is empty: say what is to be drawn")


def check_items(items: Sequence[Item], where: str) -> None:
    """Raises UserError for ids that occur twice or are no plain path segments, for items without
    points, and for parents that are missing, the point itself, or part of a circle."""
    seen: set[str] = set()
    for item in items:
        own = f"{where}, item {item.id!r}"
        if not re.fullmatch(r"[\w.-][\w .=+-]{0,119}", item.id) or item.id.strip(". ") == "":
            raise UserError(f"{own}: an id may hold letters, digits and ._-=+, at most 120")
        if item.id in seen:
            raise UserError(f"{own} occurs twice")
        seen.add(item.id)
        if not item.points:
            raise UserError(f"{own} has no points")
        if empty := [point.id for point in item.points if not point.text.strip()]:
            raise UserError(f"{own}, point {empty[0]}: its text is empty")
        check_parents(item.points, own)


def check_parents(points: Sequence[Point], where: str) -> None:
    """Raises UserError that names the point whose parents cannot be followed."""
    by_id = {point.id: point for point in points}
    if len(by_id) < len(points):
        ids = [point.id for point in points]
        twice = next(name for name in ids if ids.count(name) > 1)
        raise UserError(f"{where}: the point {twice} occurs twice")
    for point in points:
        for parent in point.parents:
            if parent not in by_id:
                raise UserError(f"{where}, point {point.id}: there is no point {parent}")
    done: set[str] = set()
    for point in points:
        path, stack = set[str](), [(point.id, False)]
        while stack:
            name, finished = stack.pop()
            if finished:
                path.discard(name)
                done.add(name)
            elif name in path:
                raise UserError(f"{where}, point {name}: it depends on itself")
            elif name not in done:
                path.add(name)
                stack.append((name, True))
                stack += [(parent, False) for parent in by_id[name].parents]


def _known(row: Mapping[str, Any], keys: Sequence[str], where: str) -> None:
    for key in row:
        if key not in keys:
            raise UserError(f"{where}: {key!r} is not known: {did_you_mean(str(key), keys)}")


def item_of(row: Mapping[str, Any], where: str) -> Item:
    """An item of a row, as in ``checklist.jsonl``. Raises UserError."""
    _known(row, ITEM_KEYS, where)
    points, group, images = row.get("points"), row.get("group", {}), row.get("images")
    if row.get("id") in (None, ""):
        raise UserError(f"{where}: the field 'id' is missing")
    if not isinstance(points, list) or not all(isinstance(p, dict) for p in points):
        raise UserError(f"{where}: 'points' must be a list of objects")
    if not isinstance(group, dict):
        raise UserError(f'{where}: \'group\' must be an object, such as {{"length": "short"}}')
    if images is not None and (type(images) is not int or not 1 <= images <= MOST_IMAGES):
        raise UserError(f"{where}: 'images' must be a whole number from 1 to {MOST_IMAGES}")
    if odd := [n for n, v in group.items() if not isinstance(v, str | int | float)]:
        raise UserError(f"{where}: the group {odd[0]!r} must be a text or a number")
    return Item(
        id=str(row["id"]),
        points=tuple(_point(p, f"{where}, point {n}") for n, p in enumerate(points, start=1)),
        prompt=_text(row, "prompt", where),
        group={str(name): str(value) for name, value in group.items()},
        images=images,
        note=_text(row, "note", where),
    )


def _text(row: Mapping[str, Any], key: str, where: str) -> str:
    value = row.get(key, "")
    if not isinstance(value, str):
        raise UserError(f"{where}: {key!r} must be a text, not {str(value)[:40]!r}")
    return value


def _point(row: Mapping[str, Any], where: str) -> Point:
    _known(row, POINT_KEYS, where)
    text = _text(row, "text", where).strip()
    if not text or row.get("id") in (None, ""):
        raise UserError(f"{where}: it needs an 'id' and a 'text'")
    weight = row.get("weight", 1.0)
    if type(weight) not in (int, float):
        raise UserError(f"{where}: 'weight' must be a number above 0, not {weight!r}")
    check_weight(weight, f"{where}: 'weight' {weight!r}")
    forms, parents = row.get("forms", []), row.get("parents", [])
    if not isinstance(forms, list) or not isinstance(parents, list):
        raise UserError(f"{where}: 'forms' and 'parents' must be lists")
    expect = _text({"expect": YES, **row}, "expect", where).strip()
    if not expect:
        raise UserError(f"{where}: 'expect' is empty: leave it out for yes")
    if forms and expect.lower() in (YES, NO):
        raise UserError(f"{where}: 'forms' are for an expected word, not for {expect}")
    return Point(
        id=str(row["id"]),
        text=text,
        expect=expect.lower() if expect.lower() in (YES, NO) else expect,
        forms=tuple(map(str, forms)),
        parents=tuple(map(str, parents)),
        weight=float(weight),
        kind=_text(row, "kind", where).strip("/ "),
    )


def check_weight(weight: float, what: str) -> None:
    """Raises UserError for a weight that is not in ``WEIGHTS``: with larger ones a sum could be
    infinite, and the score no number."""
    least, most = WEIGHTS
    if not least <= weight <= most:
        raise UserError(f"{what} must be a number above 0, from {least:f} to {most:,.0f}")


def line(item: Item) -> str:
    """The item as a line of ``checklist.jsonl``; what is as by default is left out."""
    points = [
        {key: value for key, value in asdict(point).items() if value != getattr(Point, key, None)}
        for point in item.points
    ]
    own: dict[str, Any] = {"id": item.id, "prompt": item.prompt, "group": item.group}
    own["points"] = points
    if item.images is not None:
        own["images"] = item.images
    if item.note:
        own["note"] = item.note
    return json.dumps(own, ensure_ascii=False)


def read_protocol(file: Path) -> dict[str, Any]:
    """The tables of ``checklist.toml``. Raises UserError for what is no TOML."""
    try:
        return tomllib.loads(read_text(file))
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{file} is no TOML ({error}): mend it") from None
