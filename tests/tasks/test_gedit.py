"""GEdit-Bench: exact edits get full marks, copies none; its files, rubric and result folders."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import harmon_eval
from harmon_eval import cli
from harmon_eval.core import Ask, Data, Edit, Responder, UserError
from harmon_eval.instruments.judge.rules import RuleJudge
from harmon_eval.instruments.judging import Judge
from harmon_eval.registry import task
from harmon_eval.store.digests import sha256_of
from harmon_eval.suites.mini.edit_images import drawn_anew
from harmon_eval.suites.mini.scenes import render
from harmon_eval.tasks.gedit import files, mini, rules

LABEL = "[shape-rules-1, our rubric, 6 of 11 groups]"
TARGETS = {f"en/{i.group}/{i.key}/0": render(i.edit.target) for i in mini.items()}


class Exact(Responder):
    """Gives the very target of each sample of the mini suite; ``wrong`` ids get a grey picture."""

    name, fingerprint = "exact", "1"

    def __init__(self, wrong: Sequence[str] = ()) -> None:
        self.wrong = wrong
        self.by_request: dict[tuple[int, str], str] = {}

    def expect(self, name: str, task: Any, samples: Any) -> None:
        self.by_request = {(s.request.seed, s.request.instruction): s.id for s in samples}

    def edit(self, requests: Sequence[Edit]) -> list[Image.Image]:
        names = [self.by_request[r.seed, r.instruction] for r in requests]
        grey = np.full((64, 64, 3), 140, np.uint8)
        return [Image.fromarray(grey if n in self.wrong else TARGETS[n]) for n in names]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARMON_EVAL_CACHE", str(tmp_path / "cache"))
    return tmp_path


def test_exact_targets_get_full_marks_and_both_floors_stand_beside_them(cache: Path) -> None:
    found = harmon_eval.evaluate(Exact(), tasks="gedit", output=cache / "run")["gedit"]
    assert (found.n, found.total, found.headline) == (120, 120, f"gedit_en{LABEL}")
    assert found.score is not None and found.score > 9.8
    floors = found.floors[found.headline]
    assert floors["copy_source"] == 0
    assert 0 < floors["ignore_source"] < 5
    assert "official_would_guess" not in found.floors
    rows = found.rows
    assert rows is not None and list(rows["result_size"].unique()) == ["64x64"]
    assert not (rows["O"] - np.sqrt(rows["SC"] * rows["PQ"])).any()
    text = (cache / "run" / "table.md").read_text()
    assert "copy_source 0.000, ignore_source" in text


def test_the_report_pairs_source_and_result(cache: Path) -> None:
    run = harmon_eval.evaluate(Exact(), tasks="gedit", output=cache / "run", limit=2)
    page = cache / "page.html"
    assert cli.main(["report", str(run.path), "--output", str(page)]) == 0
    text = page.read_text()
    assert text.count('class="card edit"') == 2
    assert "Source image 1 of 1 for:" in text and "Result 1 of 1 by exact for:" in text


class Ugly(RuleJudge):
    """The rule judge, with a quarter of its replies in forms that the original stumbles over."""

    FORMS = (
        "{{'score': {0}, 'reasoning': 'short'}}",
        '{{score: {0}, reasoning: "it\'s "fine""}}',
        "Here it is: {0}",
        '```json\n{{"score": {0}, "reasoning": "a\tb",}}\n```',
    )

    def ask(self, requests: Sequence[Ask]) -> list[str | Exception]:
        replies = super().ask(requests)
        for place in range(0, len(replies), 4):
            score = json.loads(str(replies[place]))["score"]
            replies[place] = self.FORMS[place // 4 % 4].format([round(value) for value in score])
        return replies


def marked_by(judge: Responder, folder: Path) -> pd.DataFrame:
    from harmon_eval.core import Answer

    own = task("gedit")
    samples = list(own.samples(Data.at(folder)))[::6]
    answers = []
    for sample in samples:
        file = folder / "results" / f"{sample.id}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(TARGETS[sample.id]).save(file)
        answers.append(Answer(sample, file))
    rows = own.mark(answers, {"judge": Judge(judge)})
    return pd.DataFrame(
        {"id": s.id, "group": s.group, **row} for s, row in zip(samples, rows, strict=True)
    )


def test_ugly_replies_say_the_same_and_are_counted(cache: Path) -> None:
    mini.make(cache)
    plain, ugly = marked_by(RuleJudge(), cache), marked_by(Ugly(), cache)
    assert (plain["O"] - ugly["O"]).abs().max() < 0.5
    assert ugly["semantic_rule"].nunique() + ugly["quality_rule"].nunique() > 2
    assert ugly["original_loops"].any() and not plain["original_loops"].any()
    found = task("gedit").summarize(ugly)
    assert found["official_would_loop"] == ugly["original_loops"].sum()


class Silent(Responder):
    """Answers about quality, and of the edit says what is given."""

    name, fingerprint = "silent", "1"

    def __init__(self, reply: str) -> None:
        self.reply = reply

    def ask(self, requests: Sequence[Ask]) -> list[str]:
        return ["[9, 9]" if len(r.images) == 1 else self.reply for r in requests]


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("Both look fine.", "has no scores: the original draws a random score"),
        ("{broken}", "has no scores: the original asks without end"),
        ('{"score": [18, 6]}', "has no scores: the original"),
    ],
)
def test_no_scores_are_no_zero(cache: Path, reply: str, reason: str) -> None:
    mini.make(cache)
    rows = marked_by(Silent(reply), cache)
    assert rows["unscored"].str.contains(reason, regex=False).all()
    assert (rows["reply"] == reply).all()


def test_unscored_results_have_bounds(cache: Path) -> None:
    wrong = next(iter(TARGETS))

    class OneMissing(Exact):
        def edit(self, requests: Sequence[Edit]) -> list[Any]:
            given = super().edit(requests)
            return [
                ValueError("no image") if self.by_request[r.seed, r.instruction] == wrong else image
                for r, image in zip(requests, given, strict=True)
            ]

    found = harmon_eval.evaluate(OneMissing(), tasks="gedit", output=cache / "run")["gedit"]
    assert (found.n, sum(found.unscored.values())) == (119, 1)
    assert found.bounds is not None
    low, high = found.bounds
    assert high - low == pytest.approx(10 / 20 / 6)


def test_o_is_of_each_image_and_not_of_the_means() -> None:
    """By hand: (4, 9) and (9, 4) both give 6, and so their mean is 6, not sqrt(6.5 * 6.5)."""
    rows = pd.DataFrame(
        {
            **{"task_type": "ps_human", "language": "en", "intersection": flag},
            **{"judge": "j", "rubric_kind": "given", **rules.scores(*pair)},
        }
        for pair, flag in (((4, 9), True), ((9, 4), False))
    )
    found = task("gedit").summarize(rows)
    assert found["gedit_en[j, 1 of 11 groups]"] == 6
    assert found["gedit_en_SC[j, 1 of 11 groups]"] == 6.5
    assert found["gedit_en_intersection_SC[j, 1 of 11 groups]"] == 4
    assert rules.overall(8, 6) == pytest.approx(math.sqrt(48))


# -- files ---------------------------------------------------------------------------------------


def table(folder: Path, rows: Sequence[tuple[str, str, str]]) -> None:
    """A table of (group, key, language); all with one grey picture."""
    Image.new("RGB", (48, 32), (9, 9, 9)).save(folder / "grey.png")
    data = (folder / "grey.png").read_bytes()
    pq.write_table(
        pa.Table.from_pylist(
            [
                {
                    **{"task_type": group, "key": key, "instruction": f"Edit {n}."},
                    **{"instruction_language": language, "Intersection_exist": n % 2 == 0},
                    **{"input_image": {"bytes": data, "path": None}},
                }
                for n, (group, key, language) in enumerate(rows)
            ]
        ),
        folder / "train-00000-of-00001.parquet",
    )


ROWS = [
    ("subject-remove", "aa", "en"),
    ("subject-remove", "aa", "en"),
    ("subject-remove", "aa", "cn"),
    ("ps_human", "aa", "en"),
]


def test_keys_may_repeat_and_languages_are_variants(cache: Path) -> None:
    table(cache, ROWS)

    def ids(name: str) -> list[str]:
        return [sample.id for sample in task(name).samples(Data.at(cache))]

    english = ["en/subject-remove/aa/0", "en/subject-remove/aa/1", "en/ps_human/aa/0"]
    assert ids("gedit") == english
    assert ids("gedit:cn") == ["cn/subject-remove/aa/0"]
    assert sorted(ids("gedit:full")) == sorted([*english, "cn/subject-remove/aa/0"])
    first = next(iter(task("gedit:full").samples(Data.at(cache))))
    assert isinstance(first.request, Edit)
    assert (first.request.language, first.group) == ("en", "subject-remove/aa")
    assert (task("gedit").headline, task("gedit:cn").headline) == ("gedit_en", "gedit_cn")
    with pytest.raises(UserError, match="give cn, full"):
        task("gedit:zh")


def test_a_table_with_an_unknown_group_is_refused(cache: Path) -> None:
    table(cache, [("haircut", "aa", "en")])
    with pytest.raises(UserError, match="task_type 'haircut'"):
        list(task("gedit").samples(Data.at(cache)))


def test_the_official_rubric_is_used_raw_and_changes_the_name(cache: Path) -> None:
    table(cache, ROWS)
    own = task("gedit")
    ours = next(iter(own.samples(Data.at(cache))))
    assert ours.target["rubric_kind"] == "ours"
    (cache / "rubric_semantic.txt").write_text("Judge it: <instruction>")
    with pytest.raises(UserError, match=r"rubric_quality.txt is missing"):
        list(own.samples(Data.at(cache)))
    (cache / "rubric_quality.txt").write_text("Is it pretty?")
    theirs = next(iter(own.samples(Data.at(cache))))
    assert own.judged is not None
    semantic, quality = own.judged(theirs, theirs.request.files[0])
    assert (semantic.question, quality.question) == ("Judge it: Edit 0.", "Is it pretty?")
    assert theirs.target["rubric"] != ours.target["rubric"]
    (cache / "rubric_semantic.txt").write_text("Judge it.")
    with pytest.raises(UserError, match="lacks <instruction>"):
        list(own.samples(Data.at(cache)))


def test_the_judge_sees_jpeg_files_at_the_size_of_the_source(cache: Path) -> None:
    table(cache, ROWS)
    sample = next(iter(task("gedit").samples(Data.at(cache))))
    result = cache / "large.png"
    Image.new("RGB", (100, 100), (200, 0, 0)).save(result)
    semantic, quality = rules.asks(dict(sample.target), sample.request.files[0], result)
    shown = [Image.open(path) for path in semantic.images]
    assert [(image.format, image.size) for image in shown] == [("JPEG", (48, 32))] * 2
    assert quality.images == semantic.images[1:]
    assert semantic.max_new_tokens == 1400


def results(folder: Path, names: Sequence[str]) -> None:
    for number, name in enumerate(names):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (number, 0, 0)).save(file)


@pytest.mark.parametrize("above", ["", "my-model/"])
@pytest.mark.parametrize("chinese", ["cn", "zh"])
def test_its_result_folder_is_read(tmp_path: Path, above: str, chinese: str) -> None:
    names = ["subject-remove/en/aa", "subject-remove/en/aa_SRCIMG", "subject-remove/en/aa_1"]
    names += [f"subject-remove/{chinese}/aa", "ps_human/en/b_2"]
    results(tmp_path, [f"{above}fullset/{name}.png" for name in names])
    found = {drawn.sample: drawn.file.stem for drawn in files.read_images(tmp_path) or ()}
    assert found == {
        "en/subject-remove/aa/0": "aa",
        "en/subject-remove/aa/1": "aa_1",
        "cn/subject-remove/aa/0": "aa",
        "en/ps_human/b_2/0": "b_2",
    }
    assert files.read_images(tmp_path / "fullset" / "none") is None


def test_the_results_of_two_models_are_refused(tmp_path: Path) -> None:
    results(tmp_path, [f"{model}/fullset/ps_human/en/a.png" for model in "ab"])
    with pytest.raises(UserError, match="several models"):
        files.read_images(tmp_path)


def test_what_is_exported_is_read_back_and_has_the_originals_tables(cache: Path) -> None:
    wrong = list(TARGETS)[:1]
    run = harmon_eval.evaluate(Exact(wrong), tasks="gedit", output=cache / "run", limit=12)
    first = run["gedit"]
    assert cli.main(["export", str(run.path), "gedit", str(cache / "out" / "exact")]) == 0
    sources = list((cache / "out").rglob("*_SRCIMG.png"))
    assert len(sources) == first.n == 12
    again = harmon_eval.evaluate(
        f"folder:{cache / 'out' / 'exact'}", tasks="gedit", output=cache / "again", limit=12
    )
    assert again["gedit"].score == first.score
    lines = pd.read_csv(cache / "run" / "gedit" / "model_combined_gpt_score.csv")
    assert list(lines) == [
        *("source_image", "edited_image", "instruction", "sementics_score", "quality_score"),
        *("intersection_exist", "instruction_language"),
    ]
    means = np.sqrt(lines["sementics_score"] * lines["quality_score"])
    means = means.groupby(lines["edited_image"].str.split("/").str[1]).mean()
    assert means.mean() == pytest.approx(first.score)


def test_a_list_names_sources_by_file_or_digest(cache: Path) -> None:
    mini.make(cache / "data")
    own = task("gedit")
    samples = list(own.samples(Data.at(cache / "data")))[:3]
    folder = cache / "results"
    folder.mkdir()
    source = folder / "source.png"
    source.write_bytes(samples[0].request.files[0].read_bytes())
    lines = [
        {"file": "0.png", "instruction": samples[0].request.text, "source": "source.png"},
        {
            "file": "1.png",
            "instruction": samples[1].request.text,
            "source": sha256_of(samples[1].request.files[0]),
        },
    ]
    results(folder, ["0.png", "1.png"])
    (folder / "prompts.jsonl").write_text("\n".join(map(json.dumps, lines)))
    found = harmon_eval.evaluate(
        f"folder:{folder}", tasks="gedit", data=cache / "data", output=cache / "run"
    )["gedit"]
    rows = found.rows
    assert rows is not None
    answered = rows.loc[rows["unscored"].isna(), "id"]
    assert set(answered) == {samples[0].id, samples[1].id}
    (reason,) = set(rows["unscored"].dropna())
    assert reason == "the folder has no result of this sample, or of its source and instruction"


def test_a_folder_of_something_else_is_refused(cache: Path) -> None:
    results(cache / "other", ["fullset/ps_human/en/nobody.png"])
    with pytest.raises(UserError, match="none of the 120 results that gedit asks for"):
        harmon_eval.evaluate(f"folder:{cache / 'other'}", tasks="gedit", output=cache / "run")


def test_the_image_of_a_model_that_ignores_the_source_shows_the_targets_objects() -> None:
    rng = np.random.default_rng(0)
    item = next(iter(mini.items()))
    anew = drawn_anew(item.edit, rng)
    kinds = sorted((i.color, i.shape) for i in anew.items)
    assert kinds == sorted((i.color, i.shape) for i in item.edit.target.items)
    assert [(i.x, i.y) for i in anew.items] != [(i.x, i.y) for i in item.edit.target.items]
