"""What the report says, and that it says it in one file that nothing in it can break out of."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmon_eval import cli, registry
from harmon_eval.core import UserError
from harmon_eval.ranking import published
from harmon_eval.report import gather, page, plots, scores
from harmon_eval.report.escaping import environment, visible
from harmon_eval.store.run_folder import RunFolder

Report = Callable[..., str]


def results(values: dict[str, float], higher: bool = True) -> dict[str, object]:
    intervals = {name: (value * 0.9, value * 1.1) for name, value in values.items()}
    return {
        "metrics": values,
        "intervals": intervals,
        "headline": next(iter(values)),
        "higher_is_better": higher,
    }


def test_the_page_shows_score_interval_verdict_reason_and_both_readings_of_a_reply(
    report: Report,
) -> None:
    text = report()
    assert "0.750" in text and "12 of 12" in text
    assert "expected blue\nfound another" in text
    for told in ("Yes.", "first word", "Is there a cat in the image?", "1 unscored"):
        assert told in text
    assert "<dt>seconds" not in text  # a column without values


def test_nothing_that_a_model_wrote_becomes_markup_or_script(report: Report, runs: Path) -> None:
    text = report("--against", runs / "second")
    assert "owned" in text and "<script>document" not in text and "<img src=x" not in text
    assert "<b>model" not in text
    assert text.count("<script") == 2  # the list of images, and the page's own
    assert "⟨U+202E⟩" in text and "⟨U+0007⟩" in text and "⟨U+0000⟩" in text
    assert "\u202e" not in text and "\x00" not in text
    policy = re.search(r"script-src '(sha256-[^']+)'", text)
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    assert policy and [page._hash(script) for script in scripts] == [policy[1]]


def test_the_file_needs_no_network_and_no_other_file(report: Report) -> None:
    text = report()
    assert not re.search(r"""(?:src|href)=["'](?!#|data:)""", text)
    assert "url(" not in text and "@import" not in text


@given(st.text(st.characters(codec=None)))
def test_spelling_out_is_for_what_cannot_be_seen_only(text: str) -> None:
    shown = visible(text + "\ud800")
    shown.encode()  # halves of characters are gone
    assert not {c for c in shown if c < " "} - {"\n", "\t"}
    assert visible(shown) == shown


def test_changes_are_told_by_direction(report: Report, runs: Path) -> None:
    text = report("--against", runs / "second")
    assert text.count('data-change="better"') == 4  # three green squares, and the cat
    assert text.count('data-change="worse"') == 0
    assert "+0.250" in text


def test_of_too_many_samples_the_changed_ones_come_first_and_the_rest_is_counted(
    report: Report, runs: Path
) -> None:
    text = report("--against", runs / "second", "--items", 4)
    assert text.count('data-change="better"') == 4
    assert "4 samples are shown, 11 are not" in text


def test_each_headline_has_the_verdict_of_a_paired_test(report: Report, runs: Path) -> None:
    text = report("--against", runs / "second")
    told = re.sub(r"<[^>]*>", " ", text.split("<tbody>")[1].split("</tbody>")[0])
    told = " ".join(told.split())
    # Four prompts: too few for any p.
    assert "12 of 12 +0.250 [-0." in told
    assert "underpowered too few to show anything: 4 groups, use" in told
    reason = "1 of 3 samples of B unscored; 1 of 3 samples of A unscored"
    assert f"not comparable {reason}" in told, "runs under their letters"
    assert "A − B" not in report() and "compare B A" not in report()


def test_published_prompts_against_fresh_ones_are_told_for_each_run(runs: Path) -> None:
    """Contamination: a contrast with an interval, not two numbers."""

    def of(value: float) -> dict[str, object]:
        spans = {"overall": [value - 0.03, value + 0.03]}
        return {"headline": "overall", "metrics": {"overall": value}, "intervals": spans}

    stored = [{"geneval": of(0.9), "geneval_fresh": of(fresh)} for fresh in (0.7, 0.9)]
    first, second = page._contrasts(("A", "B"), stored)
    assert "A: geneval - geneval_fresh, overall: +0.200" in first and "trained on them" in first
    assert "B: " in second and "no evidence of training" in second


