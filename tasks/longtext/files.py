"""LongText-Bench's files: ``text_prompts.jsonl`` and ``text_prompts_zh.jsonl``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harmon_eval.core import Remote, Source, UserError
from harmon_eval.files.question_files import field, read_json_rows, whole_number

FILES = {"en": "text_prompts.jsonl", "zh": "text_prompts_zh.jsonl"}
REPOSITORY = "https://raw.githubusercontent.com/X-Omni-Team/X-Omni/2b8237b/textbench"


def official(language: str) -> Source:
    file = FILES[language]
    return Source(
        files=(file,),
        text=f"textbench/{file} of X-Omni-Team/X-Omni (also X-Omni/LongText-Bench on the hub)",
        downloads=(Remote(f"{REPOSITORY}/{file}", file),),
    )


@dataclass(frozen=True)
class Prompt:
    """``texts``: what the image is to say. ``category`` and ``length`` may be empty."""

    id: int
    text: str
    texts: tuple[str, ...]
    category: str = ""
    length: str = ""


def read_prompts(file: Path) -> list[Prompt]:
    """Raises UserError naming the line with a flaw."""
    prompts: dict[int, Prompt] = {}
    for number, row in enumerate(read_json_rows(file), start=1):
        where = f"{file}, line {number}"
        texts = row.get("text")
        if not isinstance(texts, list) or not any(str(text).strip() for text in texts):
            raise UserError(f"{where}: 'text' must be a list of the texts that the image shows")
        prompt = Prompt(
            id=whole_number(row, "prompt_id", where),
            text=field(row, "prompt", where),
            texts=tuple(map(str, texts)),
            category=str(row.get("category") or ""),
            length=str(row.get("length") or ""),
        )
        if prompt.id in prompts or prompt.id < 0:
            raise UserError(f"{where}: prompt_id {prompt.id} occurs twice, or is below 0")
        prompts[prompt.id] = prompt
    if not prompts:
        raise UserError(f"{file} holds no prompts")
    return list(prompts.values())
