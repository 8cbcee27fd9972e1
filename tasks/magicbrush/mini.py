"""MagicBrush's files, made from the mini suite's world of edits: sessions of two turns."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from harmon_eval.suites.mini.edit_images import caption, png, write_floor
from harmon_eval.suites.mini.edits import MiniEdit, sample_edit, turns
from harmon_eval.tasks.magicbrush.files import CAPTIONS, SESSIONS

SEED, NUMBER = 7_000, 24


def sessions() -> Iterator[tuple[str, list[MiniEdit]]]:
    for number in range(NUMBER):
        rng = np.random.default_rng([SEED, number])
        yield str(number + 1), turns(sample_edit(rng, "hybrid"), rng)


def make(folder: Path) -> None:
    """``edit_sessions.json``, ``local_captions.json`` and ``images/ID``."""
    rng = np.random.default_rng(SEED)
    lists: dict[str, list[dict[str, str]]] = {}
    captions: dict[str, dict[str, str]] = {}
    for key, session in sessions():
        place = folder / "images" / key
        place.mkdir(parents=True)
        (place / f"{key}-input.png").write_bytes(png(session[0].source))
        names = [f"{key}-input.png", *(f"{key}-output{n}.png" for n in (1, 2))]
        lists[key] = []
        for number, turn in enumerate(session, 1):
            (place / names[number]).write_bytes(png(turn.target))
            entry = {"input": names[number - 1], "output": names[number]}
            lists[key].append({**entry, "instruction": turn.instruction})
            captions.setdefault(key, {})[names[number]] = caption(turn.target)
            for setting in ("inde", "iter") if number > 1 else ("",):
                result = f"{setting}_{number}" if setting else "1"
                write_floor(folder, f"{key}/{result}", turn, rng)
    (folder / SESSIONS).write_text(json.dumps(lists, indent=1), encoding="utf-8")
    (folder / CAPTIONS[0]).write_text(json.dumps(captions, indent=1), encoding="utf-8")
