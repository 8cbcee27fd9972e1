"""What Python users do: evaluate, load, look, compare, a leaderboard."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import pytest
from PIL import Image

import harmon_eval
from harmon_eval import plugins
from harmon_eval.adapters.scripted import ScriptedResponder
from harmon_eval.core import (
    About,
    Answer,
    Ask,
    Data,
    Draw,
    Instruments,
    Metric,
    Row,
    Sample,
    Task,
    UserError,
)
from harmon_eval.report.results import Run

ATTACK = "</b><script>alert('owned')</script><img src=http://x.invalid/a.png>\u202e"
QUESTIONS = ("Is it red?", f"Is it {ATTACK}?", "Is it green?")


def questions(data: Data) -> Iterator[Sample]:
    for number, question in enumerate(QUESTIONS):
        yield Sample(f"q{number}", Ask(question), {"answer": "yes"}, f"g{number}", ATTACK)


def mark_replies(answers: Sequence[Answer], instruments: Instruments) -> list[Row]:
    return [
        {"correct": a.reply == "yes", "reason": f"it says {a.reply}"}
        if len(a.reply) < 100
        else {"unscored": f"too long: {a.reply}"}
        for a in answers
    ]


QUIZ = Task(
    samples=questions,
    mark=mark_replies,
    summarize=lambda rows: {"accuracy": float(rows["correct"].astype(bool).mean())},
    metrics=(Metric("accuracy", headline=True),),
    about=About(paper="none", version="1"),
    bounds=lambda sample: ("no", "yes"),
)


def sketches(data: Data) -> Iterator[Sample]:
    for color in ("red", "green"):
        for index in range(4):
            yield Sample(f"{color}/{index}", Draw(f"a {color} square", index=index), {}, color)


def mark_sketches(answers: Sequence[Answer], instruments: Instruments) -> list[Row]:
    boxes = json.dumps({f"square {ATTACK}": [[8.0, 8.0, 24.0, 24.0, 0.987]]})
    rows: list[Row] = []
    for answer in answers:
        correct = answer.sample.group == "red"
        reason = "" if correct else "expected green\nfound red"
        rows.append({"correct": correct, "reason": reason, "details": boxes})
    return rows


SKETCH = replace(QUIZ, samples=sketches, mark=mark_sketches, bounds=None)
TASKS = {"quiz": QUIZ, "sketch": SKETCH}


@pytest.fixture(autouse=True)
def known_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the package alone, whatever other tests have included."""
    monkeypatch.setattr(plugins, "_included", {})


class Mine:
    """No Responder: it has two of the verbs."""

    def draw(self, requests: list[Draw]) -> list[Image.Image]:
        return [Image.new("RGB", (32, 32), "red") for _ in requests]

    def ask(self, requests: list[Ask]) -> Iterator[str]:
        return iter("yes" if "red" in r.question else ATTACK for r in requests)


TAGS = {"div", "p", "b", "i", "br", "span", "table", "tr", "th", "td", "img", "code"}


