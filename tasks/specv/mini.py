"""SpecV's files about shapes."""

from __future__ import annotations

import json
from pathlib import Path

from harmon_eval.tasks.checklist.mini import items


def make(folder: Path) -> None:
    for number, item in enumerate(items()):
        own = folder / "t2i" / ("layout" if number % 2 else "objects")
        own.mkdir(parents=True, exist_ok=True)
        questions = [
            {
                "id": int(point.id),
                "question": point.text,
                "category": point.kind.partition("/")[0],
                "subcategory": point.kind.partition("/")[2],
                "expected_answer": "Yes",
                "score": 5.0 * point.weight,
            }
            for point in item.points
        ]
        (own / f"{number}.json").write_text(json.dumps(questions), encoding="utf-8")
        (own / f"{number}.txt").write_text(item.prompt, encoding="utf-8")
