"""ImgEdit-Bench: exact edits get 5, copies 1; its files, rubrics, sessions and result folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import harmon_eval
from harmon_eval import cli
from harmon_eval.core import Ask, Data, Edit, Responder, UserError
from harmon_eval.registry import task
from harmon_eval.tasks.imgedit import files, mini, rules
from tests.tasks.exact_edits import Exact

LABEL = "[shape-rules-1, our rubric, 7 of 9 types]"


ALL = [
    *(item.edit for item in (*mini.items(), *mini.hard())),
    *(turn for _, turns in mini.sessions() for turn in turns),
]
EDITS = [(edit.instruction, edit.source, edit.target) for edit in ALL]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARMON_EVAL_CACHE", str(tmp_path / "cache"))
    return tmp_path


def test_exact_targets_get_full_marks_and_copies_the_least(cache: Path) -> None:
    found = harmon_eval.evaluate(Exact(EDITS), tasks="imgedit", output=cache / "run")["imgedit"]
    assert (found.n, found.headline) == (140, f"imgedit{LABEL}")
    assert found.score is not None and found.score > 4.9
    floors = found.floors[found.headline]
    assert floors["copy_source"] == 1.0
    assert 1 < floors["ignore_source"] < 4
    assert found.metrics[f"as_published{LABEL}"] == pytest.approx(found.score, abs=0.01)
    replies = json.loads((cache / "run" / "imgedit" / "result.json").read_text())
    assert len(replies) == 140 and replies["0"].startswith("Brief reasoning: ")
    out = cache / "out"
    assert cli.main(["export", str(cache / "run"), "imgedit", str(out)]) == 0
    assert len(list(out.glob("*.png"))) == 140
    again = harmon_eval.evaluate(f"folder:{out}", tasks="imgedit", output=cache / "2", limit=9)
    assert again["imgedit"].n == 9


def test_the_hard_edits_and_the_sessions(cache: Path) -> None:
    names = ["imgedit:uge", "imgedit:multiturn"]
    found = harmon_eval.evaluate(Exact(EDITS), tasks=names, output=cache / "run")
    hard, sessions = found["imgedit:uge"], found["imgedit:multiturn"]
    assert hard.score is not None and hard.score > 4.8 and hard.n == 20
    assert sessions.score is not None and sessions.score > 4.8 and sessions.n == 24
    assert {"turn_1", "turn_2"} <= {*sessions.metrics}


class Failing(Exact):
    def edit(self, requests: Sequence[Edit]) -> list[Any]:
        return [ValueError("out of memory") for _ in requests]


def test_a_session_whose_first_turn_fails_is_unscored(cache: Path) -> None:
    found = harmon_eval.evaluate(
        Failing(EDITS), tasks="imgedit:multiturn", output=cache / "run", limit=1
    )["imgedit:multiturn"]
    assert found.n == 0
    assert {
        "ValueError: out of memory",
        "no response to content_memory/1/turn1, which it comes",
    } & {reason[:60] for reason in found.unscored}
    assert sum(found.unscored.values()) == 2


def test_the_mean_of_types_is_the_headline_and_the_mean_of_samples_stands_beside_it() -> None:
    """By hand: one add of 5, three styles of 1: types (5 + 1) / 2 = 3, samples 8 / 4 = 2."""
    import pandas as pd

    scores = [("add", 5.0), ("style", 1.0), ("style", 1.0), ("style", 1.0)]
    rows = pd.DataFrame(scores, columns=["edit_type", "score"])
    found = task("imgedit").summarize(rows.assign(judge="j", rubric_kind="given"))
    assert found["imgedit[j, 2 of 9 types]"] == 3
    assert found["sample_mean[j]"] == 2


class Says(Responder):
    name, fingerprint = "says", "1"

    def __init__(self, reply: str) -> None:
        self.reply = reply

    def ask(self, requests: Sequence[Ask]) -> list[str]:
        return [self.reply] * len(requests)


THREE = "Brief reasoning: fine\n{0}: {3}\n{1}: {4}\n{2}: {5}"


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("{}: {}\n{}: {}\n{}: {}", (4, 5, 3)),
        ("{}: {}.\n{}: {}.\n{}: {}.", (4, 5, 3)),
        ("**{}:** {}\n**{}:** {}\n**{}:** {}", (4, 5, 3)),
        ("{}: {}/5\n{}: {}/5\n{}: {}/5", (4, 5, 3)),
        ('{{"{}": {}, "{}": {}, "{}": {}}}', (4, 5, 3)),
    ],
)
def test_forms_of_a_reply_that_say_the_same(form: str, expected: tuple[int, ...]) -> None:
    labels = rules.TYPES["style"].labels
    parts = [part for pair in zip(labels, expected, strict=True) for part in pair]
    found = rules.parse(form.format(*parts), labels)
    assert found is not None and found.values == expected


@pytest.mark.parametrize("reply", ["I cannot tell.", "", "Style Fidelity: 9"])
def test_no_scores_are_none(reply: str) -> None:
    assert rules.parse(reply, rules.TYPES["style"].labels) is None


# -- files ---------------------------------------------------------------------------------------


def basic(folder: Path, kind: str = "alter", name: str = "singleturn/singleturn.json") -> None:
    file = folder / name
    (file.parent / "animal").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(file.parent / "animal" / "1.jpg")
    entry = {"id": "animal/1.jpg", "prompt": "Make the dog red.", "edit_type": kind}
    file.write_text(json.dumps({"412": entry}))


def test_the_old_file_says_alter_for_adjust(cache: Path) -> None:
    basic(cache)
    (sample,) = task("imgedit").samples(Data.at(cache))
    assert (sample.id, sample.stratum, sample.group) == ("412", "adjust", "animal/1.jpg")
    assert sample.target["data_file"]


def test_an_unknown_type_and_a_missing_image_are_refused(cache: Path) -> None:
    basic(cache, "paint")
    with pytest.raises(UserError, match="unknown edit_type 'paint'"):
        list(task("imgedit").samples(Data.at(cache)))
    basic(cache / "b", "add")
    (cache / "b" / "singleturn" / "animal" / "1.jpg").unlink()
    with pytest.raises(UserError, match="is missing: put the source images"):
        list(task("imgedit").samples(Data.at(cache / "b")))


def test_the_official_prompts_are_used_raw(cache: Path) -> None:
    basic(cache, "add")
    (ours,) = task("imgedit").samples(Data.at(cache))
    assert ours.target["rubric_kind"] == "ours" and "Make the dog red." in ours.target["question"]
    for label in rules.TYPES["add"].labels:
        assert f"{label}: <1-5>" in ours.target["question"]
    (cache / "prompts.json").write_text(json.dumps({"add": "Grade <edit_prompt>!"}))
    (theirs,) = task("imgedit").samples(Data.at(cache))
    assert theirs.target["question"] == "Grade Make the dog red.!"
    assert theirs.target["rubric_kind"] == "given"
    (cache / "prompts.json").write_text(json.dumps({"remove": "Grade <edit_prompt>!"}))
    with pytest.raises(UserError, match="no text for 'add'"):
        list(task("imgedit").samples(Data.at(cache)))


@pytest.mark.parametrize("lines", [True, False])
def test_hard_edits_come_as_lines_or_as_an_object(cache: Path, lines: bool) -> None:
    entries = {"1": {"id": "1.jpg", "prompt": "A"}, "2": {"id": "1.jpg", "prompt": "B"}}
    (cache / "hard").mkdir()
    Image.new("RGB", (8, 8)).save(cache / "hard" / "1.jpg")
    text = "\n".join(map(json.dumps, entries.values())) if lines else json.dumps(entries)
    (cache / "hard" / "annotation.jsonl").write_text(text)
    items, _ = files.read_hard(cache)
    assert [(item.key, item.prompt) for item in items] == [("1", "A"), ("2", "B")]


def test_turns_follow_each_other(cache: Path) -> None:
    mini.make(cache)
    samples = list(task("imgedit:multiturn").samples(Data.at(cache)))
    assert samples[0].after == () and samples[1].after == (samples[0].id,)
    assert samples[0].id == "content_memory/1/turn1"
    assert samples[0].group == samples[1].group
    with pytest.raises(UserError, match="give uge or multiturn"):
        task("imgedit:hard")
