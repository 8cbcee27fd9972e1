"""GenEval's files as others wrote them: the list of prompts and the image folder.

Read by the rules of the original's own reader (djghosh13/geneval), and checked: what a clause
misspells would otherwise be a silent zero.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harmon_eval.core import Drawn, Sample, UserError
from harmon_eval.files.found import check_one
from harmon_eval.files.images import SUFFIXES
from harmon_eval.files.question_files import read_text
from harmon_eval.instruments.vocabulary import PALETTE
from harmon_eval.tasks.geneval.prompts import RELATIONS, TAGS

if TYPE_CHECKING:
    import pandas as pd

CLAUSE = ("class", "count", "color", "position")
ORIGINAL = r"\d+\.png"
ANY_FORMAT = rf"(?i)\d+({'|'.join(map(re.escape, SUFFIXES))})"


def read_metadata(file: Path) -> list[dict[str, Any]]:
    """The prompts of ``evaluation_metadata.jsonl``, one JSON object a line.

    Raises UserError naming the line and the field."""
    lines = _text(file).rstrip("\n").split("\n")
    return [_parsed(line, f"{file}, line {i}") for i, line in enumerate(lines, start=1)]


def read_folder(folder: Path, names: str = ORIGINAL) -> list[tuple[dict[str, Any], Path]]:
    """(metadata, image file) pairs of IMAGES/00000/{metadata.jsonl, samples/0000.png}, sorted.

    Sub-folders whose name is all digits are prompts; the number itself is not used, only the
    ``metadata.jsonl`` inside decides. A file counts if its name begins with ``names``, by the
    original's rule with digits and ``.png``. Raises UserError on missing or malformed metadata."""
    if not folder.is_dir():
        raise UserError(f"no folder {folder}: give GenEval's image folder, which holds 00000/ ...")
    pairs = []
    for prompt in sorted(path for path in folder.iterdir() if path.name.isdecimal()):
        if not prompt.is_dir():
            continue
        file = prompt / "metadata.jsonl"
        metadata = _parsed(_text(file), str(file))
        samples = prompt / "samples"
        for image in sorted(samples.iterdir()) if samples.is_dir() else []:
            if image.is_file() and re.match(names, image.name):
                pairs.append((metadata, image))
    return pairs


def read_images(folder: Path) -> list[Drawn] | None:
    """The images of GenEval's folder, of any format, by number and prompt; None for a folder of
    another kind.

    Raises UserError as ``read_folder`` does, and for an image that is there in two formats."""
    return [Drawn(image, item["prompt"], name) for item, image, name in _read(folder)] or None


def read_rewritten(folder: Path) -> list[Drawn] | None:
    """As ``read_images``, by number alone: the prompts are others, what they ask for is not."""
    fields = {"tag": "", "include": [], "exclude": []}
    return [
        Drawn(
            *(image, "", name),
            rewritten=item["prompt"],
            target={key: item.get(key, empty) for key, empty in fields.items()},
        )
        for item, image, name in _read(folder)
    ] or None


def _read(folder: Path) -> list[tuple[dict[str, Any], Path, str]]:
    """(metadata, image file, sample id): the n-th image of a folder is its n-th sample."""
    numbered = [path for path in folder.iterdir() if path.name.isdecimal()]
    if not any((p / "metadata.jsonl").exists() or (p / "samples").is_dir() for p in numbered):
        return []
    found = []
    before: dict[Path, Path] = {}  # by folder
    counts: Counter[Path] = Counter()
    for item, image in read_folder(folder, ANY_FORMAT):
        samples = image.parent
        if (last := before.get(samples)) and last.stem == image.stem:
            check_one([last, image])
        before[samples] = image
        name = f"{int(samples.parent.name):05d}/samples/{counts[samples]:04d}"
        found.append((item, image, name))
        counts[samples] += 1
    return found


