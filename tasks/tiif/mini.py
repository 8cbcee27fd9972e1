"""TIIF-Bench's files about shapes."""

from __future__ import annotations

import json
from pathlib import Path

from harmon_eval.tasks.checklist.mini import items

TYPES = ("shape+color", "2d_spatial_relation", "real_world", "negation")


def make(folder: Path) -> None:
    for place in ("evaluation", "generation"):
        (folder / place).mkdir()
    for start, name in enumerate(TYPES):
        asked, drawn = [], []
        for item in items()[start :: len(TYPES)]:
            texts = [point.text for point in item.points]
            answers = ["yes"] * len(texts)
            if name == "negation":
                texts.append("Are there four objects?")
                answers.append("No")
            row = {"type": name, "yn_question_list": texts, "yn_answer_list": answers}
            asked.append(json.dumps(row))
            bare = item.prompt.removeprefix("a photo of ")
            prompts = {"short_description": bare, "long_description": item.prompt}
            drawn.append(json.dumps({"type": name, **prompts}))
        own = name.replace("+", "_")
        for place, ending, lines in (
            ("evaluation", "eval_prompts", asked),
            ("generation", "prompts", drawn),
        ):
            text = "".join(line + "\n" for line in lines)
            (folder / place / f"{own}_{ending}.jsonl").write_text(text, encoding="utf-8")
