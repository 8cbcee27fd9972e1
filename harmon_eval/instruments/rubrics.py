"""What a judge is told: the wording that ships here, or the user's files in the data folder."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from harmon_eval.core import UserError
from harmon_eval.files.question_files import read_text
from harmon_eval.store.digests import sha256_of


@dataclass(frozen=True)
class Rubric:
    """Texts by name. ``kind`` is "ours", or "given" for the user's files."""

    texts: Mapping[str, str]
    kind: str

    def digest(self, names: Iterable[str] = ()) -> str:
        """Of these texts in order (none: of all)."""
        return sha256_of("\0".join(self.texts[name] for name in names or self.texts))[:12]

    def filled(self, name: str, values: Mapping[str, str]) -> str:
        """A text with its placeholders replaced; what replaces one is not searched for others."""
        pattern = "|".join(map(re.escape, values))
        return re.sub(pattern, lambda found: values[found[0]], self.texts[name])


def read_rubric(
    folder: Path, here: Path, needs: Mapping[str, str], kinds: Iterable[str] = ()
) -> Rubric:
    """``rubric_NAME.txt`` of the data folder for each name, all or none; else those in ``here``.

    ``needs`` gives each name the placeholder without which the judge would not see what was asked
    for ("" for none). Beside the user's files ``rubric_KIND_NAME.txt`` has the text for one of the
    ``kinds`` of samples, as ``KIND_NAME``. Raises UserError where some files are missing, or a
    placeholder."""
    special = {
        f"{kind}_{name}": place
        for kind in kinds
        for name, place in needs.items()
        if (folder / f"rubric_{kind}_{name}.txt").is_file()
    }
    if special:
        needs = {**needs, **special}
    own = {name: folder / f"rubric_{name}.txt" for name in needs}
    lacking = [file for file in own.values() if not file.is_file()]
    if lacking and len(lacking) < len(own):
        raise UserError(f"{lacking[0]} is missing: give all of {', '.join(needs)}, or none")
    files = {name: here / f"rubric_{name}.txt" for name in needs} if lacking else own
    texts = {name: read_text(file).strip() for name, file in files.items()}
    for name, placeholder in needs.items():
        if placeholder not in texts[name]:
            raise UserError(f"{files[name]} lacks {placeholder}: the judge could not see it")
    return Rubric(texts, "ours" if lacking else "given")