class Seen(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.sources: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.sources += [str(value) for name, value in attrs if name == "src"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return harmon_eval.evaluate(Mine(), TASKS, output=tmp_path / "mine")


def test_an_object_with_some_verbs_is_evaluated(run: Run, tmp_path: Path) -> None:
    assert list(run) == ["quiz", "sketch"] and len(run) == 2
    assert run.path == tmp_path / "mine" and run.code == 0
    quiz = run["quiz"]
    assert (quiz.headline, quiz.n, quiz.total, quiz.unscored) == ("accuracy", 3, 3, {})
    assert quiz.score == quiz.metrics["accuracy"] == pytest.approx(1 / 3)
    assert quiz.interval == quiz.intervals["accuracy"]
    low, high = quiz.interval
    assert low <= quiz.score <= high
    assert (quiz.counts["accuracy"].n, quiz.counts["accuracy"].groups) == (3, 3)
    assert quiz.floor.reply == "yes" and quiz.floor.score == 1.0 and quiz.bounds is None
    assert quiz.provenance["model"]["name"] == "Mine"
    assert quiz.provenance["model"]["fingerprint"] == "not given"
    assert set(run.table["task"]) == {"quiz", "sketch"}
    assert "quiz accuracy 0.333" in repr(run)
    with pytest.raises(KeyError, match="no such task"):
        run["pope"]


def test_rows_hold_what_was_asked_what_was_right_and_what_came(run: Run) -> None:
    rows = run["quiz"].rows
    first = ["id", "group", "stratum", "question", "target", "response", "unscored"]
    assert list(rows.columns) == [*first, "correct", "reason"]
    assert list(rows["question"]) == list(QUESTIONS)
    assert rows["target"][0] == {"answer": "yes"}
    assert list(rows["response"]) == ["yes", ATTACK, ATTACK]
    assert list(rows["correct"]) == [True, False, False]
    drawn = run["sketch"].rows
    assert set(drawn["prompt"]) == {"a red square", "a green square"}
    assert all(Image.open(file).size == (32, 32) for file in drawn["response"])


def test_unscored_samples_have_bounds_and_show_in_the_code(tmp_path: Path) -> None:
    class Talks:
        def ask(self, requests: list[Ask]) -> list[str | Exception]:
            return ["yes", "word " * 100, RuntimeError("no power")]

    run = harmon_eval.evaluate(Talks(), {"quiz": QUIZ}, output=tmp_path / "run")
    quiz = run["quiz"]
    assert run.code == 1 and quiz.n == 1 and sum(quiz.unscored.values()) == 2
    assert quiz.bounds == (pytest.approx(1 / 3), 1.0)
    assert quiz.rows["unscored"].notna().sum() == 2
    assert "no power" in quiz.show() and "if the unscored were all wrong" in quiz.show()
    assert harmon_eval.load(run.path).code == 1


def test_nothing_that_others_wrote_becomes_markup_and_nothing_is_loaded(run: Run) -> None:
    pages = (run["quiz"]._repr_html_(), run["sketch"]._repr_html_(), run._repr_html_())
    for page in pages:
        seen = Seen()
        seen.feed(page)
        assert seen.tags <= TAGS
        assert seen.attributes <= {"class", "style", "title", "src", "alt"}
        assert all(source.startswith("data:image/webp;base64,") for source in seen.sources)
        assert "\u202e" not in page and "url(" not in page and "@import" not in page
    quiz, sketch, overview = pages
    assert "&lt;script&gt;" in quiz and "⟨U+202E⟩" in quiz
    assert quiz.count("✓ right") == 1 and quiz.count("✗ wrong") == 2
    assert sketch.count("data:image/webp") == 8 and "expected green\nfound red" in sketch
    # A box a picture, in the color of the verdict.
    assert sketch.count("left:25.0%") == 8 and "0.99" in sketch
    assert "accuracy" in overview and "[" in overview


def test_show_takes_whole_prompts_up_to_its_limit(run: Run) -> None:
    assert run["sketch"].show(limit=1).count("data:image/webp") == 4
    assert "4 more samples" in run["sketch"].show(limit=1)
    assert "more samples" not in run["sketch"].show()
    assert "characters of HTML" in repr(run["sketch"].show())


def test_load_gives_what_evaluate_gave(run: Run) -> None:
    again = harmon_eval.load(str(run.path), TASKS)
    assert list(again) == list(run) and again.code == run.code
    pd.testing.assert_frame_equal(again.table, run.table)
    for name, result in run.items():
        other = again[name]
        for field in ("metrics", "intervals", "counts", "n", "total", "unscored", "provenance"):
            assert getattr(other, field) == getattr(result, field), field
        assert (other.bounds, other.floor, other.score) == (
            result.bounds,
            result.floor,
            result.score,
        )
        pd.testing.assert_frame_equal(other.rows, result.rows)
        assert other.show() == result.show()


def test_without_the_task_a_loaded_run_shows_what_the_marks_hold(run: Run) -> None:
    quiz = harmon_eval.load(run.path)["quiz"]
    assert quiz.score == run["quiz"].score
    assert "unknown task" in quiz.show() and "✗ wrong" in quiz.show()
    assert list(quiz.rows["response"]) == ["yes", ATTACK, ATTACK]
    assert "question" not in quiz.rows


def test_the_same_call_resumes_and_another_model_is_refused(tmp_path: Path) -> None:
    asked = []

    class Counts(Mine):
        def ask(self, requests: list[Ask]) -> list[str]:
            asked.extend(requests)
            return ["no" for _ in requests]

    for _ in range(2):
        harmon_eval.evaluate(Counts(), {"quiz": QUIZ}, output=tmp_path / "run")
    assert len(asked) == 3
    harmon_eval.evaluate(Counts(), {"quiz": QUIZ}, output=tmp_path / "run", fresh=True)
    assert len(asked) == 6
    with pytest.raises(UserError, match=r"model\.name: Counts -> Mine"):
        harmon_eval.evaluate(Mine(), {"quiz": QUIZ}, output=tmp_path / "run")


def test_attributes_of_the_object_are_its_identity(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Settings:
        steps: int = 4

    class Named(Mine):
        name, fingerprint = "named", "abc"
        settings = Settings()
        about: ClassVar = {"hours": 3}

    run = harmon_eval.evaluate(Named(), {"quiz": QUIZ}, output=tmp_path / "run")
    model = run["quiz"].provenance["model"]
    assert model == {"name": "named", "fingerprint": "abc", "settings": {"steps": 4}}
    assert json.loads((run.path / "manifest.json").read_text())["about"] == {"hours": 3}


@pytest.mark.parametrize(
    ("model", "told"),
    [
        (Mine, "is a class: give an object, Mine()"),
        (object(), "can do none|cannot do: answer questions"),
        (type("Odd", (Mine,), {"settings": {"f": print}})(), "a dictionary of plain values"),
        (type("Mute", (Mine,), {"ask": lambda self, r: None})(), "gave None"),
        (type("Short", (Mine,), {"ask": lambda self, r: ["yes"]})(), "1 responses to 3 requests"),
        (type("Numb", (Mine,), {"ask": lambda self, r: [1] * len(r)})(), "instead of str"),
    ],
)
def test_an_object_that_is_no_model_is_refused_with_a_reason(
    tmp_path: Path, model: object, told: str
) -> None:
    with pytest.raises(UserError, match=told):
        harmon_eval.evaluate(model, {"quiz": QUIZ}, output=tmp_path / "run")


def test_a_responder_a_name_a_list_of_tasks_and_the_folder_of_the_command(
    plugin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Callable[..., Any]
) -> None:
    monkeypatch.chdir(tmp_path)
    run = harmon_eval.evaluate(ScriptedResponder(), ["toy_draw", "toy_ask"], limit=3)
    assert run.path == Path("runs/scripted-mini") and set(run) == {"toy_draw", "toy_ask"}
    assert "reused" in call("--model", "scripted", "--tasks", "toy_draw", "--limit", 3).err
    named = harmon_eval.evaluate("toy_talker", "toy_ask", output=tmp_path / "named")
    assert named["toy_ask"].n == 10 and named.code == 0
    with pytest.raises(UserError, match="has no settings"):
        harmon_eval.evaluate("toy_talker", "toy_ask", settings={"cfg": 3})
    with pytest.raises(UserError, match="given by its name"):
        harmon_eval.evaluate(Mine(), "toy_ask", settings={"cfg": 3})
    with pytest.raises(UserError, match="did you mean 'toy_ask'"):
        harmon_eval.evaluate("toy_talker", ["toy_aks"])


def test_compare_and_leaderboard_give_frames(run: Run, tmp_path: Path) -> None:
    class Better(Mine):
        def ask(self, requests: list[Ask]) -> list[str]:
            return ["yes" for _ in requests]

    better = harmon_eval.evaluate(Better(), TASKS, output=tmp_path / "better")
    found = harmon_eval.compare(run, better, tasks=["quiz"])
    assert list(found.frame["task"]) == ["quiz"] and found.code == 2
    line = found.frame.iloc[0]
    assert line["difference"] == pytest.approx(2 / 3) and line["verdict"] == "underpowered"
    assert [change.id for change in found.changed] == ["q1", "q2"]
    assert all(change.gained for change in found.changed)
    # Paths do as well; a task that has no name elsewhere is not known then.
    unknown = harmon_eval.compare(run.path, str(better.path), tasks="quiz")
    assert "unknown task 'quiz'" in unknown.frame["reason"][0]
    assert any("nothing can differ" in note for note in harmon_eval.compare(run, run).notes)

    board = harmon_eval.leaderboard(run, better.path, tasks="quiz")
    assert list(board["model"]) == ["Better", "Mine"] and board["value"].iloc[0] == 1.0
    by_name = harmon_eval.leaderboard(better, run, sort="model")
    assert list(by_name["model"].unique()) == ["Better", "Mine"]
    quoted = harmon_eval.leaderboard(run, baselines="janus-pro-7b")
    assert {"Mine", "Janus-Pro-7B"} == set(quoted["model"])
    with pytest.raises(UserError, match="no column"):
        harmon_eval.leaderboard(run, sort="speed")
    with pytest.raises(UserError, match="no numbers of task 'pope': there are those of"):
        harmon_eval.leaderboard(run, tasks=["quiz", "pope"])


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"limit": "3"}, "--limit '3': must be a whole number"),
        ({"limit": True}, "--limit True"),
        ({"seed": 1.5}, "--seed 1.5"),
        ({"seed": None}, "--seed None"),
        ({"batch_size": 2.0}, "--batch-size 2.0"),
        ({"settings": "cfg=3"}, "settings is a str: give a dictionary"),
        ({"instruments": ["judge"]}, "instruments is a list: give a dictionary"),
        ({"tasks": 5}, "tasks is a int"),
        ({"tasks": ["pope", 5]}, "tasks holds a int"),
        ({"suite": None}, "suite is a NoneType"),
        ({"output": 5}, "output is 5: give a path"),
        ({"data": ""}, "data is '': give a path"),
    ],
)
def test_arguments_of_another_type_are_named(
    tmp_path: Path, given: dict[str, Any], told: str
) -> None:
    with pytest.raises(UserError, match=re.escape(told)):
        harmon_eval.evaluate(Mine(), **{"tasks": TASKS, "output": tmp_path / "run", **given})
    assert not (tmp_path / "run").exists()
    with pytest.raises(UserError, match="path is None"):
        harmon_eval.load(None)  # type: ignore[arg-type]


