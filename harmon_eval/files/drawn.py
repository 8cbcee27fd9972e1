"""Folders of pictures that something else drew, with the texts they were drawn from.

Lists (``prompts.csv``, ``.json`` or ``.jsonl``, or the hub's ``metadata.csv``), Harmon's own output
(``00000000.jpg`` beside ``00000000.json``) and the tasks' published layouts (``Task.layout``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from harmon_eval import registry
from harmon_eval.core import Drawn, UserError
from harmon_eval.files.found import find_suffix, pictures
from harmon_eval.files.question_files import read_json_rows, read_separated, read_text
from harmon_eval.store.digests import sha256_of

# The last two are the hub's, for folders of images.
LISTS = ("prompts.csv", "prompts.json", "prompts.jsonl", "metadata.csv", "metadata.jsonl")
FILE_FIELDS = ("file", "file_name", "filename", "image", "image_path", "path")
PROMPT_FIELDS = ("prompt", "text", "caption", "instruction")
SOURCE_FIELDS = ("source", "sources", "source_image")  # of edits: files, or their SHA-256
SAMPLE_FIELDS = ("sample", "sample_id")


def folded(prompt: str) -> str:
    """A prompt as it is compared: lists and tasks differ in white space."""
    return " ".join(prompt.split())


def read_drawn(folder: Path) -> list[Drawn]:
    """The pictures of a folder that come with prompts, whatever task asks for them.

    Raises UserError for a list that cannot be read, and for a file outside of the folder."""
    listed = next((folder / name for name in LISTS if (folder / name).exists()), None)
    if listed is not None:
        found = list(_listed(listed))
    else:
        found = _of_harmon(folder) or _of_layouts(folder)
    return [replace(drawn, file=inside(folder, drawn.file)) for drawn in found]


def _listed(listed: Path) -> Iterator[Drawn]:
    for entry in _entries(listed):
        try:
            own = {str(key).strip().lower(): value for key, value in entry.items()}
            name = next(own[field] for field in FILE_FIELDS if own.get(field))
            prompt = next(own[field] for field in PROMPT_FIELDS if field in own)
        except (StopIteration, AttributeError):
            raise UserError(f"{listed}: each entry needs the fields file and prompt") from None
        if not isinstance(prompt, str):
            raise UserError(f"{listed}: the prompt of {str(name)[:80]!r} is no text")
        sources: Any = next((own[field] for field in SOURCE_FIELDS if own.get(field)), [])
        sample = next((str(own[field]) for field in SAMPLE_FIELDS if own.get(field)), "")
        files: list[Any] = sources if isinstance(sources, list) else [sources]
        source = "+".join(_digest(listed.parent, str(file)) for file in files)
        yield Drawn(find_suffix(listed.parent / str(name)), prompt, sample, source=source)


def _digest(folder: Path, source: str) -> str:
    """The SHA-256 of a source: given as such, or of a file in the folder. Raises UserError."""
    if re.fullmatch(r"[0-9a-fA-F]{64}", source):
        return source.lower()
    try:
        return sha256_of(inside(folder, folder / source))
    except OSError as error:
        raise UserError(
            f"{folder / source} cannot be read ({error.strerror}): give the source image of an "
            "edit as a file in the folder, or its SHA-256"
        ) from None


def _entries(listed: Path) -> Sequence[Mapping[str, Any]]:
    if listed.suffix == ".csv":
        return read_separated(listed)
    if listed.suffix == ".jsonl":
        return read_json_rows(listed)
    text = read_text(listed)
    try:
        values = json.loads(text)
        if isinstance(values, dict):
            return [{"file": file, "prompt": prompt} for file, prompt in values.items()]
        return list(values)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise UserError(f"{listed} cannot be read ({type(error).__name__}: {error})") from None


def _of_harmon(folder: Path) -> list[Drawn]:
    """What Harmon's scripts/batch_text2image.py writes: a grid of drawings, and its prompt."""
    found = []
    for file in pictures(folder, deep=False):
        beside = file.with_suffix(".json")
        if not file.stem.isdecimal() or not beside.is_file():
            continue
        try:
            prompt = json.loads(read_text(beside))["prompt"]
        except (ValueError, TypeError, KeyError, RecursionError):
            continue
        if isinstance(prompt, str):
            found.append(Drawn(file, prompt, grid=True))
    return found


def _of_layouts(folder: Path) -> list[Drawn]:
    for read in registry.layouts():
        with_prompts = [drawn for drawn in read(folder) or () if drawn.prompt]
        if with_prompts:
            return with_prompts
    return []


def inside(folder: Path, file: Path) -> Path:
    """The file; pictures are untrusted, so neither ``..`` nor a link may lead out of the folder."""
    if "\0" in str(file):
        raise UserError(f"{str(file)[:80]!r} is no name of a file")
    if file.resolve().is_relative_to(folder.resolve()):
        return file
    what = "is a link and lies" if file.is_symlink() else "lies"
    raise UserError(f"{file} {what} outside of {folder}: copy it into the folder")
