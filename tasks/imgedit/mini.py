"""ImgEdit-Bench's files, made from the mini suite's world of edits: 7 of its 9 types."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harmon_eval.suites.mini.edit_images import png, write_floor
from harmon_eval.suites.mini.edits import MiniEdit, sample_edit, turns

SEED = 4_000
PER_TYPE, HARD, SESSIONS = 20, 20, 12
KINDS = {
    "add": ("add",),
    "adjust": ("recolour", "resize"),
    "replace": ("replace",),
    "remove": ("remove",),
    "background": ("background",),
    "action": ("move",),
    "compose": ("hybrid",),
}


@dataclass(frozen=True)
class Item:
    key: str
    kind: str
    edit: MiniEdit


def items() -> Iterator[Item]:
    """Single turns; half of the targets show combinations that training leaves out."""
    for place, (kind, own) in enumerate(KINDS.items()):
        for number in range(PER_TYPE):
            rng = np.random.default_rng([SEED, place, number])
            edit = sample_edit(rng, own[number % len(own)], unseen=number // 2 % 2 == 0)
            yield Item(str(100 * place + number), kind, edit)


def hard() -> Iterator[Item]:
    """Edits of two demands each, in the place of UGE's."""
    for number in range(HARD):
        rng = np.random.default_rng([SEED, 50, number])
        yield Item(str(number + 1), "uge", sample_edit(rng, "hybrid"))


def sessions() -> Iterator[tuple[str, list[MiniEdit]]]:
    """Two turns each: the demands of a hybrid edit, one after the other."""
    for number in range(SESSIONS):
        rng = np.random.default_rng([SEED, 60, number])
        yield str(number + 1), turns(sample_edit(rng, "hybrid"), rng)


def make(folder: Path) -> None:
    """Write the lists of single turns, hard edits and sessions, with their images."""
    rng = np.random.default_rng(SEED)
    single, own = {}, folder / "singleturn" / "shapes"
    own.mkdir(parents=True)
    for item in items():
        name = f"shapes/{int(item.key):06d}.png"
        (folder / "singleturn" / name).write_bytes(png(item.edit.source))
        single[item.key] = {"id": name, "prompt": item.edit.instruction, "edit_type": item.kind}
        write_floor(folder, item.key, item.edit, rng)
    text = json.dumps(single, indent=4)
    (folder / "singleturn" / "singleturn.json").write_text(text, encoding="utf-8")
    (folder / "hard").mkdir()
    lines = []
    for item in hard():
        (folder / "hard" / f"{item.key}.png").write_bytes(png(item.edit.source))
        line = {"key": item.key, "id": f"{item.key}.png", "prompt": item.edit.instruction}
        lines.append(json.dumps(line))
        write_floor(folder, f"uge/{item.key}", item.edit, rng)
    (folder / "hard" / "annotation.jsonl").write_text("\n".join(lines), encoding="utf-8")
    place = folder / "multiturn" / "content_memory"
    place.mkdir(parents=True)
    lines = []
    for key, session in sessions():
        (place / f"{key}.png").write_bytes(png(session[0].source))
        texts = {f"turn{n}": turn.instruction for n, turn in enumerate(session, 1)}
        lines.append(json.dumps({"key": key, "id": f"{key}.png", **texts}))
    (place / "annotation.json").write_text("\n".join(lines), encoding="utf-8")