def test_values_of_other_versions_stand_on_no_common_axis() -> None:
    one = {"provenance": {"suite": "mini", "data": "d", "instruments": {}, "version": "1"}}
    other = {"provenance": {**one["provenance"], "version": "2"}}
    assert scores.differing(one, other) == ["version"] and not scores.differing(one, one)


def test_rows_of_any_task_are_shown_with_whatever_columns_they_have() -> None:
    row = {
        "id": "a",
        "group": "g",
        "correct": None,
        "score": 1.5,
        "judge": "says 2",
        "none": None,
        "details": "free text",
    }
    told = gather.outcome(row, None, "raw reply")
    assert told.state == "marked"
    facts = (("reply", "raw reply"), ("score", "1.500"), ("judge", "says 2"))
    assert told.facts == (*facts, ("details", "free text"))
    assert (
        gather.outcome({"id": "a", "unscored": "judge failed"}, None, None).reason == "judge failed"
    )


def test_long_lists_of_numbers_take_one_line_and_replies_are_shown_in_full() -> None:
    macro = environment().get_template("card.html").module.fact
    numbers = str(macro("detections", "[" + "<0.99>, " * 20 + "]"))
    assert "<details><summary>[&lt;0.99&gt;, " in numbers and numbers.count("0.99") > 20
    for name, value in (("reply", "[" * 200), ("judge", "said " * 200), ("box", "[1, 2]")):
        assert "<details>" not in str(macro(name, value))


@pytest.mark.parametrize(
    "details", [None, "{", "[1]", '{"a": [[1, 2]]}', '{"a": [[1, 2, 3, NaN]]}']
)
def test_details_that_are_no_boxes_are_no_boxes(details: object) -> None:
    assert gather.read_boxes(details) is None


def test_a_run_that_is_not_marked_yet_shows_its_responses(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "first", tmp_path / "run")
    (tmp_path / "run/sketch/rows.parquet").unlink()
    (tmp_path / "run/sketch/metrics.json").unlink()
    assert cli.main(["report", str(tmp_path / "run")]) == 0
    text = (tmp_path / "run/report.html").read_text()
    assert (
        "not marked yet" in text and "<b>sketch</b> has no score yet: 12 responses so far" in text
    )
    assert text.count('data-state="unscored"') == 13


def test_without_the_tasks_data_the_rows_speak_for_themselves(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "first", tmp_path / "run")
    RunFolder(tmp_path / "run").update_task("sketch", data="of another day")
    assert cli.main(["report", str(tmp_path / "run")]) == 0
    text = (tmp_path / "run/report.html").read_text()
    assert "the data here is not the data of this run" in text
    assert text.count('data-state="wrong"') == 3 + 1


def test_a_broken_drawing_says_so(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "first", tmp_path / "run")
    (tmp_path / "run/sketch/images/red/0.png").write_bytes(b"no picture")
    assert cli.main(["report", str(tmp_path / "run")]) == 0
    assert "image cannot be read" in (tmp_path / "run/report.html").read_text()


