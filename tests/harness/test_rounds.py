"""Samples that come after others: a picture is drawn, then a question is asked about it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import pytest
from PIL import Image

import harmon_eval
from harmon_eval.core import (
    About,
    Answer,
    Ask,
    Data,
    Draw,
    Instruments,
    Metric,
    Request,
    Responder,
    Row,
    Sample,
    Task,
    UserError,
)
from harmon_eval.running.jobs import RunSettings, data_hash, prepare
from harmon_eval.suites import load

COLORS = ("red", "green", "blue", "white")
LATER = Ask("Which color is the picture?")


def samples(data: Data) -> Iterator[Sample]:
    for color in COLORS:
        yield Sample(f"{color}/picture", Draw(f"a {color} picture"), {"color": color}, color)
        yield Sample(
            f"{color}/question", LATER, {"color": color}, color, after=(f"{color}/picture",)
        )


def follow(sample: Sample, answers: Sequence[Answer]) -> Request:
    return replace(LATER, images=(answers[0].image,))


def mark(answers: Sequence[Answer], instruments: Instruments) -> list[Row]:
    rows: list[Row] = []
    for answer in answers:
        color = answer.sample.target["color"]
        if isinstance(answer.response, str):
            assert answer.sample.request.files, "marked with the request as it was asked"
            rows.append({"correct": answer.reply == color})
        else:
            rows.append({"correct": Image.open(answer.image).getpixel((0, 0)) == rgb(color)})
    return rows


def rgb(color: str) -> object:
    return Image.new("RGB", (1, 1), color).getpixel((0, 0))


TASK = Task(
    samples=samples,
    mark=mark,
    summarize=lambda rows: {"accuracy": float(rows["correct"].astype(bool).mean())},
    metrics=(Metric("accuracy"),),
    about=About(paper="none", version="1"),
    follow=follow,
    intervals=lambda rows, summarize: {},
)


class Painter(Responder):
    """Draws what it is told, and names the color of a picture; counts what it is asked."""

    name = "painter"
    fingerprint = "1"

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.seen: list[bytes] = []
        self.fails: set[str] = set()
        self.stop: BaseException | None = None
        self.tint: dict[str, str] = {}

    def draw(self, requests: Sequence[Draw]) -> list[Image.Image | Exception]:
        drawn: list[Image.Image | Exception] = []
        for request in requests:
            self.asked.append(request.prompt)
            color = request.prompt.split()[1]
            if color in self.fails:
                drawn.append(RuntimeError("out of paint"))
            else:
                drawn.append(Image.new("RGB", (8, 8), self.tint.get(color, color)))
        return drawn

    def ask(self, requests: Sequence[Ask]) -> list[str]:
        if self.stop is not None:
            raise self.stop
        self.asked += [request.text for request in requests]
        (files,) = zip(*(request.images for request in requests), strict=True)
        self.seen += [file.read_bytes() for file in files]
        pixels = [Image.open(file).getpixel((0, 0)) for file in files]
        return [next((c for c in COLORS if rgb(c) == pixel), "?") for pixel in pixels]


def evaluate(painter: Responder, output: Path, task: Task = TASK, **options: Any) -> Any:
    return harmon_eval.evaluate(painter, {"painting": task}, output=output, **options)


def log(run: Path) -> list[dict[str, Any]]:
    lines = (run / "painting/responses.jsonl").read_text().splitlines()
    return [entry for entry in map(json.loads, lines) if "id" in entry]


def test_a_question_about_what_was_just_drawn_sees_the_picture(tmp_path: Path) -> None:
    painter = Painter()
    run = evaluate(painter, tmp_path / "run", batch_size=3)
    assert (run["painting"].score, run["painting"].n, run.code) == (1.0, 8, 0)
    assert [text.startswith("a ") for text in painter.asked] == [True] * 4 + [False] * 4
    pictures = [(tmp_path / f"run/painting/images/{c}/picture.png").read_bytes() for c in COLORS]
    assert painter.seen == pictures
    rows = run["painting"].rows.set_index("id")
    assert rows.loc["red/question", "question"] == LATER.question
    assert rows.loc["red/picture", "prompt"] == "a red picture"
    assert rows.loc["red/question", "response"] == "red"
    assert rows.loc["red/picture", "response"].read_bytes() == pictures[0]
    html = run["painting"].show()
    assert html.count("<img") == 8, "four drawn, and four asked about"


@pytest.mark.parametrize("size", [1, 2, 500])
def test_the_batch_size_does_not_matter(tmp_path: Path, size: int) -> None:
    whole = evaluate(Painter(), tmp_path / "whole")["painting"]
    other = evaluate(Painter(), tmp_path / "other", batch_size=size)["painting"]
    marks = [r.rows.drop(columns="response") for r in (whole, other)]
    pd.testing.assert_frame_equal(*marks)
    assert [e["after"] for e in log(tmp_path / "whole") if "after" in e] == [
        e["after"] for e in log(tmp_path / "other") if "after" in e
    ]


def test_stopped_between_the_rounds_nothing_that_is_stored_is_asked_again(tmp_path: Path) -> None:
    painter, run = Painter(), tmp_path / "run"
    painter.stop = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        evaluate(painter, run)
    assert len(log(run)) == 4 and painter.asked == [f"a {color} picture" for color in COLORS]
    painter.stop, painter.asked = None, []
    assert evaluate(painter, run)["painting"].score == 1.0
    assert painter.asked == [LATER.question] * 4
    painter.asked = []
    assert evaluate(painter, run)["painting"].score == 1.0
    assert painter.asked == []


def test_a_process_killed_between_the_rounds_is_continued(
    start: Callable[..., Any], tmp_path: Path
) -> None:
    program = (
        "import os, sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\n"
        "import test_rounds as t\n"
        "painter = t.Painter()\n"
        "painter.ask = lambda requests: os.kill(os.getpid(), 9)\n"
        "t.evaluate(painter, Path('run'))\n"
    )
    process = start(str(Path(__file__).parent), program=("-c", program))
    process.communicate()
    assert process.returncode == -9
    painter = Painter()
    assert evaluate(painter, tmp_path / "run")["painting"].score == 1.0
    assert painter.asked == [LATER.question] * 4


def test_two_processes_ask_the_second_round_when_all_of_the_first_is_there(
    start: Callable[..., Any], tmp_path: Path
) -> None:
    program = (
        "import sys, time; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\n"
        "import test_rounds as t\n"
        "class Slow(t.Painter):\n"
        "    def draw(self, requests):\n"
        "        time.sleep(0.1)\n"
        "        return super().draw(requests)\n"
        "painter = Slow()\n"
        "t.evaluate(painter, Path('run'), batch_size=1)\n"
        "print(len(painter.asked))\n"
    )
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29517", "WORLD_SIZE": "2"}
    here = str(Path(__file__).parent)
    both = [start(here, program=("-c", program), RANK=str(rank), **place) for rank in (0, 1)]
    told = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    assert sum(int(out) for out, _ in told) == 8, "nothing was asked twice"
    run = harmon_eval.load(tmp_path / "run", {"painting": TASK})
    assert run["painting"].score == 1.0 and run["painting"].n == 8


def test_without_a_first_answer_the_second_is_unscored_and_says_why(tmp_path: Path) -> None:
    painter = Painter()
    painter.fails = {"green"}
    run = evaluate(painter, tmp_path / "run")
    rows = run["painting"].rows.set_index("id")
    assert run.code == 1 and run["painting"].n == 6
    assert "out of paint" in rows.loc["green/picture", "unscored"]
    assert rows.loc["green/question", "unscored"] == (
        "no response to green/picture, which it comes after"
    )
    assert LATER.question not in painter.asked[4 + 3 :]
    # Once the first is there, both are asked, and nothing else.
    painter.fails, painter.asked = set(), []
    run = evaluate(painter, tmp_path / "run")
    assert run["painting"].n == 8 and run.code == 0
    assert painter.asked == ["a green picture", LATER.question]


def test_a_follow_that_fails_makes_one_sample_unscored(tmp_path: Path) -> None:
    def fails(sample: Sample, answers: Sequence[Answer]) -> Request:
        if sample.group == "blue":
            raise ValueError("no picture of the sea")
        return follow(sample, answers)

    run = evaluate(Painter(), tmp_path / "run", replace(TASK, follow=fails))
    rows = run["painting"].rows.set_index("id")
    assert "no picture of the sea" in rows.loc["blue/question", "unscored"]
    assert run["painting"].n == 7
    assert run["painting"].show().count("no picture of the sea") >= 1


def test_after_another_first_answer_the_second_is_asked_again(tmp_path: Path) -> None:
    painter = Painter()
    evaluate(painter, tmp_path / "run")
    picture = tmp_path / "run/painting/images/white/picture.png"
    picture.write_bytes(b"damaged")
    painter.tint, painter.asked = {"white": "black"}, []
    run = evaluate(painter, tmp_path / "run")
    assert painter.asked == ["a white picture", LATER.question]
    rows = run["painting"].rows.set_index("id")
    assert rows.loc["white/question", "response"] == "?"
    assert run["painting"].score == 6 / 8
    # The same picture again is the same answer: the question about it stands.
    picture.write_bytes(b"damaged")
    painter.asked = []
    evaluate(painter, tmp_path / "run")
    assert painter.asked == ["a white picture"]


def of(*made: Sample) -> Task:
    return replace(TASK, samples=lambda data: iter(made))


FIRST = Sample("first", Draw("a red picture"), {"color": "red"}, "a")


@pytest.mark.parametrize(
    ("task", "told"),
    [
        (of(Sample("second", LATER, {}, "a", after=("first",)), FIRST), "not before it"),
        (of(FIRST, Sample("second", LATER, {}, "b", after=("first",))), "same group"),
        (of(FIRST, Sample("second", LATER, {}, "a", after=("second",))), "not before it"),
        (of(FIRST, Sample("second", LATER, {}, "a", after=("nobody",))), "not before it"),
        (
            replace(of(FIRST, Sample("s", LATER, {}, "a", after=("first",))), follow=None),
            "no `follow`",
        ),
    ],
)
def test_an_impossible_order_is_refused(tmp_path: Path, task: Task, told: str) -> None:
    painter = Painter()
    with pytest.raises(UserError, match=told):
        evaluate(painter, tmp_path / "run", task)
    assert not painter.asked


def test_three_turns_are_three_rounds(tmp_path: Path) -> None:
    third = "What did you just say?"

    def turns(data: Data) -> Iterator[Sample]:
        for sample in samples(data):
            yield sample
            if sample.after:
                ids = (*sample.after, sample.id)
                yield replace(sample, id=f"{sample.group}/again", request=Ask(third), after=ids)

    def last(sample: Sample, answers: Sequence[Answer]) -> Request:
        if len(answers) == 1:
            return follow(sample, answers)
        return Ask(f"{third} {answers[1].reply}", (answers[0].image,))

    painter = Painter()
    run = evaluate(painter, tmp_path / "run", replace(TASK, samples=turns, follow=last))
    assert run["painting"].score == 1.0 and run["painting"].n == 12
    assert painter.asked[-4:] == [f"{third} {color}" for color in COLORS]
    rows = run["painting"].rows.set_index("id")
    assert rows.loc["blue/again", "question"] == f"{third} blue", "the request as it was asked"


def png(color: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4), color).save(buffer, "PNG")
    return buffer.getvalue()


def test_the_hash_of_the_data_sees_the_bytes_of_input_images_and_not_their_names(
    tmp_path: Path,
) -> None:
    def hashed(name: str, content: bytes) -> str:
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(content)
        return data_hash([Sample("q", Ask("?", (file,)), {}, "g")])

    assert hashed("one/a.png", png("red")) == hashed("two/b.png", png("red"))
    assert hashed("one/a.png", png("red")) != hashed("one/a.png", png("blue"))
    assert hashed("two/b.png", png("red")) == hashed("two/b.png", png("red"))
    with pytest.raises(UserError, match="cannot be read"):
        data_hash([Sample("q", Ask("?", (tmp_path / "none.png",)), {}, "g")])


def test_the_order_of_samples_is_part_of_the_data() -> None:
    job = prepare("painting", TASK, load("mini"), RunSettings())
    alone = [replace(sample, after=()) for sample in job.everything]
    assert data_hash(job.everything) != data_hash(alone)


# -- a new kind of request -----------------------------------------------------------------------


@dataclass(frozen=True)
class Choose:
    """Which of the options is right, by likelihood."""

    verb: ClassVar[str] = "choose"
    gives: ClassVar[str] = "text"
    deed: ClassVar[str] = "choose options"

    question: str
    options: tuple[str, ...] = ()
    seed: int = 0

    @property
    def text(self) -> str:
        return f"{self.question} {' / '.join(self.options)}"

    @property
    def files(self) -> tuple[Path, ...]:
        return ()


def options(data: Data) -> Iterator[Sample]:
    for color in COLORS:
        request = Choose(f"Which is {color}?", ("sky", color))
        yield Sample(color, request, {"color": color}, color)


CHOOSING = replace(
    TASK,
    samples=options,
    mark=lambda answers, instruments: [
        {"correct": a.reply == a.sample.target["color"]} for a in answers
    ],
    follow=None,
)


class Longest:
    """No Responder: an object with the verb as its method."""

    def choose(self, requests: list[Choose]) -> list[str]:
        return [request.options[-1] for request in requests]


class LongestResponder(Longest, Responder):
    name = "longest"
    fingerprint = "1"


@pytest.mark.parametrize("model", [Longest(), LongestResponder()])
def test_a_new_kind_of_request_needs_no_change_of_the_runner(tmp_path: Path, model: object) -> None:
    run = harmon_eval.evaluate(model, {"options": CHOOSING}, output=tmp_path / "run")
    assert run["options"].score == 1.0
    assert run["options"].rows["question"][0] == "Which is red? sky / red"
    assert "Which is red? sky / red" in run["options"].show()


def test_a_model_without_the_verb_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="painter cannot do: choose options"):
        harmon_eval.evaluate(Painter(), {"options": CHOOSING}, output=tmp_path / "run")
