"""GenAI-Bench's files: ``genai_image.json`` and ``genai_skills.json``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harmon_eval.core import Remote, Source, UserError
from harmon_eval.files.question_files import field, read_json

PROMPTS, SKILLS = "genai_image.json", "genai_skills.json"
HUB = "https://huggingface.co/datasets/BaiqiL/GenAI-Bench-1600/resolve/main"
OFFICIAL = Source(
    files=(PROMPTS,),
    text=f"{PROMPTS} and {SKILLS} of BaiqiL/GenAI-Bench-1600",
    downloads=tuple(Remote(f"{HUB}/{file}", file) for file in (PROMPTS, SKILLS)),
)


def read_files(folder: Path) -> dict[str, tuple[str, list[str]]]:
    """Id -> prompt and skills, of the prompts that have skills.

    Raises UserError for files of another form, and for a skill of a prompt that is not there."""
    prompts, skills = read_json(folder / PROMPTS), read_json(folder / SKILLS)
    if not isinstance(prompts, Mapping) or not all(isinstance(p, dict) for p in prompts.values()):
        raise UserError(f"{folder / PROMPTS} must be an object: id -> prompt and models")
    if not isinstance(skills, Mapping) or not all(isinstance(i, list) for i in skills.values()):
        raise UserError(f"{folder / SKILLS} must be an object: skill -> list of ids")
    own: dict[str, list[str]] = {}
    for skill, ids in skills.items():
        for name in map(str, ids):
            if name not in prompts:
                raise UserError(f"{folder / SKILLS}: {skill!r} has {name!r}, which has no prompt")
            own.setdefault(name, []).append(str(skill))
    if not own:
        raise UserError(f"{folder / SKILLS} names no prompts")
    where = str(folder / PROMPTS)
    return {
        n: (field(p, "prompt", f"{where}, {n!r}"), own[n]) for n, p in prompts.items() if n in own
    }
