"""What a card says beside the verdict: references, points, tags, certainty, and which answers were
given for which."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from harmon_eval import cli, registry
from harmon_eval.core import Ask, Draw, Edit, Sample, UserError
from harmon_eval.report import gather, page, samples
from harmon_eval.report.confusion import confusion
from harmon_eval.report.escaping import readable, sorted_out
from harmon_eval.report.gather import Card, Item, Outcome, TaskView
from harmon_eval.report.thumbnails import Thumbnails

Report = Callable[..., str]


def view(rows: list[dict], asked: dict[str, Sample] | None = None) -> TaskView:
    named = {str(number): {"id": str(number), **row} for number, row in enumerate(rows)}
    return TaskView({}, named, asked or {}, {})


# -- answers ---------------------------------------------------------------------------------------


def test_a_confusion_matrix_counts_what_was_read_for_what_is_right() -> None:
    rows = [
        *({"label": "yes", "parsed": "Yes"} for _ in range(3)),
        {"label": "yes", "parsed": "no"},
        {"label": "no", "parsed": "no"},
        {"label": "no", "parsed": None},
        {"label": "no", "parsed": "no", "unscored": "lost"},
    ]
    found = confusion(view(rows), "A")
    assert found is not None
    assert (found.expected, found.given) == (("no", "yes"), ("no", "yes", "not read"))
    assert found.counts == ((1, 0, 1), (1, 3, 0)) and found.total == 6
    assert found.distribution == [("no", 2, 2), ("yes", 4, 3), ("not read", 0, 1)]
    assert found.shade(1, 1) == 7


def test_rare_answers_are_counted_together_and_free_answers_have_no_matrix() -> None:
    rows = [{"answer": f"a{n % 15}", "parsed": f"a{n % 15}"} for n in range(40)]
    found = confusion(view(rows), "A")
    assert found is not None and "other" in found.expected and found.total == 40
    cells = [(i, j) for i in range(len(found.expected)) for j in range(len(found.given))]
    assert sum(found.counts[i][j] for i, j in cells if found.right(i, j)) == 40
    free = [{"answer": f"answer {n}", "parsed": "x"} for n in range(40)]
    assert confusion(view(free), "A") is None
    assert confusion(view([{"score": 1.0}]), "A") is None


def test_mistakes_among_rare_answers_do_not_look_right() -> None:
    rows = [{"answer": f"a{n % 15:02d}", "parsed": f"a{n % 15:02d}"} for n in range(30)]
    rows += [{"answer": "a14", "parsed": "a13"}, {"answer": "a14", "parsed": "never right"}]
    found = confusion(view(rows), "A")
    assert found is not None
    cells = [(i, j) for i in range(len(found.expected)) for j in range(len(found.given))]
    assert sum(found.counts[i][j] for i, j in cells if found.right(i, j)) == 30
    assert sum(found.counts[i][j] for i, j in cells if not found.right(i, j)) == 2
    assert sum(right for _, right, _ in found.distribution) == 32
    assert sum(given for _, _, given in found.distribution) == 32


def test_the_right_answer_may_stand_in_the_data_only() -> None:
    asked = {"0": Sample("0", Ask("which?"), {"answers": ["B"]}, "0")}
    found = confusion(view([{"parsed": "B"}], asked), "A")
    assert found is not None and found.counts == ((1,),)


def test_answers_stand_on_the_page(report: Report, runs: Path) -> None:
    text = report("--against", runs / "second")
    assert text.count("distribution and confusion matrix") == 2, "of the quiz, for both runs"


# -- points, references, tags ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "row", "points"),
    [
        ("dpg", {"answers": '{"1": true, "2": false}'}, [True, False]),
        ("checklist", {"points": '{"1": false, "2": true}'}, [False, True]),
    ],
)
def test_the_questions_behind_a_score_are_shown_with_their_verdicts(
    task: str, row: dict, points: list[bool]
) -> None:
    from harmon_eval import suites
    from harmon_eval.running.jobs import RunSettings, prepare

    known = registry.task(task)
    sample = prepare(task, known, suites.load("mini"), RunSettings()).samples[0]
    found = samples.points_of(known, sample, row)
    assert [verdict for _, verdict in found] == points
    assert all(text.endswith("?") for text, _ in found)
    assert samples.points_of(known, sample, {"unscored": "lost"}) == ()
    assert samples.points_of(known, sample, {"answers": "{", "points": 3}) == ()


def test_images_that_a_response_is_measured_against_stand_beside_it() -> None:
    drawn = Sample("a", Draw("a cat"), {"reference": Path("cat.png"), "category": "animals"}, "a")
    assert samples.references_of(drawn) == (("reference", Path("cat.png")),)
    source = Path("before.png")
    edited = Sample("b", Edit((source,), "redder"), {"target": Path("t.png"), "own": source}, "b")
    assert samples.references_of(edited) == (("target", Path("t.png")),)
    assert samples.references_of(None) == ()


def test_every_card_has_a_tag() -> None:
    strata = {"a": {"stratum": "s", "kind": "x"}, "b": {"stratum": "t", "kind": "y"}}
    assert samples.tag_column(strata) == "stratum"
    kinds = {"a": {"stratum": "", "reply": "1", "kind": "x"}, "b": {"reply": "2", "kind": "y"}}
    assert samples.tag_column(kinds) == "kind"
    assert samples.tag_of(kinds["b"], "kind", "prompt") == "y"
    none = {"a": {"judge": "j", "by:x": "only one"}}
    assert samples.tag_column(none) == ""
    told = [samples.tag_of({}, "", "word " * n) for n in (3, 20, 50)]
    assert told == ["up to 10 words", "11 to 30 words", "over 30 words"]


# -- certainty and change --------------------------------------------------------------------------


def test_the_least_certain_are_doubtful_detections_middling_scores_and_mixed_drawings() -> None:
    assert samples.sure_of({"margin": 0.2}, [0.9], 1.0) == 0.2
    assert samples.sure_of({}, [0.9, 0.4], 0.75) == 0.4
    assert samples.sure_of({}, [], 0.75) == 0.5
    assert samples.sure_of({"margin": float("nan")}, []) is None
    mixed = tuple(Item(str(n), (Outcome(s),)) for n, s in enumerate(("right", "wrong", "right")))
    assert Card("t", "g", "", "", (), mixed).sure == pytest.approx(1 / 3)


def test_of_several_runs_the_worst_difference_counts() -> None:
    right, wrong, missing = Outcome("right"), Outcome("wrong"), Outcome("missing")
    assert Item("a", (right, wrong, right)).change == "better"
    assert Item("a", (wrong, right, wrong)).change == "worse"
    assert Item("a", (right, right, missing)).change == ""
    assert Item("a", (right, missing)).distance == 0
    graded = Item("a", (Outcome("marked", grade=0.9), Outcome("marked", grade=0.4)))
    assert graded.distance == 0.5 and Item("a", (right, wrong)).distance == 1


# -- the page --------------------------------------------------------------------------------------


def test_three_runs_stand_side_by_side(report: Report, runs: Path) -> None:
    text = report("--against", runs / "second", "--against", runs / "first")
    assert "A − B" in text and "A − C" in text
    assert text.count('data-run="C"') == text.count('data-run="A"') == 15
    with pytest.raises(UserError, match="at most 5 runs"):
        page.Contents(runs / "first", against=(runs / "second",) * 6)


def test_a_card_has_one_name_in_every_report(report: Report, runs: Path) -> None:
    def names(text: str) -> list[str]:
        return [part.split('"')[0] for part in text.split('data-card="')[1:]]

    alone, beside = names(report()), names(report("--against", runs / "second"))
    assert alone == beside and len({*alone}) == 7


def test_images_are_kept_in_full_size_until_the_page_is_full(tmp_path: Path) -> None:
    files = [tmp_path / f"{n}.png" for n in range(3)]
    for number, file in enumerate(files):
        Image.effect_noise((300, 200 + number), 60).save(file)
    thumbnails = Thumbnails(100)
    for file in files:
        thumbnails.add(file)
    assert thumbnails.keep_full([files[2], files[0], files[1]], 1) == 2
    assert list(thumbnails.full) == [2] and thumbnails.full[2].startswith("data:image/webp")
    assert Thumbnails(100).keep_full(files, 10**9) == 0, "none of them is on the page"


def test_json_is_a_list_that_people_read() -> None:
    boxes = '{"dog": [[1, 2, 3, 4, 0.987], [1, 2, 3, 4, 0.5]], "cat": []}'
    assert readable(boxes) == [("dog", "0.987, 0.5"), ("cat", "none")]
    assert readable('{"a": true, "b": 2, "c": null}') == [("a", "yes"), ("b", "2"), ("c", "null")]
    assert readable("[1, 2.5]") == [("", "1, 2.5")]
    for other in ("[", "words", '[{"a": 1}]', "{" * 5000):
        assert readable(other) is None
    facts = [("reply", "yes"), ("of:object", "2"), ("attempts", "1"), ("score", "0.5")]
    main, more = sorted_out([*facts, ("details", "{}")])
    assert [name for name, _ in main] == ["reply", "score"]
    assert [name for name, _ in more] == ["of:object", "attempts", "details"]


def test_a_negative_budget_is_refused(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["report", str(runs / "first"), "--full-size", "-1"]) == 2
    assert "--full-size must be at least 0" in capsys.readouterr().err


def test_a_card_finds_its_tag_among_the_rows() -> None:
    rows = {
        "a": {"id": "a", "group": "g", "kind": "x"},
        "b": {"id": "b", "group": "h", "kind": "y"},
    }
    outcomes = {name: gather.outcome(row, None, None) for name, row in rows.items()}
    made = gather.cards("task", TaskView(outcomes, rows, {}, {}))
    assert [card.tag for card in made] == ["x", "y"]
