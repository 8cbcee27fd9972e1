"""When a short free answer is the wanted one: numbers by value, everything else by its words.

The rule of ``vqa:``, this project's own; GQA's rules are in ``gqa_answers``. Both sides are folded:
case, compatible Unicode forms, typographic quotes and dashes, a full stop at the end, Markdown and
quotes around the whole. Signs, decimal points and other marks count: -5 is not 5, 3.5 not 35, C++
not C.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence

from harmon_eval.replies.numbers import folded

# A number by value: sign, digits without zeros at either end, and the power of ten behind them.
Value = tuple[str, str, int]
Part = Value | str

_QUOTES = str.maketrans({**dict.fromkeys("‘’‚‛′´", "'"), **dict.fromkeys("“”„‟″«»", '"'), "⁄": "/"})
_WRAPS = frozenset("*_'\"`")
_LETTER = r"[^\W\d_]"
# What says nothing beside a word: a comma or full stop with a blank behind it, double quotes.
_SILENT = re.compile(rf'(?<={_LETTER})[.,;](?= )|"(?={_LETTER})|(?<={_LETTER})"')
_END = re.compile(r"(?<![.,;:!?])[.,;:!?]{1,9}$")
_TOKEN = re.compile(
    # A sign is the number's where nothing stands before it: 5-3 is a difference, or a range.
    r"(?P<sign>(?<![^\s(\[=:])[+-](?=\.?\d))?"
    r"(?P<number>\d{1,3}(?: \d{3}(?!\d))+(?:\.\d+)?|\d(?:[\d.,]*\d)?|(?<![\w.])\.\d+)"
    r"(?P<power>e[+-]?\d{1,6}(?!\w))?"
    rf"|(?P<word>{_LETTER}+(?:'{_LETTER}+)*)|(?P<mark>\S)"
)
_PLAIN_NUMBER = re.compile(r"(?:\d+|\d{1,3}(?:,\d{3})+|\d{1,3}(?: \d{3})+)?(?:\.\d+)?")
_UNITS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen"),
    "nineteen",
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_SMALL = {word: n for n, word in enumerate(_UNITS)}
_SMALL |= {word: 10 * n for n, word in enumerate(_TENS, start=2)}
_LARGE = {"thousand": 10**3, "million": 10**6, "billion": 10**9}

# No form of an answer is longer: so many times its characters, and so many besides.
LONGER, LONG = 20, 1000


def same(reply: str, wanted: str) -> bool:
    """Whether the reply is the wanted answer. A percent sign may be left out of the reply."""
    if len(reply.strip()) > LONGER * len(wanted) + LONG:
        return False
    given, right = parts(reply), parts(wanted)
    if not given or not right:
        return False
    return given == right or (right[1:] == ["%"] and given == right[:1])


def parts(text: str) -> list[Part]:
    """What an answer consists of: numbers by value, words and marks as they are."""
    found: list[Part] = []
    for part in _spoken(list(_tokens(_plain(text)))):
        before = found[-1] if found else ""
        first = len(found) < 2 or isinstance(found[-2], str)
        if isinstance(part, tuple) and before in ("minus", "negative") and first:
            found[-1] = ("" if part[0] or not part[1] else "-", *part[1:])
        elif part == "percent":
            found.append("%")
        elif part == "cent" and before == "per":
            found[-1] = "%"
        elif part == "-" and isinstance(before, str) and before.isalpha():
            continue  # t-shirt is t shirt
        else:
            found.append(part)
    return found


def _plain(text: str) -> str:
    """One line in lower case, without what only frames the answer."""
    line = " ".join(folded(text).translate(_QUOTES).casefold().split())
    if not line.isascii():
        line = "".join(str(unicodedata.decimal(c)) if c.isdecimal() else c for c in line)
    if not re.search(r"[^\W_]", line):
        return line  # an answer of marks alone: each of them counts
    for _ in range(2):
        start, end = 0, len(line)
        while end - start > 2 and line[start] in _WRAPS and line[start] == line[end - 1]:
            start, end = start + 1, end - 1
        line = line[start:end].strip()
        ending = _END.search(line)
        # After a digit, ! and ? may be a part of the answer.
        if ending and not (line[ending.start() - 1].isdigit() and ending[0].strip(".,;:")):
            line = line[: ending.start()]
    return _SILENT.sub("", line)


def _tokens(line: str) -> Iterator[Part]:
    for token in _TOKEN.finditer(line):
        number = token["number"]
        if number is None:
            yield token[0]
        elif _PLAIN_NUMBER.fullmatch(number):
            yield _value(token["sign"] or "", number, token["power"] or "e0")
        else:
            yield token[0]  # a version, an address, a date: as it is written


def _value(sign: str, number: str, power: str) -> Value:
    whole, _, decimals = number.replace(",", "").replace(" ", "").partition(".")
    digits = (whole + decimals).lstrip("0")
    short = digits.rstrip("0")
    exponent = int(power[1:]) - len(decimals) + len(digits) - len(short)
    return ("-" if sign == "-" else "", short, exponent) if short else ("", "", 0)


def _spoken(tokens: Sequence[Part]) -> Iterator[Part]:
    """The tokens, with numbers for number words: three, twenty-one, two hundred and five."""
    place = 0
    while place < len(tokens):
        value, length = _number_words(tokens, place)
        yield _value("", str(value), "e0") if length else tokens[place]
        place += max(1, length)


def _number_words(tokens: Sequence[Part], start: int) -> tuple[int, int]:
    """The number that begins here in words, and how many tokens it is; none has no tokens."""
    total, current, place, read, largest = 0, -1, start, 0, 10**12
    while place < len(tokens):
        word = tokens[place]
        # twenty-one, two hundred and five, two thousand and five
        if (current > 0 or total) and word in ("-", "and"):
            rest = max(current, 0) % 100
            fits = rest in range(20, 100, 10) if word == "-" else rest == 0
            following = tokens[place + 1] if place + 1 < len(tokens) else ""
            if not fits or following not in _SMALL or not _SMALL[str(following)]:
                break
            place, word = place + 1, following
        if not isinstance(word, str):
            break
        if word in _SMALL:
            small = _SMALL[word]
            room = 100 if current % 100 == 0 else 10 if current % 10 == 0 and current > 10 else 0
            if current > 0 and not 0 < small < room:
                break
            if current == 0:
                break
            current = small if current < 0 else current + small
        elif word == "hundred" and 0 < current < 100:
            current *= 100
        elif word in _LARGE and current > 0 and _LARGE[word] < largest:
            largest = _LARGE[word]
            total, current = total + current * largest, -1
        else:
            break
        place += 1
        read = place - start
    return total + max(current, 0), read
