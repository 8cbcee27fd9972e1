"""ImgEdit-Bench's judge: what it is asked, how its replies are read, how scores add up.

Protocol: PKU-YuanGroup/ImgEdit @ 547185d. A reply has three labelled lines; the score of an image
is their mean. ``original_scores`` does what the original's script does.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from harmon_eval.core import UserError
from harmon_eval.files.question_files import read_text
from harmon_eval.instruments.rubrics import Rubric
from harmon_eval.replies.numbers import labelled

LOW, HIGH = 1, 5
MAX_TOKENS = 2048  # the original sets no limit
PLACEHOLDER = "<edit_prompt>"
UGE = "uge"


@dataclass(frozen=True)
class Criteria:
    """The labels of the three lines, and what they are about in our rubric."""

    labels: tuple[str, str, str]
    wanted: str
    looks: str = "could the result be a photograph that was never edited?"
    sound: str = "are light, shadow, perspective and fine detail right?"


TYPES: Mapping[str, Criteria] = {
    "replace": Criteria(
        ("Prompt Compliance", "Visual Naturalness", "Physical & Detail Integrity"),
        "all objects that are named, and only they, are replaced by what is named, in the same "
        "number, place and pose",
    ),
    "add": Criteria(
        ("Prompt Compliance", "Visual Naturalness", "Physical & Detail Coherence"),
        "what is named was added, with every attribute, at a sensible place",
    ),
    "adjust": Criteria(
        ("Prompt Compliance", "Visual Seamlessness", "Physical & Detail Fidelity"),
        "the attribute that is named was changed as told, and nothing else",
    ),
    "remove": Criteria(
        ("Prompt Compliance", "Visual Naturalness", "Physical & Detail Integrity"),
        "all objects that are named, and only they, are gone, and nothing new stands in the gap",
    ),
    "style": Criteria(
        ("Style Fidelity", "Content Preservation", "Rendering Quality"),
        "the whole picture has the style that is named",
        "is the content of the picture the same?",
        "is the picture well made, without artefacts?",
    ),
    "action": Criteria(
        ("Action Fidelity", "Identity Preservation", "Visual & Anatomical Coherence"),
        "the pose, place or expression is as told",
        "is it the same subject, in every feature?",
        "are body, limbs, light and surroundings right?",
    ),
    "extract": Criteria(
        ("Object Identity", "Mask Precision", "Visual Quality"),
        "the very object that is named is shown, and whole",
        "is its edge exact, on pure white?",
        "was nothing of its detail lost?",
    ),
    "background": Criteria(
        ("Instruction Compliance", "Visual Seamlessness", "Physical Consistency"),
        "the background is as told, and the foreground is untouched",
    ),
    "compose": Criteria(
        ("Instruction Compliance", "Visual Naturalness", "Physical Consistency & Fine Detail"),
        "both changes were made, each to its own object",
    ),
}
OLD_NAMES = {"alter": "adjust"}  # before 2025-06-16


@dataclass(frozen=True)
class Scores:
    """The scores of a reply, 1 to 5; ``rule`` says how they were read."""

    values: tuple[int, ...]
    rule: str

    @property
    def mean(self) -> float:
        return sum(self.values) / len(self.values)


def parse(reply: str, labels: tuple[str, ...]) -> Scores | None:
    """The labelled scores, in whatever form; without all of them what the original reads.

    None for a reply without scores, or with one that is not 1 to 5."""
    found = labelled(reply, labels, LOW, HIGH)
    values = [found.get(label) for label in labels]
    numbers = tuple(value for value in values if value is not None)
    if len(numbers) == len(labels):
        return Scores(numbers, "labels")
    try:
        lines = original_scores(reply)
    except ValueError:
        return None
    sound = lines and all(LOW <= value <= HIGH for value in lines)
    return Scores(tuple(lines), "original") if sound else None


def original_scores(reply: str) -> list[int]:
    """The numbers that the original finds: on lines of two pieces around ": ", the second of digits
    alone. Raises ValueError where the original does, as for a superscript."""
    pieces = (line.strip().split(": ") for line in reply.splitlines())
    return [int(pair[1]) for pair in pieces if len(pair) == 2 and pair[1].isdigit()]


def original_mean(reply: str) -> float | None:
    """The original's score of an image, rounded to two digits; None for one that it leaves out.

    Raises ValueError where the original's script stops."""
    found = original_scores(reply)
    return round(sum(found) / len(found), 2) if found else None


def would_drop(reply: str) -> bool:
    """Whether the original leaves the image out, or stops at it."""
    try:
        return original_mean(reply) is None
    except ValueError:
        return True


def type_means(scores: Iterable[tuple[str, float]]) -> dict[str, float]:
    """The original's mean of each type, rounded to two digits, of (type, score) pairs."""
    found: dict[str, list[float]] = {}
    for kind, score in scores:
        found.setdefault(kind, []).append(score)
    return {kind: round(sum(own) / len(own), 2) for kind, own in found.items()}


# -- rubrics -------------------------------------------------------------------------------------


def read_rubric(folder: Path, names: Iterable[str]) -> Rubric:
    """``prompts.json`` or ``judge_prompt.json`` (type -> text) or ``rubric/TYPE.txt`` of the data
    folder, or our own wording. For UGE ``rubric_uge.txt``.

    Raises UserError for a type without a text, or a text without its placeholder."""
    wanted = list(dict.fromkeys(names))
    given = _given(folder, wanted)
    texts = {name: given[name] if name in given else ours(name) for name in wanted}
    if given and (lacking := [name for name in wanted if name not in given]):
        raise UserError(f"{folder}: the rubric has no text for {lacking[0]!r}: add it")
    for name, text in texts.items():
        if PLACEHOLDER not in text:
            raise UserError(f"{folder}: the rubric of {name} lacks {PLACEHOLDER}")
    return Rubric(texts, "given" if given else "ours")


def _given(folder: Path, names: list[str]) -> dict[str, str]:
    files = {name: folder / "rubric" / f"{name}.txt" for name in names}
    if names == [UGE]:
        files = {UGE: folder / "rubric_uge.txt"}
    elif table := next((f for p in PROMPTS if (f := folder / p).is_file()), None):
        return _prompts(table)
    return {name: read_text(file) for name, file in files.items() if file.is_file()}


PROMPTS = ("prompts.json", "singleturn/judge_prompt.json", "judge_prompt.json")


def _prompts(file: Path) -> dict[str, str]:
    try:
        content = json.loads(read_text(file))
        return {OLD_NAMES.get(str(k), str(k)): v for k, v in content.items() if isinstance(v, str)}
    except (ValueError, AttributeError) as error:
        raise UserError(f"{file} must be an object of type -> text ({error})") from None


def ours(name: str) -> str:
    here = Path(__file__).parent
    if name == UGE:
        return read_text(here / "rubric_uge.txt").strip()
    criteria = TYPES[name]
    text = read_text(here / "rubric.txt").strip()
    parts = dict(zip(("first", "second", "third"), criteria.labels, strict=True))
    parts |= {"type": name, "wanted": criteria.wanted}
    parts |= {"looks": criteria.looks, "sound": criteria.sound}
    for part, words in parts.items():
        text = text.replace(f"<{part}>", words)
    return text
