"""Drawings in another tool's log: which sample each is of, and its picture.

lmms-eval names files, inspect_ai keeps the pictures; lm-eval and VLMEvalKit have no drawings. A
name is looked for inside of the given folders only, whatever folders it begins with.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from PIL import Image

from harmon_eval.core import Draw, Sample, Unscorable, UserError
from harmon_eval.exchange.logs.log import LoggedSample
from harmon_eval.exchange.matching import Matched, match
from harmon_eval.files.images import decode_image
from harmon_eval.files.question_files import find_image
from harmon_eval.store.digests import sha256_of


def of_samples(
    samples: Sequence[Sample], logged: Sequence[LoggedSample], folders: Sequence[Path]
) -> tuple[Matched, dict[str, Image.Image | Exception]]:
    """What the log has drawn, by sample. Of several drawings of one prompt, each is a sample's.

    Raises UserError where the files of none of them are in ``folders``."""
    alike: dict[tuple[object, ...], list[Sample]] = defaultdict(list)
    for sample in samples:
        request = sample.request
        alike[request.text, tuple(request.files), sample.group].append(sample)
    several = {own[0].id: sorted(own, key=_index) for own in alike.values()}
    matched = match([own[0] for own in several.values()], _together(logged))
    found: dict[str, Image.Image | Exception] = {}
    missing: list[str] = []
    for first, one in matched.found.items():
        drawn = one.drawn or []
        for sample, drawing in zip(several[first], drawn, strict=False):
            found[sample.id] = _opened(drawing, folders, missing)
        if not drawn:
            found[first] = Unscorable(one.error or "the model drew nothing")
    if missing and len(missing) == len(found):
        looked = " or ".join(map(str, folders))
        raise UserError(
            f"none of the {len(missing)} drawings that the log names is in {looked}, such as "
            f"{missing[0][:80]!r}: give their folder as --images DIR"
        )
    return matched, found


def _index(sample: Sample) -> int:
    return sample.request.index if isinstance(sample.request, Draw) else 0


def _together(logged: Sequence[LoggedSample]) -> list[LoggedSample]:
    """One entry a prompt, with the drawings of all its repetitions."""
    found: dict[tuple[object, ...], LoggedSample] = {}
    for one in logged:
        pictures = tuple(sha256_of(i) if isinstance(i, bytes) else i for i in one.images)
        known = found.setdefault((one.question, pictures, frozenset(one.keys)), one)
        if known is not one and one.drawn:
            again = replace(known, drawn=[*(known.drawn or []), *one.drawn], error="")
            found[one.question, pictures, frozenset(one.keys)] = again
    return list(found.values())


def _opened(
    drawing: bytes | str, folders: Sequence[Path], missing: list[str]
) -> Image.Image | Exception:
    """The picture; for one that is not here, its name is added to ``missing``."""
    try:
        if isinstance(drawing, bytes):
            return decode_image(drawing, "a drawing of the log")
        if (file := _file(drawing, folders)) is None:
            missing.append(drawing)
            return Unscorable("the drawing's file is not here")
        return decode_image(file.read_bytes(), "a drawing of the log")
    except Unscorable as error:
        return error


def _file(name: str, folders: Sequence[Path]) -> Path | None:
    """The file whose path ends as the name does, the longest end first."""
    parts = [part for part in PurePosixPath(name).parts if part not in ("/", "..")]
    for start in range(len(parts)):
        try:
            return find_image("/".join(parts[start:]), folders)
        except UserError:
            continue
    return None