def test_usage_is_told_in_one_line(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    table = tmp_path / "published.csv"
    table.write_text("model,task,metric,value,source\nShow-o,sketch,accuracy,0.5,x\n")
    for arguments, words in (
        ([str(tmp_path)], "not a run folder"),
        ([str(runs / "first"), "--baselines", "no such"], "no published results of 'no such'"),
        ([str(runs / "first"), "--published", str(table)], "--baselines A,B"),
        ([str(runs / "first"), "--published", str(table), "--baselines", "showo"], "did you mean"),
        ([str(runs / "first"), "--history", str(table)], "has no column 'step'"),
    ):
        assert cli.main(["report", *arguments]) == 2
        assert words in capsys.readouterr().err


# -- plots -------------------------------------------------------------------------------------


def test_shares_stand_on_one_axis_and_counts_are_left_out() -> None:
    stored = results({"overall": 0.5, "colors": 0.75, "images": 80.0})
    (plot,) = plots.bar_plots([("A", stored)])
    assert list(plot.metrics) == ["overall", "colors"]
    assert (plot.start, plot.end, plot.x(0.75)) == (0.0, 1.0, 75.0)


def test_scores_up_to_the_same_maximum_stand_on_one_axis_that_ends_there() -> None:
    """GQA's accuracies are percentages: an axis of each, up to its own interval, would mislead."""
    gqa = registry.task("gqa")
    stored = results({"gqa_accuracy": 91.0, "gqa_open": 40.0, "distribution": 3.0})
    first, *others = plots.bar_plots([("A", stored)], task=gqa)
    assert list(first.metrics) == ["gqa_accuracy", "gqa_open"]
    assert (first.title, first.end, first.x(91.0)) == (f"{plots.SHARES}, of 100", 100.0, 91.0)
    assert [plot.title for plot in others] == ["distribution"]


def test_fid_its_limit_and_kid_are_drawn_apart() -> None:
    metrics = {"fid[clean,net]": 20.0, "fid[clean,net]/people": 40.0, "kid[clean,net]": 0.1}
    metrics["fid_infinity[clean,net]"] = 19.0
    fid, kid, limit = plots.bar_plots([("A", results(metrics, higher=False))])
    assert (fid.title, kid.title, limit.title) == ("fid", "kid", "fid_infinity")
    assert fid.end == pytest.approx(44.0)


def test_published_values_that_disagree_are_a_range_with_both_sources() -> None:
    quoted = pd.DataFrame(
        [
            ("BAGEL", "geneval", "overall", value, source)
            for value, source in ((0.82, "paper"), (0.78, "issue"))
        ],
        columns=list(plots.PUBLISHED_COLUMNS),
    )
    (plot,) = plots.bar_plots([("A", results({"overall": 0.5}))], quoted)
    bar = plot.metrics["overall"][1]
    assert (bar.low, bar.high, bar.quoted) == (0.78, 0.82, True)
    assert bar.text == "0.780 to 0.820 (paper, issue)"


def test_published_models_are_named_as_on_the_leaderboard() -> None:
    own = plots.read_published(published.FILE, "janus, show-o-512")
    assert {"Janus-1.3B", "Show-o-512"} <= set(own["model"]) and "Show-o-256" not in set(
        own["model"]
    )
    with pytest.raises(UserError, match="did you mean 'Show-o-512'"):
        plots.read_published(published.FILE, "show-o512")


def test_published_values_are_not_drawn_beside_another_suite(
    report: Report, tmp_path: Path
) -> None:
    table = tmp_path / "published.csv"
    table.write_text("model,task,metric,value,source\nShow-o,sketch,accuracy,0.512,a paper\n")
    assert "a paper" not in report("--published", table, "--baselines", "show-o")


def test_history_is_a_line_over_steps_with_a_band(report: Report, tmp_path: Path) -> None:
    table = tmp_path / "history.csv"
    table.write_text(
        "step,task,metric,value,low,high\n200,sketch,accuracy,0.6,0.5,0.7\n"
        "100,sketch,accuracy,0.4,0.3,0.5\n300,sketch,accuracy,,,\n"
    )
    text = report("--history", table)
    assert "step 100: 0.400 [0.300, 0.500]; step 200: 0.600" in text
    (plot,) = plots.line_plots(pd.read_csv(table), {"sketch": "accuracy"})
    assert [(p.x, p.y) for p in plot.points] == [(0.0, 71.55), (100.0, 28.45)]


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=8))
def test_every_point_of_a_history_lies_in_its_plot(values: list[float]) -> None:
    table = pd.DataFrame({"step": range(len(values)), "task": "t", "metric": "m", "value": values})
    (plot,) = plots.line_plots(table, {"t": "m"})
    assert all(0 <= point.x <= 100 and 0 <= point.y <= 100 for point in plot.points)


def test_a_headline_of_fewer_parts_is_shown_under_its_own_name() -> None:
    """A dash beside "6 of 140" would say that nothing was measured."""

    def stored(name: str, n: int) -> dict[str, object]:
        told = results({name: 4.0}) | {"unscored": {}, "paper": "none", "n": n, "total": 140}
        return {"imgedit": told}

    runs = [stored("imgedit[7 of 9 types]", 12), stored("imgedit[5 of 9 types]", 6), {}]
    own, other, missing = scores.lines(runs, [])[0]["values"]
    assert (own["value"], own["metric"], own["n"]) == ("4.000", "", "12 of 140")
    assert (other["value"], other["metric"]) == ("4.000", "imgedit[5 of 9 types]")
    assert (missing["value"], missing["n"]) == ("–", "not run")
