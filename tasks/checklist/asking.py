"""What a judge is asked about the points of an image, and reading ``checklist.toml``.

``ask.txt`` and ``system.txt`` beside the checklist take the place of our wording. They may hold
``{prompt}``, ``{points}``, ``{point}`` and ``{note}``; what a point expects is never shown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harmon_eval.core import Ask, Score, UserError
from harmon_eval.files.question_files import read_text
from harmon_eval.metrics import likelihood
from harmon_eval.settings import did_you_mean
from harmon_eval.tasks.checklist.files import NO, PROTOCOL, YES, Item, Point, read_protocol
from harmon_eval.tasks.checklist.rules import DEPENDENCY, ITEM, Family, Protocol, Step

YES_NO = "{point} Please answer yes or no."
SHORT = "{point} Please answer with one word or number."
OURS = {
    "lines": "Look at the image and answer each of these questions with yes or no. Give one answer "
    "a line, in the same order, and nothing else.\n{points}",
    "list": "Check for each of these criteria whether the image meets it. Reply with a list of "
    'remarks and a list of 1 (met) and 0 (not met), each in the same order, as <analysis>["...", '
    '"..."]</analysis><score>[1, 0]</score>.\n{points}',
    "json": "Look at the image and answer each of these questions with Yes or No. Reply with a "
    'JSON list that holds each question once, such as [{"id": 1, "answer": "Yes"}].\n{points}',
}
PROBABILITY = "probability"  # of the expected answer, instead of a reply
TOKENS, TOKENS_A_POINT = 256, 64  # of a reply about all points
TEMPLATES = ("ask.txt", "system.txt")
CHOICES = {
    "ask": ("each", "together"),
    "reply": ("word", PROBABILITY, *OURS),
    "dependency": tuple(DEPENDENCY),
    "item": tuple(ITEM),
}
_PLACE = re.compile(r"\{(prompt|points|point|note)\}")


def filled(template: str, values: Mapping[str, str]) -> str:
    """A template with its places filled; other braces stay."""
    return _PLACE.sub(lambda found: values[found[1]], template)


def forms(point: Point) -> tuple[str, ...]:
    """What a reply begins with that gives the expected answer."""
    if point.expect in (YES, NO):
        return likelihood.YES if point.expect == YES else likelihood.NO
    others = [text for form in point.forms for text in (form, f" {form}")]
    return tuple(dict.fromkeys((*likelihood.answer_forms(point.expect), *others)))


def asks(
    item: Item, protocol: Protocol, image: Path | None, own: Mapping[str, str]
) -> list[Ask | Score]:
    """The requests about one image: one for each point, or one for all of them."""
    images = (image,) if image else ()
    points = "\n".join(f"{point.id}. {point.text}" for point in item.points)
    values = {"prompt": item.prompt, "points": points, "note": item.note}
    system = filled(own.get("system.txt", ""), {**values, "point": ""})
    if protocol.ask == "together":
        text = filled(own.get("ask.txt", OURS[protocol.reply]), {**values, "point": ""})
        return [Ask(text, images, TOKENS + TOKENS_A_POINT * len(item.points), system=system)]
    found: list[Ask | Score] = []
    for point in item.points:
        ours = YES_NO if point.expect in (YES, NO) else SHORT
        text = filled(own.get("ask.txt", ours), {**values, "point": point.text})
        if protocol.reply == PROBABILITY:
            found.append(Score(text, (forms(point),), images, system=system))
        else:
            found.append(Ask(text, images, 8, system=system))
    return found


def read_templates(folder: Path) -> dict[str, str]:
    """The user's templates beside the checklist, by file name."""
    return {
        name: read_text(folder / name).strip() for name in TEMPLATES if (folder / name).is_file()
    }


def protocol_beside(file: Path) -> Protocol:
    """What ``checklist.toml`` beside the file says (or ``NAME.toml`` beside ``NAME.jsonl``); the
    defaults where there is none. Raises UserError for unknown keys and values."""
    places = [file.with_suffix(".toml"), file.with_name(PROTOCOL)]
    place = next((place for place in places if place.is_file()), None)
    if place is None:
        return Protocol()
    return read(read_protocol(place), str(place))


def read(table: Mapping[str, Any], where: str) -> Protocol:
    known = (*CHOICES, "total", "families")
    for key in table:
        if key not in known:
            raise UserError(f"{where}: {key!r} is not known: {did_you_mean(key, known)}")
    chosen = {}
    if table.get("reply") == PROBABILITY:
        # What depends on a probability of 0.6 is not defined.
        table = {"dependency": "none", **table}
        if table["dependency"] != "none":
            raise UserError(
                f'{where}: reply = "probability" goes with dependency = "none": points depend on '
                "others only where replies are right or wrong"
            )
    for key, values in CHOICES.items():
        chosen[key] = table.get(key, getattr(Protocol, key))
        if chosen[key] not in values:
            raise UserError(f"{where}: {key} must be one of {', '.join(values)}")
    if (chosen["ask"] == "each") != (chosen["reply"] in ("word", PROBABILITY)):
        raise UserError(
            f'{where}: ask = "each" goes with reply = "word" or "probability"; ask = "together" '
            f"with {', '.join(OURS)}"
        )
    families = _families(table.get("families", {}), where)
    total = table.get("total", [{"mean": "items"}])
    return Protocol(**chosen, total=_steps(total, where), families=families)


def _families(table: Any, where: str) -> dict[str, Family]:
    found = {}
    for name, entry in table.items() if isinstance(table, Mapping) else [("families", {})]:
        of, names = (entry.get(k) if isinstance(entry, Mapping) else None for k in ("of", "names"))
        if not isinstance(names, Mapping) or not isinstance(of, str):
            raise UserError(
                f'{where}: a family is [families.NAME] with of = "GROUP" and a table names'
            )
        found[name] = Family(of, {str(k): str(v) for k, v in names.items()})
    return found


def _steps(entries: Any, where: str) -> tuple[Step, ...]:
    steps = []
    for number, entry in enumerate(entries if isinstance(entries, list) else [None]):
        allowed = ("below",) if number else ("points", "items")
        if not isinstance(entry, Mapping) or entry.get("mean") not in allowed:
            raise UserError(
                f"{where}: step {number + 1} of total must be a table with mean = "
                f"{' or '.join(allowed)}"
            )
        steps.append(Step(entry["mean"], tuple(map(str, entry.get("by", ())))))
    if not steps:
        raise UserError(f"{where}: total has no steps")
    return tuple(steps)


def check_groups(items: list[Item], protocol: Protocol, where: str) -> None:
    """Raises UserError for a group of the totals that an item lacks, and for an expected word
    where the points are asked about together."""
    wanted = {name for step in protocol.total for name in step.by if name != "kind"}
    wanted = {protocol.families[n].of if n in protocol.families else n for n in wanted}
    for item in items:
        if lacks := sorted(wanted - item.group.keys()):
            raise UserError(f"{where}, item {item.id!r}: its group lacks {lacks[0]!r}")
        for point in item.points:
            if protocol.ask == "together" and point.expect not in ("yes", "no"):
                raise UserError(
                    f"{where}, item {item.id!r}, point {point.id}: only yes and no can be expected "
                    'where points are asked about together: use ask = "each"'
                )
