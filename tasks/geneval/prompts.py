"""GenEval's prompts: the official 553, reproduced by the official procedure, and fresh ones."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harmon_eval.core import Sample, UserError
from harmon_eval.instruments.vocabulary import OBJECT_NAMES, PALETTE
from harmon_eval.store.digests import sha256_of
from harmon_eval.suites.mini.scenes import SHAPES

FILE = "evaluation_metadata.jsonl"
OFFICIAL_SEED = 43
OFFICIAL_SHA256 = "5c48e0813e812e3c373fa5c8ed07a8f0a483be30272b4427b0559c8048e67c13"
FRESH_SEED = 250321979
FRESH_SHA256 = "99afeaba7f6ce7e7ff093c8f21348f98f393437e4943d94f589813c283a9c86e"
TAGS = ("single_object", "two_object", "counting", "colors", "position", "color_attr")
RELATIONS = ("left of", "right of", "above", "below")
NUMBER_WORDS = {1: "one", 2: "two", 3: "three", 4: "four"}


def with_article(phrase: str) -> str:
    return ("an " if phrase[0] in "aeiou" else "a ") + phrase


def plural(name: str) -> str:
    """The official rule with its quirks: "es" after a final s, else "s" (toothbrushs, sheeps)."""
    return name + ("es" if name.endswith("s") else "s")


def clause(name: str, count: int = 1, **attribute: Any) -> dict[str, Any]:
    return {"class": name, "count": count, **attribute}


def single(name: str) -> dict[str, Any]:
    prompt = f"a photo of {with_article(name)}"
    return {"tag": "single_object", "include": [clause(name)], "prompt": prompt}


def two(a: str, b: str) -> dict[str, Any]:
    prompt = f"a photo of {with_article(a)} and {with_article(b)}"
    return {"tag": "two_object", "include": [clause(a), clause(b)], "prompt": prompt}


def counting(name: str, count: int) -> dict[str, Any]:
    return {
        "tag": "counting",
        "include": [clause(name, count)],
        "exclude": [clause(name, count + 1)],
        "prompt": f"a photo of {NUMBER_WORDS[count]} {plural(name)}",
    }


def colors(name: str, color: str) -> dict[str, Any]:
    prompt = f"a photo of {with_article(f'{color} {name}')}"
    return {"tag": "colors", "include": [clause(name, color=color)], "prompt": prompt}


def position(subject: str, relation: str, reference: str) -> dict[str, Any]:
    include = [clause(reference), clause(subject, position=[relation, 0])]
    prompt = f"a photo of {with_article(subject)} {relation} {with_article(reference)}"
    return {"tag": "position", "include": include, "prompt": prompt}


def color_attr(a: str, color_a: str, b: str, color_b: str) -> dict[str, Any]:
    include = [clause(a, color=color_a), clause(b, color=color_b)]
    both = f"{with_article(f'{color_a} {a}')} and {with_article(f'{color_b} {b}')}"
    return {"tag": "color_attr", "include": include, "prompt": f"a photo of {both}"}


def without_repeats(items: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Keep only the first of equal items."""
    return list({json.dumps(item): item for item in items}.values())


def generate(seed: int, samples: int = 100) -> list[dict[str, Any]]:
    """Prompts by the official procedure. Seed 43 gives the official file; others, fresh prompts."""
    rng = np.random.default_rng(seed)
    n, person = len(OBJECT_NAMES), OBJECT_NAMES.index("person")

    def things(size: int) -> list[str]:
        """Distinct objects that can have a colour: anything except a person."""
        picked = rng.choice(n - 1, size=size, replace=False) if size > 1 else [rng.choice(n - 1)]
        return [OBJECT_NAMES[(int(i) + 1 + person) % n] for i in picked]

    items = [single(OBJECT_NAMES[i]) for i in rng.choice(n, size=n, replace=False)]
    for _ in range(samples):
        a, b = rng.choice(n, size=2, replace=False)
        items.append(two(OBJECT_NAMES[a], OBJECT_NAMES[b]))
    for _ in range(samples):
        name = OBJECT_NAMES[rng.choice(n)]
        items.append(counting(name, int(rng.integers(2, 4, endpoint=True))))
    for _ in range(samples):
        (name,) = things(1)
        items.append(colors(name, PALETTE[rng.choice(len(PALETTE))]))
    for _ in range(samples):
        subject, reference = rng.choice(n, size=2, replace=False)
        relation = RELATIONS[rng.choice(len(RELATIONS))]
        items.append(position(OBJECT_NAMES[subject], relation, OBJECT_NAMES[reference]))
    for _ in range(samples):
        a_name, b_name = things(2)
        color_a, color_b = rng.choice(len(PALETTE), size=2, replace=False)
        items.append(color_attr(a_name, PALETTE[color_a], b_name, PALETTE[color_b]))
    return without_repeats(items)


def fresh_metadata() -> str:
    """Prompts of the same distribution from another seed, as text like ``official_metadata``.

    Raises UserError if this NumPy version generates different numbers."""
    text = to_jsonl(generate(FRESH_SEED))
    if sha256_of(text) != FRESH_SHA256:
        raise UserError(
            f"NumPy {np.__version__} does not reproduce the fresh prompts: use another version, "
            "or pass --data DIR with geneval_fresh/evaluation_metadata.jsonl in it"
        )
    return text


def to_jsonl(items: Sequence[dict[str, Any]]) -> str:
    return "".join(json.dumps(item) + "\n" for item in items)


def official_metadata() -> str:
    """Text of the official ``evaluation_metadata.jsonl``, 553 lines.

    Raises UserError if this NumPy version generates different numbers, as a new version may."""
    text = to_jsonl(generate(OFFICIAL_SEED))
    if sha256_of(text) != OFFICIAL_SHA256:
        raise UserError(
            f"NumPy {np.__version__} does not reproduce GenEval's prompts: download "
            "prompts/evaluation_metadata.jsonl of djghosh13/geneval and pass its folder as --data"
        )
    return text


def write_official(folder: Path) -> None:
    (folder / FILE).write_text(official_metadata(), encoding="utf-8")


def write_fresh(folder: Path) -> None:
    (folder / FILE).write_text(fresh_metadata(), encoding="utf-8")


def census(samples: Iterable[Sample]) -> tuple[str, ...]:
    """The single objects, if the prompts are those of all 80 classes of COCO or of all shapes."""
    asked = {sample.request.text for sample in samples if sample.stratum == "single_object"}
    every = ({single(name)["prompt"] for name in names} for names in (OBJECT_NAMES, SHAPES))
    return ("single_object",) if asked in every else ()
