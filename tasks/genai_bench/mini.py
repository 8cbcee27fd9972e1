"""GenAI-Bench's files about shapes."""

from __future__ import annotations

import json
from pathlib import Path

from harmon_eval.tasks.genai_bench import files
from harmon_eval.tasks.geneval2 import mini


def make(folder: Path) -> None:
    names = [f"{number:05d}" for number in range(mini.PROMPTS)]
    counted, related = names[1::2], names[::2]
    prompts = {
        name: {"id": name, "prompt": mini.line(number)["prompt"], "models": {}}
        for number, name in enumerate(names)
    }
    skills = {
        "basic": names,
        "attribute": names,
        "spatial relation": related,
        "advanced": counted,
        "counting": counted,
    }
    for file, content in ((files.PROMPTS, prompts), (files.SKILLS, skills)):
        (folder / file).write_text(json.dumps(content, indent=1), encoding="utf-8")
