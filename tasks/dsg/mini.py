"""DSG's file about shapes."""

from __future__ import annotations

import csv
from pathlib import Path

from harmon_eval.tasks.checklist.mini import items
from harmon_eval.tasks.dpg.mini import COLUMNS


def make(folder: Path) -> None:
    with (folder / "dsg-1k-anns.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for number, item in enumerate(items()):
            for point in item.points:
                broad, _, fine = point.kind.partition("/")
                detail = f"{broad} - {fine}" if fine else broad
                dependency = ",".join(point.parents) or "0"
                question = (f"shapes{number}", item.prompt, "", point.id)
                kind = (dependency, broad, detail, f"{detail} (shape)")
                writer.writerow((*question, *kind, point.text))
