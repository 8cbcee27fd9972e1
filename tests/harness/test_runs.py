"""A score depends on model, settings, task version and seed, on nothing else."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from harmon_eval.core import Draw

Call = Callable[..., Any]
DRAW = ("--model", "scripted", "--tasks", "toy_draw")


def rows(run: Path, task: str = "toy_draw") -> pd.DataFrame:
    return pd.read_parquet(run / task / "rows.parquet")


def metrics(run: Path, task: str = "toy_draw") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / task / "metrics.json").read_text())
    return found


def test_scores_images_and_rows_do_not_depend_on_the_batch_size(call: Call, tmp_path: Path) -> None:
    for size in (1, 5, 500):
        assert call(*DRAW, "--batch-size", size, "--output", f"b{size}").code == 0
    for size in (5, 500):
        pd.testing.assert_frame_equal(rows(tmp_path / f"b{size}"), rows(tmp_path / "b1"))
        assert metrics(tmp_path / f"b{size}") == metrics(tmp_path / "b1")


def test_scores_do_not_depend_on_the_order_in_which_a_task_gives_its_samples(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call(*DRAW, "--output", "ahead")
    import toy_benchmark

    backwards = replace(
        toy_benchmark.DRAWING,
        samples=lambda data: reversed(list(toy_benchmark.drawings(data))),
    )
    monkeypatch.setattr(toy_benchmark, "DRAWING", backwards)
    call(*DRAW, "--output", "back")
    by_id = [rows(tmp_path / run).sort_values("id", ignore_index=True) for run in ("ahead", "back")]
    pd.testing.assert_frame_equal(*by_id)
    first, second = metrics(tmp_path / "ahead"), metrics(tmp_path / "back")
    assert first["metrics"] == second["metrics"]
    assert first["intervals"] == second["intervals"]


def test_another_seed_draws_other_images_into_another_folder(call: Call, tmp_path: Path) -> None:
    call(*DRAW, "--limit", 1)
    call(*DRAW, "--limit", 1, "--seed", 7)
    one, other = tmp_path / "runs/scripted-mini", tmp_path / "runs/scripted-mini-seed7"
    assert list(rows(one)["id"]) == list(rows(other)["id"])
    assert list(rows(one)["response"]) != list(rows(other)["response"])


def test_the_default_folder_is_found_again_and_everything_is_reused(call: Call) -> None:
    assert "reused" not in call(*DRAW).err
    again = call(*DRAW)
    assert again.code == 0
    assert "reused 72 of 72 stored responses" in again.err
    assert "reused 72 of 72 marks" in again.err
    assert "runs/scripted-mini" in again.out


def test_other_settings_in_the_same_folder_are_refused_and_the_difference_is_shown(
    call: Call, tmp_path: Path
) -> None:
    call(*DRAW, "--output", "run", "--limit", 2)
    before = rows(tmp_path / "run")
    for change, shown in (
        (("--seed", 3), "seed: 0 -> 3"),
        (("--model", "toy_flaky"), "model.name: scripted -> toy_flaky"),
    ):
        refused = call(*DRAW, "--output", "run", "--limit", 2, *change)
        assert refused.code == 2
        assert shown in refused.err and "--output" in refused.err and "--fresh" in refused.err
        assert refused.err.count("\n") == 1
    pd.testing.assert_frame_equal(rows(tmp_path / "run"), before)
    assert call(*DRAW, "--output", "run", "--limit", 2, "--seed", 3, "--fresh").code == 0
    assert list(rows(tmp_path / "run")["response"]) != list(before["response"])


def test_other_data_under_the_same_ids_is_refused(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    call(*DRAW, "--output", "run")
    import toy_benchmark

    changed = replace(
        toy_benchmark.DRAWING,
        samples=lambda data: (
            replace(s, request=Draw(f"another {s.request.prompt}"))
            for s in toy_benchmark.drawings(data)
        ),
    )
    monkeypatch.setattr(toy_benchmark, "DRAWING", changed)
    refused = call(*DRAW, "--output", "run")
    assert refused.code == 2 and "other data of task toy_draw" in refused.err


def test_a_new_task_version_marks_again_but_does_not_ask_again(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    call(*DRAW, "--output", "run")
    import toy_benchmark

    newer = replace(toy_benchmark.DRAWING, about=replace(toy_benchmark.DRAWING.about, version="2"))
    monkeypatch.setattr(toy_benchmark, "DRAWING", newer)
    again = call(*DRAW, "--output", "run")
    assert "reused 72 of 72 stored responses" in again.err
    assert "marking 72/72" in again.err


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_below_one_is_refused(call: Call, tmp_path: Path, limit: int) -> None:
    refused = call(*DRAW, "--limit", limit)
    assert refused.code == 2
    assert refused.err == f"error: --limit {limit}: must be at least 1, or left out for all\n"
    assert not (tmp_path / "runs").exists()


def test_a_limit_takes_whole_groups_evenly_from_the_strata_and_may_grow(
    call: Call, tmp_path: Path
) -> None:
    assert call(*DRAW, "--output", "run", "--limit", 4).code == 0
    few = rows(tmp_path / "run")
    assert few.groupby("stratum")["group"].nunique().to_dict() == {"blue": 2, "green": 1, "red": 1}
    assert len(few) == 8
    more = call(*DRAW, "--output", "run", "--limit", 7)
    assert more.code == 0 and "reused 8 of 14 stored responses" in more.err
    assert set(few["id"]) < set(rows(tmp_path / "run")["id"])
    refused = call(*DRAW, "--output", "run", "--limit", 2)
    assert refused.code == 2 and "larger run of toy_draw" in refused.err
    assert len(rows(tmp_path / "run")) == 14
    result = metrics(tmp_path / "run")
    assert (result["n"], result["total"]) == (14, 72)


def test_failed_samples_are_unscored_with_their_reason_and_the_rest_is_scored(
    call: Call, tmp_path: Path
) -> None:
    done = call("--model", "toy_flaky", "--tasks", "toy_draw,toy_ask", "--output", "run")
    assert done.code == 1
    assert "asking one by one" in done.err
    result = metrics(tmp_path / "run")
    assert result["n"] == 68 and result["total"] == 72
    assert result["unscored"] == {
        "RuntimeError: out of paint": 2,
        "blue is too sad": 2,
    }
    assert result["metrics"]["accuracy"] == 1.0
    talk = metrics(tmp_path / "run", "toy_ask")
    assert talk["unscored"] == {"the reply names no answer": 1}
    assert talk["metrics"]["accuracy"] == pytest.approx(8 / 9)
    assert "5 samples are unscored" in done.out
    table = (tmp_path / "run" / "table.md").read_text()
    assert "| 68 of 72 | 4 |" in table and "| 9 of 10 | 1 |" in table
    csv = pd.read_csv(tmp_path / "run" / "table.csv")
    assert set(csv["task"]) == {"toy_draw", "toy_ask"}


def test_a_missing_instrument_keeps_the_responses_and_says_how_to_go_on(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ("--model", "scripted", "--tasks", "toy_unmarkable", "--output", "run")
    refused = call(*asked)
    assert refused.code == 2
    assert "telescope" in refused.err and "--predict-only" in refused.err
    assert not (tmp_path / "run").exists(), "said before anything is drawn"
    dry = call(*asked, "--dry-run")
    assert (dry.code, dry.err) == (2, refused.err)
    unmarked = call(*asked, "--predict-only")
    assert unmarked.code == 0
    assert "python -m harmon_eval mark run" in unmarked.out
    state = json.loads((tmp_path / "run/manifest.json").read_text())["tasks"]["toy_unmarkable"]
    assert state["state"] == "asked, to be marked"
    still = call("mark", "run")
    assert still.code == 1 and "telescope" in still.err
    assert len(list((tmp_path / "run/toy_unmarkable/images").rglob("*.png"))) == 2
    assert "not finished" in call("show", "run").err
    import toy_benchmark

    able = replace(toy_benchmark.UNMARKABLE, instruments=())
    monkeypatch.setattr(toy_benchmark, "UNMARKABLE", able)
    marked = call("mark", "run")
    assert marked.code == 0 and "marking 2/2" in marked.err and "drawing" not in marked.err
    assert metrics(tmp_path / "run", "toy_unmarkable")["n"] == 2


def test_marking_an_unfinished_run_counts_what_was_not_answered(call: Call, tmp_path: Path) -> None:
    call(*DRAW, "--output", "run")
    log = tmp_path / "run/toy_draw/responses.jsonl"
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:-4]))
    for name in ("rows.parquet", "marks.json", "metrics.json"):  # it was killed while drawing
        (tmp_path / "run/toy_draw" / name).unlink()
    marked = call("mark", "run")
    assert marked.code == 1
    assert metrics(tmp_path / "run")["unscored"] == {"no response": 3}


@pytest.mark.parametrize("lost", ["responses.jsonl", "images", "one image"])
@pytest.mark.parametrize("marks", [True, False])
def test_marking_refuses_to_lose_scores_whose_responses_are_gone(
    call: Call, tmp_path: Path, lost: str, marks: bool
) -> None:
    call(*DRAW, "--output", "run")
    folder = tmp_path / "run/toy_draw"
    if lost == "images":
        shutil.rmtree(folder / "images")
    elif lost == "one image":
        next((folder / "images").rglob("*.png")).write_bytes(b"damaged")
    else:
        (folder / lost).unlink()
    if not marks:
        (folder / "rows.parquet").unlink()
    before = {f: f.read_bytes() for f in (tmp_path / "run").rglob("*") if f.is_file()}
    refused = call("mark", "run")
    assert refused.code == 2 and refused.err.count("\n") == 1
    count = 1 if lost == "one image" else 72
    assert f"{count} responses of toy_draw that have a score are missing or damaged" in refused.err
    now = {f: f.read_bytes() for f in (tmp_path / "run").rglob("*") if f.is_file()}
    assert now == before, "nothing is lost"
    assert call(*DRAW, "--output", "run").code == 0, "the model gives them again"


def test_two_names_of_one_folder_are_refused(call: Call, tmp_path: Path) -> None:
    for name in ("a/b.jsonl", "a-b.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text('{"question": "2 + 2?", "answer": "4"}\n')
    tasks = "vqa:a/b.jsonl,vqa:a-b.jsonl"
    refused = call("--model", "toy_talker", "--tasks", tasks, "--output", "run")
    assert refused.code == 2 and "choose another --output" in refused.err


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_an_instrument_that_no_task_uses_is_said(
    call: Call, tmp_path: Path, dry: tuple[str, ...]
) -> None:
    refused = call(*DRAW, "--output", "run", "--instrument", "judge=rules", *dry)
    assert refused.code == 2 and "none of the tasks uses a judge" in refused.err
    assert not (tmp_path / "run").exists()
    call(*DRAW, "--output", "run")
    refused = call("mark", "run", "--instrument", "judge=rules")
    assert refused.code == 2 and "none of the tasks uses a judge" in refused.err


def test_prompts_with_newlines_emoji_markup_and_ten_thousand_letters_are_drawn_and_shown(
    call: Call, tmp_path: Path
) -> None:
    done = call("--model", "scripted", "--tasks", "toy_weird", "--output", "run")
    assert done.code == 0
    assert metrics(tmp_path / "run", "toy_weird")["n"] == 5
    assert "\x1b" not in done.out + done.err and "\x07" not in done.out + done.err


def test_an_id_that_leads_out_of_the_folder_is_refused_by_name(call: Call, tmp_path: Path) -> None:
    refused = call("--model", "scripted", "--tasks", "toy_unsafe", "--output", "deep/run")
    assert refused.code == 2
    assert "task 'toy_unsafe'" in refused.err and "'../outside'" in refused.err
    assert not list(tmp_path.rglob("*outside*"))


@pytest.mark.parametrize("output", ["/proc/self/runs", "file/run", "file"])
def test_an_output_folder_that_cannot_be_written_is_one_line(
    call: Call, tmp_path: Path, output: str
) -> None:
    (tmp_path / "file").write_text("")
    refused = call(*DRAW, "--output", output)
    assert refused.code == 2
    assert f"cannot write into {output}" in refused.err and "--output" in refused.err
    assert refused.err.count("\n") == 1


def test_a_folder_of_other_things_is_left_alone(call: Call, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    for extra in ((), ("--fresh",)):
        refused = call(*DRAW, "--output", "mine", *extra)
        assert refused.code == 2 and "thesis.tex" in refused.err
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


def test_a_dry_run_counts_what_is_missing_and_writes_nothing(call: Call, tmp_path: Path) -> None:
    planned = call(*DRAW, "--output", "run", "--dry-run")
    assert planned.code == 0 and "72" in planned.out
    assert not (tmp_path / "run").exists()
    call(*DRAW, "--output", "run", "--limit", 4)
    planned = call(*DRAW, "--output", "run", "--dry-run")
    assert all(count in planned.out.split() for count in ("72", "8", "64"))


def test_a_model_that_cannot_draw_is_told_before_anything_is_asked(
    call: Call, tmp_path: Path
) -> None:
    refused = call("--model", "toy_talker", "--tasks", "toy_draw,toy_ask", "--output", "run")
    assert refused.code == 2
    assert "toy_talker cannot do: draw images" in refused.err
    assert not (tmp_path / "run").exists()


def test_an_answer_of_the_wrong_kind_names_the_model(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    import toy_benchmark

    def words(self: object, requests: Sequence[Draw]) -> list[str]:
        return ["a picture"] * len(requests)

    def too_few(self: object, requests: Sequence[Draw]) -> list[Image.Image]:
        return []

    for method, complaint in (
        (words, "with a str instead of Image"),
        (too_few, "gave 0 responses"),
    ):
        monkeypatch.setattr(toy_benchmark.Flaky, "draw", method)
        refused = call("--model", "toy_flaky", "--tasks", "toy_draw", "--output", "run", "--fresh")
        assert refused.code == 2 and complaint in refused.err and "toy_flaky" in refused.err
