"""The rules of GenEval: worked examples of the official scorer, and a second statement of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harmon_eval.tasks.geneval.prompts import RELATIONS, clause, color_attr, counting
from harmon_eval.tasks.geneval.rules import PALETTE, Protocol, relative_position, surviving, verdict

LOW, HIGH = [10, 10, 100, 100], [300, 300, 400, 400]


def boxes(*rows: Any) -> Any:
    return np.array(rows, dtype=np.float32).reshape(-1, 5)


def never(name: Any, row: Any) -> None:
    raise AssertionError(f"asked for the colour of {name} {row}")


def dogs(*scores: Any) -> dict[str, Any]:
    return {"dog": boxes(*([10 + 100 * i, 10, 90 + 100 * i, 100, s] for i, s in enumerate(scores)))}


SINGLE = {"tag": "single_object", "include": [clause("dog")], "prompt": "a photo of a dog"}
TWO = {"tag": "two_object", "include": [clause("dog"), clause("cat")], "prompt": ""}
THREE_DOGS = counting("dog", 3)


# -- E1 to E3: presence and number ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("metadata", "detections", "reason"),
    [
        (SINGLE, dogs(0.31), ""),
        (SINGLE, dogs(0.3), "expected dog>=1, found 0"),
        (SINGLE, dogs(0.8, 0.8), ""),
        (TWO, {}, "expected dog>=1, found 0\nexpected cat>=1, found 0"),
        (TWO, dogs(0.8), "expected cat>=1, found 0"),
        (THREE_DOGS, dogs(0.95, 0.94, 0.93), ""),
        (THREE_DOGS, dogs(0.95, 0.94, 0.85), "expected dog>=3, found 2"),
        (THREE_DOGS, dogs(0.95, 0.94, 0.9), "expected dog>=3, found 2"),
        (THREE_DOGS, dogs(*[0.95] * 20), "expected dog<4, found 16"),
    ],
)
def test_objects_must_be_there_in_number(metadata: Any, detections: Any, reason: str) -> None:
    assert verdict(metadata, detections, never) == (reason == "", reason)


def test_the_same_box_twice_counts_as_two_objects() -> None:
    found = dogs(0.95, 0.94, 0.93)["dog"]
    again = np.vstack([found, found[2:]])
    again[3, 4] = 0.91
    assert verdict(THREE_DOGS, {"dog": again}, never) == (False, "expected dog<4, found 4")


def test_an_exclude_clause_is_checked_even_when_an_include_failed() -> None:
    metadata = {"tag": "counting", "include": [clause("cat")], "exclude": [clause("dog", 2)]}
    reasons = "expected cat>=1, found 0\nexpected dog<2, found 3"
    assert verdict(metadata, dogs(0.95, 0.94, 0.93), never) == (False, reasons)


# -- E4: position --------------------------------------------------------------------------------

LEFT = {"tag": "position", "include": [clause("cat"), clause("dog", position=["left of", 0])]}


@pytest.mark.parametrize(
    ("cat", "dog", "reason"),
    [
        ([300, 100, 400, 200], [100, 100, 200, 200], ""),
        ([100, 100, 200, 200], [300, 100, 400, 200], "found right of target"),
        ([300, 300, 400, 400], [100, 100, 200, 200], ""),
        ([100, 100, 200, 200], [300, 300, 400, 400], "found below and right of target"),
        ([180, 100, 380, 300], [100, 100, 300, 300], "found  target"),
        ([181, 100, 381, 300], [100, 100, 300, 300], ""),
    ],
)
def test_position(cat: list[Any], dog: list[Any], reason: str) -> None:
    reason = reason and f"expected dog left of target, {reason}"
    found = {"cat": boxes([*cat, 0.9]), "dog": boxes([*dog, 0.9])}
    assert verdict(LEFT, found, never) == (reason == "", reason)


def test_only_the_most_confident_subject_counts() -> None:
    subjects = boxes([100, 100, 200, 200, 0.6], [450, 100, 500, 200, 0.95])
    found = {"cat": boxes([300, 100, 400, 200, 0.9]), "dog": subjects}
    wrong = "expected dog left of target, found right of target"
    assert verdict(LEFT, found, never) == (False, wrong)


def test_a_missing_reference_leaves_no_target_and_a_missing_subject_is_just_missing() -> None:
    dog = {"dog": boxes([100, 100, 200, 200, 0.9])}
    no_target = "expected cat>=1, found 0\nno target for dog to be left of"
    assert verdict(LEFT, dog, never) == (False, no_target)
    cat = {"cat": boxes([100, 100, 200, 200, 0.9])}
    assert verdict(LEFT, cat, never) == (False, "expected dog>=1, found 0")


# -- E5, E6: colours -----------------------------------------------------------------------------

RED_CAR = {"tag": "colors", "include": [clause("car", color="red")], "prompt": ""}
CAR_AND_BUS = color_attr("car", "red", "bus", "green")


def place_color(detections: Any) -> Callable[..., Any]:
    """A colour namer for a canvas with red at LOW and green at HIGH."""
    return lambda name, row: "red" if detections[name][row][0] < 200 else "green"


@pytest.mark.parametrize(
    ("cars", "reason"),
    [
        ([[*LOW, 0.9]], ""),
        ([[*HIGH, 0.9]], "expected red car>=1, found 0 red; and 1 green"),
        ([[*HIGH, 0.9], [*LOW, 0.5]], "expected red car>=1, found 0 red; and 1 green"),
        ([[*HIGH, 0.5], [*LOW, 0.9]], ""),
        ([], "expected car>=1, found 0"),
    ],
)
def test_the_most_confident_object_has_the_color(cars: list[Any], reason: str) -> None:
    found = {"car": boxes(*cars)}
    assert verdict(RED_CAR, found, place_color(found)) == (reason == "", reason)


@pytest.mark.parametrize(
    ("car", "bus", "reason"),
    [
        (LOW, HIGH, ""),
        (
            HIGH,
            LOW,
            "expected red car>=1, found 0 red; and 1 green\n"
            "expected green bus>=1, found 0 green; and 1 red",
        ),
        (LOW, LOW, "expected green bus>=1, found 0 green; and 1 red"),
    ],
)
def test_each_object_has_its_own_color(car: Any, bus: Any, reason: str) -> None:
    found = {"car": boxes([*car, 0.9]), "bus": boxes([*bus, 0.9])}
    assert verdict(CAR_AND_BUS, found, place_color(found)) == (reason == "", reason)


def test_observed_colors_are_listed_in_palette_order() -> None:
    metadata = {"tag": "colors", "include": [clause("car", 4, color="blue")]}
    colors = ["white", "blue", "red", "white"]
    found = {"car": dogs(0.9, 0.8, 0.7, 0.6, 0.5)["dog"]}
    asked = []

    def color_of(name: Any, row: Any) -> Any:
        asked.append((name, row))
        return colors[row]

    wanted = "expected blue car>=4, found 1 blue; and 1 red, 1 blue, 2 white"
    assert verdict(metadata, found, color_of) == (False, wanted)
    assert asked == [("car", row) for row in range(4)]  # the fifth is more than the rules look at


# -- survivors -----------------------------------------------------------------------------------


def test_equal_scores_come_in_reverse_input_order() -> None:
    assert [found.row for found in surviving(dogs(0.5, 0.5, 0.5)["dog"], "colors")] == [2, 1, 0]


@pytest.mark.parametrize(("tag", "threshold"), [("counting", 0.9), ("colors", 0.3)])
def test_thresholds_are_strict_in_single_precision(tag: str, threshold: float) -> None:
    just_above = np.nextafter(np.float32(threshold), np.float32(1))
    for score, survives in ((np.float32(threshold), 0), (just_above, 1)):
        found = np.array([[0, 0, 9, 9, score]], dtype=np.float32)
        assert len(surviving(found, tag)) == survives
        assert len(surviving(found.astype(np.float64), tag)) == survives
    assert surviving(np.array([[0, 0, 9, 9, np.nan]], dtype=np.float32), tag) == []


def test_suppression_counts_one_pixel_more_on_each_side() -> None:
    # 10 x 10 pixels each, 5 columns shared: 50 / 150.
    found = boxes([0, 0, 9, 9, 0.9], [5, 0, 14, 9, 0.8])
    for limit, left in ((1 / 3, 1), (0.334, 2), (1.0, 2)):
        assert len(surviving(found, "colors", Protocol(max_overlap=limit))) == left
    same = boxes([0, 0, 9, 9, 0.9], [0, 0, 9, 9, 0.8])
    assert len(surviving(same, "colors", Protocol(max_overlap=1.0))) == 2
    inverted = boxes([9, 9, 0, 0, 0.9], [9, 9, 0, 0, 0.8])  # no area at all: overlap 0
    assert len(surviving(inverted, "colors", Protocol(max_overlap=0.5))) == 2


# -- section 6: closed forms of the position rule --------------------------------------------------


def square(x: Any, y: Any, side: int = 100) -> Any:
    return np.array([x, y, x + side, y + side], dtype=np.float32)


@pytest.mark.parametrize(
    ("offset", "expected"),
    [
        ((0, 0), set()),
        ((40, 0), set()),
        ((41, 0), {"right of"}),
        ((-41, 0), {"left of"}),
        ((0, -41), {"above"}),
        ((0, 41), {"below"}),
        ((68, 68), set()),
        ((69, 69), {"right of", "below"}),
        ((-69, -69), {"left of", "above"}),
        ((200, 130), {"right of"}),
        ((200, 150), {"right of", "below"}),
    ],
)
def test_closed_forms_for_two_squares_of_a_hundred_pixels(
    offset: tuple[Any, ...], expected: Any
) -> None:
    assert relative_position(square(*offset), square(0, 0)) == expected


def test_a_large_background_box_swallows_the_relation() -> None:
    background = np.array([0, 0, 512, 512], dtype=np.float32)
    assert relative_position(square(256 - 81 - 25, 231, 50), background) == set()


def test_less_than_a_thousandth_of_a_pixel_is_no_relation() -> None:
    for offset, expected in ((0.0009, set()), (0.0011, {"right of"})):
        assert relative_position(np.array([offset, 0, offset, 0]), np.zeros(4)) == expected


@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 400))
def test_in_one_row_right_of_needs_a_fifth_of_both_widths(
    width_a: Any, width_b: Any, left: Any
) -> None:
    a, b = np.array([left, 0, left + width_a, 50]), np.array([0, 0, width_b, 50])
    offset = Fraction(2 * left + width_a - width_b, 2)
    holds = offset > Fraction(width_a + width_b, 5)
    assert ("right of" in relative_position(a, b)) == holds


# -- an independent second statement of all rules, with exact fractions ----------------------------


def slow_relations(a: Any, b: Any) -> Any:
    """Section 6 in rational arithmetic: |r| / d > 1/2 as 4 r² > d² with r of the right sign."""
    ax0, ay0, ax1, ay1 = (Fraction(float(v)) for v in a[:4])
    bx0, by0, bx1, by1 = (Fraction(float(v)) for v in b[:4])
    ox, oy = (ax0 + ax1 - bx0 - bx1) / 2, (ay0 + ay1 - by0 - by1) / 2
    rx = max(abs(ox) - (abs(ax1 - ax0) + abs(bx1 - bx0)) / 10, 0)
    ry = max(abs(oy) - (abs(ay1 - ay0) + abs(by1 - by0)) / 10, 0)
    if max(rx, ry) < Fraction(1, 1000):
        return []
    length = ox * ox + oy * oy
    names = []
    if 4 * ry * ry > length:
        names.append("above" if oy < 0 else "below")
    if 4 * rx * rx > length:
        names.append("left of" if ox < 0 else "right of")
    return sorted(names)


def slow_verdict(metadata: Any, detections: Any, colors: Any) -> tuple[Any, ...]:
    bar = 0.9 if metadata["tag"] == "counting" else 0.3
    table = {}
    for name, rows in detections.items():
        ranked = sorted(range(len(rows)), key=lambda i, rows=rows: (-float(rows[i][4]), -i))
        table[name] = [i for i in ranked if float(rows[i][4]) > float(np.float32(bar))][:16]
    lines, good = [], {}
    for number, wish in enumerate(metadata["include"]):
        name, count = wish["class"], wish["count"]
        chosen = table.get(name, [])[:count]
        if len(chosen) != count:
            lines.append(f"expected {name}>={count}, found {len(chosen)}")
            continue
        seen = [colors[name][i] for i in chosen] if "color" in wish else []
        if "color" in wish and set(seen) != {wish["color"]}:
            tally = [f"{seen.count(c)} {c}" for c in PALETTE if seen.count(c)]
            hits = sum(c == wish["color"] for c in seen)
            lines.append(
                f"expected {wish['color']} {name}>={count}, found {hits} {wish['color']}; and "
                + ", ".join(tally)
            )
            continue
        if "position" in wish:
            relation, target = wish["position"]
            if target not in good:
                lines.append(f"no target for {name} to be {relation}")
                continue
            target_name, target_rows = good[target]
            pairs = (
                slow_relations(detections[name][i], detections[target_name][j])
                for i in chosen
                for j in target_rows
            )
            bad = next((found for found in pairs if relation not in found), None)
            if bad is not None:
                lines.append(f"expected {name} {relation} target, found {' and '.join(bad)} target")
                continue
        good[number] = (name, chosen)
    for wish in metadata.get("exclude", ()):
        number = len(table.get(wish["class"], []))
        if not number < wish["count"]:
            lines.append(f"expected {wish['class']}<{wish['count']}, found {number}")
    return lines == [], "\n".join(lines)


NAMES = ("dog", "cat", "car")
SCORES = st.sampled_from([0.1, 0.3, 0.31, 0.5, 0.9, 0.91, 0.95, 0.99])


@st.composite
def detection(draw: Any) -> list[Any]:
    x, y = draw(st.integers(0, 400)), draw(st.integers(0, 400))
    width, height = draw(st.integers(0, 200)), draw(st.integers(0, 200))
    return [x, y, x + width, y + height, draw(SCORES)]


@st.composite
def wishes(draw: Any) -> dict[str, Any]:
    tag = draw(st.sampled_from(["single_object", "counting", "position", "color_attr"]))
    include = []
    for index in range(draw(st.integers(1, 3))):
        wish = clause(draw(st.sampled_from(NAMES)), draw(st.integers(1, 3)))
        if draw(st.booleans()):
            wish["color"] = draw(st.sampled_from(PALETTE[:3]))
        if index and draw(st.booleans()):
            relation = draw(st.sampled_from(RELATIONS))
            wish["position"] = [relation, draw(st.integers(0, index - 1))]
        include.append(wish)
    count = st.builds(clause, st.sampled_from(NAMES), st.integers(1, 4))
    return {"tag": tag, "include": include, "exclude": draw(st.lists(count, max_size=2))}


@settings(max_examples=500)
@given(
    wishes(),
    st.dictionaries(st.sampled_from(NAMES), st.lists(detection(), max_size=20)),
    st.randoms(use_true_random=False),
)
def test_the_verdict_agrees_with_a_second_statement_of_the_rules(
    metadata: Any, found: Any, random: Any
) -> None:
    detections = {name: boxes(*rows) for name, rows in found.items()}
    colors = {name: [random.choice(PALETTE[:3]) for _ in rows] for name, rows in found.items()}
    asked = []

    def color_of(name: Any, row: Any) -> Any:
        asked.append((name, row))
        return colors[name][row]

    before = {name: rows.copy() for name, rows in detections.items()}
    assert verdict(metadata, detections, color_of) == slow_verdict(metadata, detections, colors)
    assert all(np.array_equal(detections[name], rows) for name, rows in before.items())
    colored = [wish for wish in metadata["include"] if "color" in wish]
    assert {name for name, _ in asked} <= {wish["class"] for wish in colored}
    assert len(asked) <= sum(wish["count"] for wish in colored)


@settings(max_examples=300)
@given(detection(), detection())
def test_relations_agree_with_exact_arithmetic_and_turn_around(a: Any, b: Any) -> None:
    found = relative_position(np.float32(a), np.float32(b))
    assert sorted(found) == slow_relations(a, b)
    opposite = dict(zip(RELATIONS, ("right of", "left of", "below", "above"), strict=True))
    assert relative_position(np.float32(b), np.float32(a)) == {opposite[name] for name in found}
    assert len(found) <= 2 and not {"left of", "right of"} <= found


@given(st.lists(detection(), max_size=12, unique_by=lambda row: row[4]), st.randoms())
def test_the_order_of_detections_does_not_matter_where_scores_differ(
    rows: Any, random: Any
) -> None:
    shuffled = rows.copy()
    random.shuffle(shuffled)
    one, other = (surviving(boxes(*each), "colors") for each in (rows, shuffled))
    assert [f.box.tolist() for f in one] == [f.box.tolist() for f in other]
    assert all(math.isfinite(f.box[4]) for f in one)
