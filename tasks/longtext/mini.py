"""LongText-Bench's files for the mini suite's pages."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from harmon_eval.suites.mini.pages import CHINESE

SEED, PROMPTS = 2_507, 24
KINDS = {"signboard": "sign", "poster": "poster", "label": "label", "dialogue": "page"}
TEXT = (
    "Open all day Monday to Friday from nine until five please ring the bell Fresh bread and "
    "coffee Gate 12 is closed for repairs until June 30 Mind the step café menu"
)


def _line(rng: np.random.Generator, language: str) -> str:
    if language == "zh":
        return "".join(rng.choice(CHINESE, size=rng.integers(3, 9)))
    return " ".join(rng.choice(TEXT.split(), size=rng.integers(2, 5)))


def row(number: int, language: str) -> dict[str, object]:
    rng = np.random.default_rng((SEED, number, language == "zh"))
    kind, thing = list(KINDS.items())[number % len(KINDS)]
    texts = [_line(rng, language) for _ in range(1 + number % 3)]
    quoted = " and ".join(f'"{text}"' for text in texts)
    return {
        "prompt_id": number,
        "category": kind,
        "length": "short" if len(texts) == 1 else "long",
        "prompt": f"A white {thing} that says {quoted} in black letters.",
        "text": texts,
        "text_length": len(" ".join(texts)),
    }


def make(folder: Path, file: str, language: str) -> None:
    lines = [
        json.dumps(row(number, language), ensure_ascii=False) + "\n" for number in range(PROMPTS)
    ]
    (folder / file).write_text("".join(lines), encoding="utf-8")
