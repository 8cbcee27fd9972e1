"""UniGenBench's file about shapes."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from harmon_eval.tasks.checklist.mini import items

KINDS = {
    "object": "World Knowledge",
    "attribute/color": "Attribute - Color",
    "attribute/background": "Style",
    "relation/spatial": "Entity Layout - Two-Dimensional Space",
}


def make(folder: Path, file: str, language: str, keys: tuple[str, str]) -> None:
    with (folder / file).open("w", encoding="utf-8", newline="") as table:
        writer = csv.writer(table)
        writer.writerow(("index", f"prompt_{language}", f"sub_dims_{language}"))
        for number, item in enumerate(items()):
            # No kind twice, as in the original.
            own = {KINDS[point.kind]: point.text for point in item.points}
            points = {keys[0]: list(own), keys[1]: list(own.values())}
            writer.writerow((number, item.prompt, json.dumps(points, ensure_ascii=False)))
