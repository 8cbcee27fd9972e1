"""OneIG-Bench's files, as they lie in its repository, or all in one folder.

``OneIG-Bench.csv`` and ``OneIG-Bench-ZH.csv`` hold the prompts, ``Q_D/CLASS.json`` the questions of
the alignment part, ``text_content.csv`` the texts of the text part.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harmon_eval.core import Source, UserError
from harmon_eval.files.question_files import field, read_json, read_separated

PROMPTS = {"en": "OneIG-Bench.csv", "zh": "OneIG-Bench-ZH.csv"}
PROMPT_COLUMNS = {"en": "prompt_en", "zh": "prompt_cn"}
TEXTS = {"en": "text_content.csv", "zh": "text_content_zh.csv"}
# Category in the table of prompts: class, which names folders and files.
CLASSES = {
    "Anime_Stylization": "anime",
    "Portrait": "human",
    "General_Object": "object",
    "Text_Rendering": "text",
    "Knowledge_Reasoning": "reasoning",
    "Multilingualism": "multilingualism",
}
_ALIGNED = ("anime", "human", "object")
ALIGNED = {"en": _ALIGNED, "zh": (*_ALIGNED, "multilingualism")}


def official(language: str) -> Source:
    return Source(
        files=(PROMPTS[language],),
        text=f"{PROMPTS[language]} of OneIG-Bench/OneIG-Benchmark, with its scripts/alignment/Q_D "
        f"and scripts/text/{TEXTS[language]}",
    )


@dataclass(frozen=True)
class Prompt:
    cls: str
    id: str
    text: str

    @property
    def name(self) -> str:
        return f"{self.cls}-{self.id}"


def read_prompts(folder: Path, language: str) -> dict[str, Prompt]:
    """Name -> prompt, in file order. Raises UserError naming the row with a flaw."""
    file, found = folder / PROMPTS[language], dict[str, Prompt]()
    for number, row in enumerate(read_separated(file), start=2):
        where = f"{file}, row {number}"
        category = field(row, "category", where).strip()
        if category not in CLASSES:
            raise UserError(f"{where}: {category!r} is none of {', '.join(CLASSES)}")
        name = field(row, "id", where).strip()
        text = field(row, PROMPT_COLUMNS[language], where).strip()
        if not name.isalnum() or not text:
            raise UserError(f"{where}: it needs an id of letters and digits, and a prompt")
        prompt = Prompt(CLASSES[category], name, text)
        if prompt.name in found:
            raise UserError(f"{where}: {category} {name} occurs twice")
        found[prompt.name] = prompt
    if not found:
        raise UserError(f"{file} holds no prompts")
    return found


@dataclass(frozen=True)
class Question:
    id: str
    text: str
    parents: tuple[str, ...]


def read_questions(folder: Path, cls: str, language: str) -> dict[str, list[Question]]:
    """Id of a prompt -> its questions, in their order."""
    name = f"{cls}_zh.json" if language == "zh" else f"{cls}.json"
    file = _place(folder, f"scripts/alignment/Q_D/{name}")
    table = read_json(file)
    if not isinstance(table, Mapping):
        raise UserError(f"{file} must be an object: id -> question and dependency")
    return {str(own): _questions(entry, f"{file}, {own}") for own, entry in table.items()}


def _questions(entry: Any, where: str) -> list[Question]:
    parts = [entry.get(k) if isinstance(entry, dict) else None for k in ("question", "dependency")]
    texts, parents = (_object(part, where) for part in parts)
    if not texts or texts.keys() != parents.keys():
        raise UserError(f"{where}: question and dependency must have the same numbers")
    found = []
    for number, text in texts.items():
        own = parents[number]
        if not isinstance(own, list) or not all(str(p).isdecimal() for p in own):
            raise UserError(f"{where}, question {number}: its dependency must be a list of numbers")
        needed = tuple(str(p) for p in own if int(p))  # 0 stands for none
        found.append(Question(number, str(text).strip(), needed))
    return found


def _object(value: Any, where: str) -> dict[str, Any]:
    """An object by number, which the files hold as text."""
    try:
        table = json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        table = None
    if not isinstance(table, dict):
        raise UserError(f"{where}: question and dependency must be objects by number")
    return {str(number): own for number, own in table.items()}


def read_texts(folder: Path, language: str) -> dict[str, str]:
    """Id of a prompt -> the text that it asks for, as the file writes it."""
    file = _place(folder, f"scripts/text/{TEXTS[language]}")
    rows = read_separated(file)
    where = str(file)
    found = {field(r, "id", where).strip(): field(r, "text_content", where) for r in rows}
    if not found or not all(name and text.strip() for name, text in found.items()):
        raise UserError(f"{file}: every row needs an id and a text_content: get it again")
    return found


def _place(folder: Path, place: str) -> Path:
    """The file as in the repository, or (its last folder and) its name beside the prompts."""
    parts = Path(place).parts
    short = Path(*parts[-2:]) if parts[-2] == "Q_D" else Path(parts[-1])
    for file in (folder / place, folder / short):
        if file.is_file():
            return file
    raise UserError(f"{folder} has no {short}: put {place} of OneIG-Bench/OneIG-Benchmark there")
