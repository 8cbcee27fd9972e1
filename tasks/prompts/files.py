"""Lists of prompts: a text file, a table, or a folder of pictures with such a list."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from harmon_eval.core import Data, UserError
from harmon_eval.files.drawn import PROMPT_FIELDS, folded, read_drawn
from harmon_eval.files.hub_datasets import PREFIX, dataset_table
from harmon_eval.files.question_files import read_table, read_text

COLUMNS = {"prompt": ("prompt", "Prompt", "caption", "text")}


def place_of(data: Data, path: str, own: str) -> Path:
    """Where the prompts of ``prompts:path`` lie; ``own`` is the file in the task's own folder.

    Raises UserError for a dataset that is not there or has no such column."""
    if path.startswith(PREFIX):
        return dataset_table(path.removeprefix(PREFIX), COLUMNS, data.fetching, f"prompts:{path}")
    return Path(path).expanduser() if path else data.folder / own


def read_prompts(place: Path, images: int) -> dict[str, int]:
    """Prompt -> number of images, in order. Of a file ``images`` each, and as often more as a
    prompt comes again; of a folder as many as it has.

    Raises UserError for a place without prompts."""
    if place.is_dir():
        found = Counter(folded(drawn.prompt) for drawn in read_drawn(place) if drawn.prompt)
    elif not place.is_file():
        raise UserError(f"prompts:{place}: no such file or folder")
    else:
        found = Counter(filter(None, map(folded, _texts(place))))
        found = Counter({prompt: images * times for prompt, times in found.items()})
    if not found:
        raise UserError(
            f"{place} holds no prompts: give a .txt with one in each line, a table with a column "
            "prompt, or a folder with prompts.csv (file, prompt)"
        )
    return dict(found)


def _texts(file: Path) -> list[str]:
    if file.suffix.lower() == ".txt":
        return read_text(file).splitlines()
    texts = []
    for number, row in enumerate(read_table(file), 1):
        own = {str(key).strip().lower(): value for key, value in row.items()}
        text = next((own[name] for name in PROMPT_FIELDS if own.get(name)), None)
        if not isinstance(text, str):
            raise UserError(f"{file}, row {number}: needs a text in the column prompt")
        texts.append(text)
    return texts
