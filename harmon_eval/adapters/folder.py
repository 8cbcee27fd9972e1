"""Images that something else drew: a GenEval image folder, or any folder with a list of prompts."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from harmon_eval.core import Draw, Responder, Unscorable, UserError
from harmon_eval.scoring.geneval_folder import read_folder
from harmon_eval.scoring.images import open_image

LISTS = ("prompts.csv", "prompts.json", "prompts.jsonl", "meta_data.json")
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


class FolderResponder(Responder):
    """Answers a drawing request with the stored image of the same prompt and index.

    Understood: GenEval's layout (00000/metadata.jsonl and 00000/samples/*.png); MJHQ's
    (``meta_data.json`` and {category}/{key}.png); or ``prompts.csv``, ``.json`` or ``.jsonl`` with
    the fields ``file`` and ``prompt``. Several files of one prompt are its drawings 0, 1, ... in
    sorted order. How they were drawn is not known and the provenance says so.
    """

    def __init__(self, folder: str) -> None:
        path = Path(folder)
        if not path.is_dir():
            raise UserError(f"no folder {folder!r}: give folder:PATH with a folder of images")
        self.name = f"folder:{path.name}"
        self.settings = {"recipe": "unknown"}
        self.images: dict[str, list[Path]] = {}
        digest = hashlib.sha256()
        for prompt, file in sorted(_pairs(path), key=lambda pair: str(pair[1])):
            self.images.setdefault(prompt, []).append(file)
            state = file.stat()
            digest.update(f"{prompt}\0{file.name}\0{state.st_size}\0".encode())
        if not self.images:
            raise UserError(
                f"{path} holds no images with prompts: use GenEval's layout "
                "(00000/metadata.jsonl, 00000/samples/0000.png) or add prompts.csv with the "
                "columns file,prompt"
            )
        self.fingerprint = digest.hexdigest()

    def draw(self, requests: Sequence[Draw]) -> Sequence[Image.Image | Exception]:
        return [self._stored(request) for request in requests]

    def _stored(self, request: Draw) -> Image.Image | Exception:
        files = self.images.get(request.prompt, self.images.get(request.prompt.strip(), []))
        if request.index >= len(files):
            return Unscorable(f"the folder has {len(files)} images of this prompt")
        try:
            return open_image(files[request.index]).convert("RGB")
        except Unscorable as error:
            return error


def _pairs(folder: Path) -> Iterator[tuple[str, Path]]:
    """(prompt, image file) pairs of a folder in any layout that is understood."""
    listed = next((folder / name for name in LISTS if (folder / name).exists()), None)
    if listed is None:
        for metadata, file in read_folder(folder):
            yield str(metadata["prompt"]), file
        return
    for entry in _entries(listed):
        try:
            name, prompt = str(entry["file"]), str(entry["prompt"])
        except (KeyError, TypeError):
            raise UserError(f"{listed}: each entry needs the fields file and prompt") from None
        file = folder / name
        if not file.resolve().is_relative_to(folder.resolve()):
            raise UserError(f"{listed}: {name!r} lies outside of the folder")
        candidates = [file] if file.suffix else [file.with_suffix(s) for s in SUFFIXES]
        yield from ((prompt, found) for found in candidates if found.is_file())


def _entries(listed: Path) -> list[Any]:
    try:
        text = listed.read_text(encoding="utf-8")
        if listed.suffix == ".csv":
            return list(csv.DictReader(text.splitlines()))
        if listed.suffix == ".jsonl":
            return [json.loads(line) for line in text.splitlines() if line.strip()]
        values = json.loads(text)
    except (ValueError, csv.Error) as error:
        raise UserError(f"{listed} cannot be read: {error}") from None
    if listed.name == "meta_data.json":
        return [{"file": f"{v['category']}/{key}", "prompt": v["prompt"]} for key, v in values.items()]
    if isinstance(values, dict):
        return [{"file": file, "prompt": prompt} for file, prompt in values.items()]
    return values
