"""MJHQ-30K's files: prompts in ``meta_data.json``, images as {category}/{key}.jpg."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from harmon_eval.core import Drawn, Remote, Source, UserError
from harmon_eval.files.found import find_suffix, pictures
from harmon_eval.files.question_files import read_json

METADATA, IMAGES = "meta_data.json", "mjhq30k_imgs"
CATEGORIES = (
    *("animals", "art", "fashion", "food", "indoor", "landscape", "logo", "people", "plants"),
    "vehicles",
)
HUB = "https://huggingface.co/datasets/playgroundai/MJHQ-30K/resolve/main"
OFFICIAL = Source(
    files=(METADATA,),
    hub="playgroundai/MJHQ-30K",
    text="the dataset playgroundai/MJHQ-30K (meta_data.json, and mjhq30k_imgs.zip unpacked beside "
    "it to mjhq30k_imgs/CATEGORY/KEY.jpg)",
    downloads=(
        Remote(f"{HUB}/meta_data.json", METADATA),
        Remote(
            f"{HUB}/mjhq30k_imgs.zip",
            "mjhq30k_imgs.zip",
            unpack=r"(mjhq30k_imgs/[\w-]+/[\w-]+\.(?:jpg|jpeg|png|webp))",
        ),
    ),
    folder="mjhq",
)


def load_prompts(path: Path) -> dict[str, tuple[str, str]]:
    """``meta_data.json`` as key -> (category, prompt). Raises UserError that names the flaw."""
    content = read_json(path)
    entries = {}
    if not isinstance(content, dict):
        raise UserError(f"{path} must hold one object: key -> category and prompt")
    for key, entry in content.items():
        try:
            category, prompt = entry["category"], entry["prompt"]
        except (KeyError, TypeError):
            raise UserError(f"{path}: entry {key!r} needs a category and a prompt") from None
        if not (isinstance(category, str) and isinstance(prompt, str)):
            raise UserError(f"{path}: category and prompt of {key!r} must be text")
        for name in (key, category):
            if not re.fullmatch(r"[\w-]{1,200}", name):
                raise UserError(f"{path}: {name!r} is no file name of letters, digits, - and _")
        entries[key] = category, prompt
    return entries


def reference(folder: Path, category: str, key: str) -> Path:
    """The reference image of a prompt. Raises UserError where it is missing."""
    path = find_suffix(folder / IMAGES / category / key)
    if path.is_file():
        return path
    raise UserError(
        f"reference image {path}.jpg is missing: unpack mjhq30k_imgs.zip beside meta_data.json"
    )


def read_images(folder: Path) -> list[Drawn] | None:
    """Images as {category}/{key}.png (or .jpg ...), with ``meta_data.json`` beside them or without.

    None for a folder of another kind. Raises UserError for a list that cannot be read."""
    if (listed := folder / METADATA).exists():
        return list(_listed(listed))
    if not any(path.name in CATEGORIES for path in folder.iterdir()):
        return None
    found = pictures(folder)
    ids = ((file, file.relative_to(folder).with_suffix("")) for file in found)
    return [Drawn(file, sample=str(name)) for file, name in ids if len(name.parts) == 2]


def _listed(file: Path) -> Iterator[Drawn]:
    content = read_json(file)
    try:
        entries = [(str(v["prompt"]), f"{v['category']}/{key}") for key, v in content.items()]
    except (TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{file} cannot be read ({type(error).__name__}: {error})") from None
    for prompt, name in entries:
        yield Drawn(find_suffix(file.parent / name), prompt, name)
