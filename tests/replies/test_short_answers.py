"""Numbers by value, words by their letters: pairs that are made, and pairs that people write."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harmon_eval.replies.short_answers import same

MANY = settings(max_examples=400)
Number = tuple[int, int]  # whole number of units, each of which is a tenth to the power


@st.composite
def numbers(draw: st.DrawFn) -> Number:
    return draw(st.integers(-(10**7), 10**7)), draw(st.integers(0, 4))


def value(number: Number) -> Fraction:
    return Fraction(number[0], 10 ** number[1])


@st.composite
def written(draw: st.DrawFn, number: Number) -> str:
    """One of the ways to write a number."""
    units, places = number
    digits = str(abs(units)).rjust(places + 1, "0")
    whole, decimals = digits[: len(digits) - places], digits[len(digits) - places :]
    decimals += "0" * draw(st.integers(0, 2))
    if draw(st.booleans()):
        gap = draw(st.sampled_from([",", "\u00a0", " ", "\u202f"]))
        whole = f"{int(whole):,}".replace(",", gap)
    text = whole + (f".{decimals}" if decimals else "")
    if draw(st.booleans()):  # full-width digits and marks
        text = "".join(chr(ord(c) + 0xFEE0) if c.isascii() and c != " " else c for c in text)
    if units < 0:
        text = draw(st.sampled_from(["-", "−", "－", "minus ", "Negative "])) + text
    elif draw(st.booleans()):
        text = "+" + text
    before, after = draw(
        st.sampled_from([("", ""), ("**", "**"), ("“", "”"), (" ", "."), ("", ".\n")])
    )
    return before + text + after


@MANY
@given(st.data(), numbers(), numbers())
def test_numbers_match_if_and_only_if_they_are_equal(
    data: st.DataObject, one: Number, other: Number
) -> None:
    first, second = data.draw(written(one)), data.draw(written(other))
    assert same(first, second) == (value(one) == value(other)), (first, second)


@MANY
@given(st.data(), numbers())
def test_a_number_is_itself_however_it_is_written(data: st.DataObject, number: Number) -> None:
    assert same(data.draw(written(number)), data.draw(written(number)))


@MANY
@given(st.data(), numbers(), st.sampled_from(["sign", "point", "tenfold", "digit", "next"]))
def test_what_is_a_near_miss_of_a_number_is_none(
    data: st.DataObject, number: Number, kind: str
) -> None:
    units, places = number
    near = {
        "sign": (-units, places),
        "point": (units, (places + 1) % 5),
        "tenfold": (units * 10, places),
        "digit": (int(str(abs(units))[1:] or "0"), places),
        "next": (units + 1, places),
    }[kind]
    if value(near) != value(number):
        assert not same(data.draw(written(near)), data.draw(written(number)))


@MANY
@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(-1e6, 1e6))
def test_floats_as_python_writes_them(one: float, other: float) -> None:
    assert same(repr(one), repr(one))
    assert same(repr(one), repr(other)) == (Fraction(repr(one)) == Fraction(repr(other)))


WORDS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen"),
    "nineteen",
)
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")


def in_words(number: int) -> str:
    if number < 20:
        return WORDS[number]
    if number < 100:
        tens, rest = TENS[number // 10 - 2], number % 10
        return f"{tens}-{WORDS[rest]}" if rest else tens
    for size, name in ((10**6, "million"), (1000, "thousand"), (100, "hundred")):
        if number >= size:
            rest = f" {in_words(number % size)}" if number % size else ""
            return f"{in_words(number // size)} {name}{rest}"
    raise AssertionError(number)


@MANY
@given(st.integers(0, 10**8), st.integers(0, 10**8))
def test_number_words(one: int, other: int) -> None:
    assert same(in_words(one), str(one)) and same(f"{one:,}", in_words(one).capitalize())
    assert same(in_words(one), str(other)) == (one == other)


@MANY
@given(st.text(alphabet="abc123+-.,/:%#?! '\"", max_size=8), st.integers(0, 10**6))
def test_nothing_that_is_not_the_number_is_the_number(text: str, number: int) -> None:
    if same(text, str(number)):
        plain = text.strip(" '\"+.,:").replace(",", "").replace(" ", "")
        assert float(plain) == number, (text, number)


@pytest.mark.parametrize(
    ("reply", "wanted"),
    [
        ("T-shirt", "t shirt"),
        ("5kg", "5 kg"),
        ("½", "1/2"),
        ("01:30", "1:30"),
        ("1.2.3", "1.2.3"),
        ("1990–95", "1990-95"),
        ("red, white and blue", "Red white and blue"),
        ("Dr. Smith", "dr smith"),
        ('the "stop" sign', "the stop sign"),
        ("50 percent", "50%"),
        ("50", "50 per cent"),
        ("٣", "3"),
        ("three dogs", "3 dogs"),
        ("ﬁve", "five"),
        ("C++.", "c++"),
        ("?", "?"),
        ("No!", "no"),
        ("1e3", "1000"),
        ("two hundred and five", "205"),
        ("-0", "0"),
        ("“Stop”", "stop"),
    ],
)
def test_the_same(reply: str, wanted: str) -> None:
    assert same(reply, wanted)


@pytest.mark.parametrize(
    ("reply", "wanted"),
    [
        ("", ""),
        ("", "?"),
        ("?", ""),
        ("c", "c++"),
        ("c#", "c"),
        ("50%", "50"),
        ("5!", "5"),
        ("1,5", "15"),
        ("1.2.3", "12.3"),
        ("one two", "3"),
        ("twenty twelve", "32"),
        ("3-5", "35"),
        ("10000", "1,0000"),
        ("3 5", "35"),
        ("1e3", "13"),
        ("5'", "5"),
        ("0.5", "5"),
        ("1.000", "1000"),
        ("- 5", "5"),
        ("(5)", "5"),
        ("5 minus 3", "5 -3"),
        ("1 000 0", "10000"),
        ("+", "-"),
        ("12", "1/2"),
        ("13:0", "1:30"),
        ("199095", "1990-95"),
        ("5 or 6", "5"),
        ("2²", "2"),
        ("$5", "5"),
    ],
)
def test_not_the_same(reply: str, wanted: str) -> None:
    assert not same(reply, wanted)
