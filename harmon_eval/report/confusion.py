"""Which answers were expected and which were given: distribution and confusion matrix of a task."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from harmon_eval.report.gather import TaskView, absent

EXPECTED = ("answer", "label", "truth")
NOT_READ, OTHER, SAME = "not read", "other", "the right one"
MOST = 10  # answers with a row of their own
LONGEST = 28  # characters of an answer


@dataclass(frozen=True)
class Confusion:
    """``counts[i][j]``: how often ``given[j]`` was read where ``expected[i]`` is right.

    Rare answers are ``other`` ones; where one of them is right and was given, that is ``the right
    one``, so that no mistake looks like a right answer."""

    run: str
    expected: tuple[str, ...]
    given: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]

    @property
    def total(self) -> int:
        return sum(map(sum, self.counts))

    @property
    def distribution(self) -> list[tuple[str, int, int]]:
        """Each answer with how often it is right, and how often it was given."""
        rows = {name: sum(own) for name, own in zip(self.expected, self.counts, strict=True)}
        columns: Counter[str] = Counter()
        for name, own in zip(self.given, zip(*self.counts, strict=True), strict=True):
            columns[OTHER if name == SAME else name] += sum(own)
        names = dict.fromkeys((*self.expected, *columns))
        return [(name, rows.get(name, 0), columns.get(name, 0)) for name in names]

    def right(self, row: int, column: int) -> bool:
        """Whether the answers counted there are right."""
        expected, given = self.expected[row], self.given[column]
        return given == SAME if expected == OTHER else given == expected

    def shade(self, row: int, column: int) -> int:
        """From 0 to 9, by the share of the row."""
        whole = sum(self.counts[row])
        return round(9 * self.counts[row][column] / whole) if whole else 0


def confusion(view: TaskView, run: str) -> Confusion | None:
    """None for a task whose rows hold no answers to compare, or none but different ones."""
    pairs = Counter(_pairs(view))
    if not pairs:
        return None
    rows: Counter[str] = Counter()
    columns: Counter[str] = Counter()
    for (expected, given), count in pairs.items():
        rows[expected] += count
        columns[given] += count
    if rows.most_common(1)[0][1] < 2 and len(rows) > MOST:
        return None
    right = _names(rows, [])
    read = _names(columns, right)
    rare = {name for name in rows if name not in right}
    if any(expected == given for expected, given in pairs if expected in rare):
        read.append(SAME)
    counts = [[0] * len(read) for _ in right]
    for (expected, given), count in pairs.items():
        named = SAME if expected == given and expected in rare else given
        counts[_place(right, expected)][_place(read, named)] += count
    return Confusion(run, tuple(right), tuple(read), tuple(map(tuple, counts)))


def _names(counts: Counter[str], first: list[str]) -> list[str]:
    """The most frequent answers, ``first`` those of the other side, and what the rest is called."""
    chosen = [name for name in first if name in counts]
    chosen += [n for n, _ in counts.most_common() if n not in chosen and n != NOT_READ]
    names = chosen[:MOST] if first else sorted(chosen[:MOST])
    if len(chosen) > len(names):
        names.append(OTHER)
    return names + [NOT_READ] * (NOT_READ in counts)


def _place(names: list[str], name: str) -> int:
    return names.index(name if name in names else OTHER)


def _pairs(view: TaskView) -> Iterator[tuple[str, str]]:
    for sample_id, row in view.rows.items():
        if "parsed" not in row or not absent(row.get("unscored")):
            continue
        sample = view.samples.get(sample_id)
        wanted = _expected(row, sample.target if sample else {})
        if wanted:
            parsed = row["parsed"]
            yield wanted, NOT_READ if absent(parsed) or parsed == "" else _short(parsed)


def _expected(row: Mapping[str, Any], target: Mapping[str, Any]) -> str:
    for source in (row, target):
        for name in EXPECTED:
            if not absent(value := source.get(name)) and value != "":
                return _short(value)
    answers = target.get("answers")
    return _short(answers[0]) if isinstance(answers, list | tuple) and answers else ""


def _short(value: object) -> str:
    text = " ".join(str(value).split()).lower()
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