def _text(file: Path) -> str:
    if not file.exists():
        raise UserError(f"{file} is missing: it holds GenEval's metadata of the prompt")
    return read_text(file)


def _parsed(text: str, where: str) -> dict[str, Any]:
    try:
        item: dict[str, Any] = json.loads(text)
        problem = fault(item)
    except json.JSONDecodeError as error:
        raise UserError(f"{where}: must be exactly one JSON object ({error})") from None
    except (RecursionError, ValueError) as error:
        raise UserError(f"{where}: refused ({type(error).__name__})") from None
    if problem:
        raise UserError(f"{where}: {problem}")
    return item


def fault(item: Any) -> str | None:
    """What is wrong with a metadata object, beginning with the field's name; None if sound."""
    if not isinstance(item, dict):
        return f"a prompt is a JSON object, not {_brief(item)}"
    if item.get("tag") not in TAGS:
        return f"tag: {_brief(item.get('tag'))} is none of {', '.join(TAGS)}"
    prompt = item.get("prompt")
    if not isinstance(prompt, str) or not prompt.strip() or not _is_text(prompt):
        return f"prompt: {_brief(prompt)} is not a text"
    include, exclude = item.get("include"), item.get("exclude", [])
    if not isinstance(include, list) or not include:
        return f"include: {_brief(include)} is not a list of clauses"
    if not isinstance(exclude, list):
        return f"exclude: {_brief(exclude)} is not a list of clauses"
    for name, clauses in (("include", include), ("exclude", exclude)):
        for index, clause in enumerate(clauses):
            # A position refers to an include clause before its own.
            problem = _clause_fault(clause, index if name == "include" else 0)
            if problem:
                return f"{name}[{index}]{problem}"
    return None


def _clause_fault(clause: Any, before: int) -> str | None:
    if not isinstance(clause, dict):
        return f": {_brief(clause)} is not a clause such as {{'class': 'dog', 'count': 1}}"
    if unknown := clause.keys() - CLAUSE:
        return f".{min(unknown)[:60]}: is none of {', '.join(CLAUSE)}"
    name, count = clause.get("class"), clause.get("count")
    if not isinstance(name, str) or not name or not _is_text(name):
        return f".class: {_brief(name)} is not an object's name"
    if type(count) is not int or count < 1:
        return f".count: {_brief(count)} is not a number of objects"
    if "color" in clause and clause["color"] not in PALETTE:
        return f".color: {_brief(clause['color'])} is none of {', '.join(PALETTE)}"
    if "position" not in clause:
        return None
    position = clause["position"]
    if not isinstance(position, list) or len(position) != 2 or position[0] not in RELATIONS:
        return f".position: {_brief(position)} is not [relation, clause], with one of " + ", ".join(
            RELATIONS
        )
    if type(position[1]) is not int or not 0 <= position[1] < before:
        return f".position: {_brief(position[1])} is not the number of an earlier include clause"
    return None


def _is_text(value: str) -> bool:
    """Whether it can be written as UTF-8: JSON may hold half of a surrogate pair."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _brief(value: Any) -> str:
    text = ascii(value)
    return text if len(text) <= 60 else text[:57] + "..."


# -- what a run writes ---------------------------------------------------------------------------


def files_before(drawn: Sequence[Sample]) -> dict[str, str]:
    """The metadata files of the official image folder."""
    return {f"images/{s.group}/metadata.jsonl": json.dumps(dict(s.target)) for s in drawn}


def files_after(drawn: Sequence[Sample], rows: pd.DataFrame) -> dict[str, str]:
    """``results.jsonl`` as the official scorer writes it."""
    import pandas as pd

    official = pd.DataFrame({"filename": [f"images/{name}.png" for name in rows["id"]]})
    for column in ("tag", "prompt", "correct", "reason", "metadata", "details"):
        official[column] = rows[column].to_numpy()
    return {"results.jsonl": official.to_json(orient="records", lines=True)}
