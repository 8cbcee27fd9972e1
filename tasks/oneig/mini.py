"""OneIG-Bench's files about shapes and pages."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

from harmon_eval.tasks.checklist.mini import items
from harmon_eval.tasks.longtext.mini import row as page
from harmon_eval.tasks.oneig.files import ALIGNED, CLASSES, PROMPT_COLUMNS, PROMPTS, TEXTS

TEXTS_MADE = 8


def make(folder: Path, language: str) -> None:
    categories = {cls: category for category, cls in CLASSES.items()}
    prompts: list[tuple[str, str, str]] = []
    (folder / "Q_D").mkdir()
    for start, cls in enumerate(ALIGNED[language]):
        table = {}
        for number, item in enumerate(items()[start::3]):
            prompts.append((categories[cls], f"{number:03d}", item.prompt))
            # Both are texts, as in the official files; a point without parents has the parent 0.
            table[f"{number:03d}"] = {
                "question": json.dumps({int(p.id): p.text for p in item.points}),
                "dependency": json.dumps(
                    {int(p.id): [int(i) for i in p.parents] or [0] for p in item.points}
                ),
            }
        name = f"{cls}_zh.json" if language == "zh" else f"{cls}.json"
        (folder / "Q_D" / name).write_text(json.dumps(table), encoding="utf-8")
    texts = []
    for number in range(TEXTS_MADE):
        made = page(number, language)
        prompts.append((categories["text"], f"{number:03d}", str(made["prompt"])))
        texts.append((f"{number:03d}", str(made["text"])))
    _write(folder / TEXTS[language], ("id", "text_content"), texts)
    _write(folder / PROMPTS[language], ("category", "id", PROMPT_COLUMNS[language]), prompts)


def _write(file: Path, head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    with file.open("w", encoding="utf-8", newline="") as opened:
        csv.writer(opened).writerows([head, *rows])
