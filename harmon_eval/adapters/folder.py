"""Images that something else drew, in a benchmark's published layout or with a list of prompts."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from PIL import Image

from harmon_eval import registry
from harmon_eval.core import Draw, Responder, Unscorable, UserError
from harmon_eval.files.images import open_image

LISTS = ("prompts.csv", "prompts.json", "prompts.jsonl")
FILE_FIELDS = ("file", "file_name", "filename", "image")
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


class FolderResponder(Responder):
    """Answers a drawing request with the stored image of the same prompt and index.

    Understood: ``prompts.csv``, ``.json`` or ``.jsonl`` with the fields ``file`` and ``prompt``, or
    the published layout of a task (``Task.layout``), such as GenEval's (00000/metadata.jsonl and
    00000/samples/*.png) and MJHQ's (``meta_data.json`` and {category}/{key}.png). Several files of
    one prompt are its drawings 0, 1, ... in sorted order. How they were drawn is not known and the
    provenance says so. The fingerprint is of prompts, file names and sizes.
    """

    def __init__(self, folder: Path) -> None:
        """Raises UserError for a folder without images, or with a list that cannot be read."""
        if not folder.is_dir():
            raise UserError(f"no folder {str(folder)!r}: give folder:PATH with a folder of images")
        self.name = f"folder:{folder.resolve().name}"
        self.settings = {"recipe": "unknown"}
        self.images: dict[str, list[Path]] = {}
        digest = hashlib.sha256()
        found = 0
        for prompt, file in sorted(_pairs(folder), key=lambda pair: str(pair[1])):
            self.images.setdefault(prompt.strip(), []).append(file)
            size = file.stat().st_size if file.is_file() else -1
            found += size >= 0
            digest.update(f"{prompt}\0{file.relative_to(folder)}\0{size}\0".encode())
        if not found:
            raise UserError(
                f"{folder} holds no images with prompts: use GenEval's layout "
                "(00000/metadata.jsonl, 00000/samples/0000.png) or add prompts.csv with the "
                "columns file,prompt"
            )
        self.fingerprint = digest.hexdigest()

    def draw(self, requests: Sequence[Draw]) -> Sequence[Image.Image | Exception]:
        return [self._stored(request) for request in requests]

    def _stored(self, request: Draw) -> Image.Image | Exception:
        files = self.images.get(request.prompt.strip(), [])
        if request.index >= len(files):
            return Unscorable(f"the folder has {len(files)} images of this prompt")
        try:
            return open_image(files[request.index])
        except Unscorable as error:
            return error


def _pairs(folder: Path) -> Iterator[tuple[str, Path]]:
    """(prompt, image file) pairs of a folder in any layout that is understood."""
    listed = next((folder / name for name in LISTS if (folder / name).exists()), None)
    if listed is None:
        found = (read(folder) for read in registry.layouts())
        for prompt, file in next((pairs for pairs in found if pairs is not None), ()):
            yield prompt, _inside(folder, file)
        return
    for entry in _entries(listed):
        try:
            name = next(entry[field] for field in FILE_FIELDS if entry.get(field))
            prompt = entry["prompt"]
        except (KeyError, StopIteration, AttributeError):
            raise UserError(f"{listed}: each entry needs the fields file and prompt") from None
        yield str(prompt), _inside(folder, _with_suffix(folder / str(name)))


def _inside(folder: Path, file: Path) -> Path:
    """The file; images are untrusted, so neither ``..`` nor a link may lead out of the folder."""
    if not file.resolve().is_relative_to(folder.resolve()):
        raise UserError(f"{file} lies outside of {folder}: copy it into the folder")
    return file


def _with_suffix(file: Path) -> Path:
    if file.suffix.lower() in SUFFIXES:
        return file
    named = (file.with_name(file.name + suffix) for suffix in SUFFIXES)
    return next((path for path in named if path.is_file()), file)


def _entries(listed: Path) -> list[Mapping[str, Any]]:
    try:
        text = listed.read_text(encoding="utf-8-sig")
        if listed.suffix == ".csv":
            return list(csv.DictReader(text.splitlines(keepends=True)))
        if listed.suffix == ".jsonl":
            return [json.loads(line) for line in text.split("\n") if line.strip()]
        values = json.loads(text)
        if isinstance(values, dict):
            return [{"file": file, "prompt": prompt} for file, prompt in values.items()]
        return list(values)
    except (ValueError, TypeError, KeyError, AttributeError, csv.Error) as error:
        raise UserError(f"{listed} cannot be read ({type(error).__name__}: {error})") from None


@dataclass(frozen=True)
class Settings:
    """None."""

    REFUSES: ClassVar[str] = "the images are drawn already"


def open_model(argument: str, settings: Settings) -> FolderResponder:
    """``folder:PATH``. Raises UserError."""
    if not argument:
        raise UserError("folder: needs a path, such as --model folder:IMAGES")
    return FolderResponder(Path(argument))
