"""MagicBrush's sessions, captions and result folder, as its authors' scripts have them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harmon_eval.core import Answer, Drawn, UserError
from harmon_eval.files.drawn import inside
from harmon_eval.files.found import pictures
from harmon_eval.files.question_files import read_text

SESSIONS = "edit_sessions.json"
PATTERNS = (SESSIONS, f"test/{SESSIONS}", f"dev/{SESSIONS}")
CAPTIONS = ("local_captions.json", "local_descriptions.json")
FIRST, ALONE, ITERATED = "1", "inde", "iter"  # the turn in the names of results


@dataclass(frozen=True)
class Turn:
    """``number`` counts from 1; ``caption`` is the local one of the target, empty if not given."""

    session: str
    number: int
    last: bool
    source: Path
    target: Path
    instruction: str
    caption: str

    def result(self, setting: str) -> str:
        """The part of a result's name that says which it is; the first turn has but one."""
        return FIRST if self.number == 1 else f"{setting}_{self.number}"


def read_turns(folder: Path) -> Iterator[Turn]:
    """Raises UserError for a file with a flaw, or a missing image."""
    file = next((folder / p for p in PATTERNS if (folder / p).is_file()), folder / SESSIONS)
    root = file.parent
    captions = _captions(root)
    for session, turns in _object(file).items():
        if not re.fullmatch(r"[\w-]+", session) or not isinstance(turns, list) or not turns:
            raise UserError(f"{file}, entry {session!r}: must be a list of turns")
        for number, turn in enumerate(turns, 1):
            where = f"{file}, entry {session!r}, turn {number}"
            if not isinstance(turn, dict) or not isinstance(turn.get("instruction"), str):
                raise UserError(f"{where}: the field 'instruction' is missing")
            source, target = (_image(root, turn.get(n), where) for n in ("input", "output"))
            caption = captions.get(session, {}).get(target.name, "")
            last = number == len(turns)
            yield Turn(session, number, last, source, target, turn["instruction"], caption)


def _image(root: Path, name: object, where: str) -> Path:
    """``images/ID/NAME``; the names begin with the id of their folder."""
    file = root / "images" / str(name).partition("-")[0] / str(name)
    if not isinstance(name, str) or not file.is_file():
        raise UserError(f"{where}: the image {name!r} is missing: put MagicBrush's images/ there")
    return inside(root, file)


def _captions(root: Path) -> dict[str, dict[str, str]]:
    """Session -> name of the target -> text. Nothing without the file."""
    file = next((root / name for name in CAPTIONS if (root / name).is_file()), None)
    if file is None:
        return {}
    found = _object(file)
    for session, own in found.items():
        if not isinstance(own, dict) or not all(isinstance(text, str) for text in own.values()):
            raise UserError(f"{file}, entry {session!r}: must be an object of image -> text")
    return found


def _object(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(read_text(file))
    except ValueError as error:
        raise UserError(f"{file} cannot be read as JSON: {error}") from None
    if not isinstance(content, dict) or not content:
        raise UserError(f"{file} must hold an object of session -> entries")
    return content


# -- results -------------------------------------------------------------------------------------

_RESULT = re.compile(rf"(.+)_({FIRST}|(?:{ALONE}|{ITERATED})_[1-9]\d?)")


def read_images(folder: Path) -> list[Drawn] | None:
    """``ID/ID_1.png``, ``ID/ID_inde_2.png``, ``ID/ID_iter_2.png``; None for any other folder."""
    found = []
    for place in sorted(path for path in folder.iterdir() if path.is_dir()):
        for file in pictures(place, deep=False):
            match = _RESULT.fullmatch(file.stem)
            if match and match[1] == place.name:
                found.append(Drawn(file, sample=f"{place.name}/{match[2]}"))
    return found or None


def published(answers: Sequence[Answer]) -> Mapping[str, Path]:
    """Results where the original's script looks for them."""
    found = {}
    for answer in answers:
        session, _, result = answer.sample.id.partition("/")
        found[f"{session}/{session}_{result}.png"] = answer.image
    return found