def test_include_makes_a_file_known(tmp_path: Path) -> None:
    file = tmp_path / "echo_model.py"
    file.write_text(
        "from harmon_eval.adapters.scripted import ScriptedResponder\n"
        "def open_model(): return ScriptedResponder()\n"
    )
    assert harmon_eval.include(str(file)) == ["echo_model"]
    run = harmon_eval.evaluate("echo_model", {"quiz": QUIZ}, output=tmp_path / "run")
    assert run["quiz"].n == 3


def test_a_folder_that_is_no_run_or_was_tampered_with_is_refused(run: Run, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a run folder"):
        harmon_eval.load(tmp_path)
    (run.path / "quiz/metrics.json").write_text('{"task": "quiz", "metrics": 3}')
    with pytest.raises(UserError, match=r"metrics\.json"):
        harmon_eval.load(run.path)


def test_the_subpackages_leave_the_names_of_the_functions_alone() -> None:
    import harmon_eval.comparing.folders
    import harmon_eval.ranking.entries

    for name in harmon_eval.__all__:
        assert callable(getattr(harmon_eval, name)), name
    assert re.match(r"\d+\.\d+", harmon_eval.__version__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        harmon_eval.nothing  # noqa: B018


def test_importing_it_imports_nothing_heavy() -> None:
    heavy = ("torch", "pandas", "scipy", "numpy", "PIL", "transformers", "importlib.metadata")
    program = (
        "import sys; before = set(sys.modules); import harmon_eval; "
        f"print([n for n in {heavy!r} if n in sys.modules and n not in before])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
