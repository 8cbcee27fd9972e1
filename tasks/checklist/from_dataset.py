"""Prompts of a dataset as a checklist: ``checklist:datasets:NAME?prompt=caption&points=questions``.

``points`` holds a list of questions, or of objects as in ``checklist.jsonl``, or that as JSON text.
Without such a column, each prompt has one point: whether the image shows it.
"""

from __future__ import annotations

import json
import logging
import re
from typing import Any

from harmon_eval.core import UserError
from harmon_eval.files.hub_datasets import PREFIX, dataset_table
from harmon_eval.files.question_files import read_parquet
from harmon_eval.store.digests import sha256_of
from harmon_eval.tasks.checklist.files import Item, check_items, item_of

logger = logging.getLogger(__name__)
COLUMNS = {
    "prompt": ("prompt", "Prompt", "caption", "text"),
    "points": ("points", "questions"),
    "id": ("id",),
    "group": ("group", "category", "tag"),
}
WHOLE = 'Does this image show "{}"?'


def items_of_dataset(spec: str, fetching: bool) -> list[Item]:
    """Raises UserError."""
    file = dataset_table(spec, COLUMNS, fetching, f"checklist:{PREFIX}{spec}")
    rows = read_parquet(file)
    if "prompt" not in rows[0]:
        raise UserError(f"{PREFIX}{spec} has no column of prompts: add ?prompt=COLUMN")
    if "points" not in rows[0]:
        logger.warning("%s has no points: each prompt as a whole is asked about", spec)
    items = [_item(row, number, spec) for number, row in enumerate(rows)]
    check_items(items, f"{PREFIX}{spec}")
    return items


def _item(row: dict[str, Any], number: int, spec: str) -> Item:
    where = f"{PREFIX}{spec}, row {number + 1}"
    prompt = str(row["prompt"] or "").strip()
    if not prompt:
        raise UserError(f"{where}: the prompt is empty")
    group = row.get("group")
    return item_of(
        {
            "id": _id(row.get("id"), number),
            "prompt": prompt,
            "group": {} if group is None else {"group": str(group)},
            "points": _points(row.get("points"), prompt, where),
        },
        where,
    )


def _points(value: Any, prompt: str, where: str) -> list[dict[str, Any]]:
    if isinstance(value, str) and value.strip().startswith("["):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise UserError(f"{where}: the points are no sound JSON") from None
    if value is None:
        value = [WHOLE.format(prompt)]
    listed = value if isinstance(value, list) else [value]
    return [_point(each, place, where) for place, each in enumerate(listed, start=1)]


def _point(value: Any, place: int, where: str) -> dict[str, Any]:
    if isinstance(value, str) and value.strip().startswith("{"):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise UserError(f"{where}: point {place} is no sound JSON") from None
    return value if isinstance(value, dict) else {"id": place, "text": str(value)}


def _id(value: Any, number: int) -> str:
    name = re.sub(r"[^\w.=+-]+", "-", str(value or "")).strip("-. ")
    if not name:
        return f"{number:06d}"
    return name if len(name) <= 100 else f"{name[:60]}-{sha256_of(name)[:16]}"
