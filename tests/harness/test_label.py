"""Marks by people: the page through its real server on loopback, the log, and the calibration."""

from __future__ import annotations

import csv
import http.client
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from harmon_eval.core import UserError
from harmon_eval.people.calibration import calibrate
from harmon_eval.people.labelling import Settings, open_page
from harmon_eval.people.marks import HumanMarks, scale
from harmon_eval.people.questions import choose
from harmon_eval.people.server import PageServer
from harmon_eval.store.run_folder import RunFolder

Made = Callable[..., Path]


class Browser:
    """What a page's script does: requests with the right Host, JSON back."""

    def __init__(self, page: PageServer) -> None:
        self.page = page
        self.base = f"/{page.token}"

    def ask(
        self, method: str, path: str, body: str | None = None, **headers: str
    ) -> tuple[int, bytes, http.client.HTTPMessage]:
        connection = http.client.HTTPConnection("127.0.0.1", self.page.server_port, timeout=20)
        connection.request(method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        return answer.status, data, answer.headers

    def get(self, place: str) -> Any:
        code, data, _ = self.ask("GET", f"{self.base}/{place}")
        assert code == 200, data
        return json.loads(data)

    def mark(self, number: int, key: str, rater: str = "Ann") -> int:
        body = json.dumps({"number": number, "key": key, "rater": rater})
        path = f"{self.base}/mark"
        return self.ask("POST", path, body, Content_Type="application/json")[0]


@contextmanager
def served(run: Path, **settings: Any) -> Iterator[Browser]:
    with open_page(run, Settings(**settings)) as page:
        thread = threading.Thread(target=page.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield Browser(page)
        finally:
            page.shutdown()
            thread.join()


@pytest.fixture
def run(made_run: Made) -> Path:
    return made_run("run", [[1], [0], [1], [1], [0], [1], [0], [1]])


# -- the page ------------------------------------------------------------------------------------


def test_a_rater_marks_and_goes_on_later_where_he_was(run: Path) -> None:
    with served(run, samples=5) as browser:
        assert browser.get("state/Ann")["marked"] == [None] * 5
        question = browser.get("question/0")
        assert question["text"].startswith("question ")
        assert question["responses"] == [{"reply": "reply of run"}]
        assert [browser.mark(0, "1"), browser.mark(1, "0"), browser.mark(0, "0")] == [200] * 3
        assert browser.mark(2, "1", "Bob") == 200
    with served(run, samples=5) as browser:
        assert browser.get("state/Ann")["marked"] == ["0", "0", None, None, None]
        assert browser.get("state/Bob")["marked"] == [None, None, "1", None, None]


def test_the_address_is_local_secret_and_named(run: Path) -> None:
    with served(run) as browser:
        page = browser.page
        assert page.server_address[0] == "127.0.0.1"
        assert browser.ask("GET", "/")[0] == 403
        assert browser.ask("GET", f"/{'x' * len(page.token)}/state/Ann")[0] == 403
        assert browser.ask("GET", f"{browser.base}/", Host="evil.example:80")[0] == 403
        assert (
            browser.ask("GET", f"{browser.base}/", Host=f"evil.example:{page.server_port}")[0]
            == 403
        )
        code, text, headers = browser.ask("GET", f"{browser.base}/")
        assert code == 200 and b"keydown" in text and b"http" not in text.replace(b"https", b"http")
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert headers["Cache-Control"] == "no-store" and headers["X-Frame-Options"] == "DENY"
    with served(run) as again:
        assert again.page.token != page.token


@pytest.mark.parametrize(
    ("body", "headers", "code"),
    [
        ('{"number": 0, "key": "1", "rater": "Ann"}', {"Content_Type": "text/plain"}, 404),
        ('{"number": 0, "key": "1", "rater": "Ann"}', {"Origin": "http://evil.example"}, 403),
        ('{"number": 99, "key": "1", "rater": "Ann"}', {}, 400),
        ('{"number": -1, "key": "1", "rater": "Ann"}', {}, 400),
        ('{"number": true, "key": "1", "rater": "Ann"}', {}, 400),
        ('{"number": 0, "key": "7", "rater": "Ann"}', {}, 400),
        ('{"number": 0, "key": "1", "rater": " "}', {}, 400),
        ('{"number": 0, "key": "1", "rater": "a\\u0007"}', {}, 400),
        ("[]", {}, 400),
        ("{", {}, 400),
        ("[" * 9000, {}, 400),
        ("x" * 20_000, {}, 413),
    ],
)
def test_what_is_no_mark_is_refused_and_not_stored(
    run: Path, body: str, headers: dict[str, str], code: int
) -> None:
    with served(run) as browser:
        given = {"Content_Type": "application/json", **headers}
        assert browser.ask("POST", f"{browser.base}/mark", body, **given)[0] == code
        assert set(browser.get("state/Ann")["marked"]) == {None}


def test_a_drawing_that_a_question_does_not_have_is_not_found(made_run: Made) -> None:
    run = made_run("run", [[True]], task="toy_draw", replies=False)
    RunFolder(run).task("toy_draw").record({"0000-0": Image.new("RGB", (9, 9))})
    with served(run, samples=1) as browser:
        for place, code in (("0/0", 200), ("0/99", 404), ("99/0", 404), ("0/x", 404)):
            assert browser.ask("GET", f"{browser.base}/image/{place}")[0] == code


@pytest.mark.parametrize(
    "place", ["image/0/0", "image/0/../../x", "question/99", "question/-1", "x"]
)
def test_what_is_not_there_is_not_found(run: Path, place: str) -> None:
    with served(run) as browser:
        assert browser.ask("GET", f"{browser.base}/{place}")[0] == 404


def test_a_question_that_there_is_not_is_told_in_words(run: Path) -> None:
    mark = {"number": 99, "key": "1", "rater": "Ann"}
    with served(run, samples=1) as browser:
        for place in ("question/99", "image/99/0"):
            _, text, _ = browser.ask("GET", f"{browser.base}/{place}")
            assert json.loads(text)["error"].startswith(
                "there is no question 99: this page has 1 question, numbered from 0"
            )
        _, text, _ = browser.ask("GET", f"{browser.base}/image/0/7")
        assert "question 0 has 0 images" in json.loads(text)["error"]
        given = {"Content_Type": "application/json"}
        for told, words in (
            (mark, "there is no question 99"),
            ({**mark, "number": 0, "key": "7"}, "'7' is no key of this scale: 1, 0"),
            ({"number": 0, "key": "1"}, "a mark is a JSON object: number, key and rater"),
        ):
            code, text, _ = browser.ask("POST", f"{browser.base}/mark", json.dumps(told), **given)
            assert code == 400 and words in json.loads(text)["error"]


def test_a_rater_who_was_killed_goes_on_behind_the_torn_mark(run: Path) -> None:
    """SIGKILL in the middle of a mark: all earlier ones are there, and the next one is stored."""
    log = HumanMarks(RunFolder(run).task("toy_ask"), "right-or-wrong")
    with served(run) as browser:
        browser.mark(0, "1")
        browser.mark(1, "0")
    log.log.write_bytes(log.log.read_bytes()[:-20])
    with served(run) as browser:
        assert browser.get("state/Ann")["marked"][:3] == ["1", None, None]
        browser.mark(1, "0")
        browser.mark(2, "1")
    with served(run) as browser:
        assert browser.get("state/Ann")["marked"][:3] == ["1", "0", "1"]


def test_drawings_are_shown_as_images_and_marks_fit_the_response(
    made_run: Made,
) -> None:
    run = made_run("run", [[True], [False], [True]], task="toy_draw", replies=False)
    folder = RunFolder(run).task("toy_draw")
    ids = ["0000-0", "0001-0", "0002-0"]
    folder.record({name: Image.new("RGB", (9, 9), (40 * k, 0, 0)) for k, name in enumerate(ids)})
    with served(run, samples=3, scale="1-5") as browser:
        assert browser.get("question/1")["responses"] == [{"image": 0}]
        code, data, headers = browser.ask("GET", f"{browser.base}/image/1/0")
        assert code == 200 and headers["Content-Type"] == "image/png"
        assert data.startswith(b"\x89PNG")
        assert [browser.mark(number, "4") for number in range(3)] == [200] * 3
    sample = choose(ids, 3, 0)[1]
    folder.record({sample: Image.new("RGB", (9, 9), "blue")})
    with served(run, samples=3, scale="1-5") as browser:
        assert browser.get("state/Ann")["marked"] == ["4", None, "4"]  # of another drawing


def test_two_runs_are_compared_blindly_with_ties(made_run: Made) -> None:
    marks = [[k % 2] for k in range(24)]
    one, two = made_run("one", marks, model="one"), made_run("two", marks, model="two")
    with served(one, against=two, samples=24) as browser:
        sides = []
        for number in range(24):
            replies = [r["reply"] for r in browser.get(f"question/{number}")["responses"]]
            assert sorted(replies) == ["reply of one", "reply of two"]
            sides.append(replies[0])
            key = "0" if number < 4 else "1" if replies[0] == "reply of one" else "2"
            assert browser.mark(number, key) == 200
        assert len(set(sides)) == 2  # neither run is always on the left
        assert browser.get("state/Ann")["marked"][:5].count("0") == 4
    found = calibrate(one, against=two)
    preferred = found.numbers[0]
    assert preferred.metric == "preferred" and preferred.value == pytest.approx((20 + 2) / 24)
    agreed = {row.measure: row.value for row in found.agreement}
    assert agreed["judge: same preference, ties included"] == pytest.approx(4 / 24)
    with pytest.raises(UserError, match="need --against RUN"):
        calibrate(one)
    with served(one, samples=24) as browser:
        assert [browser.mark(number, "1") for number in range(3)] == [200] * 3
    calibrate(one)
    stored = [
        json.loads(f.read_text()) for f in sorted((one / "toy_ask").glob("calibration*.json"))
    ]
    assert [s["scale"] for s in stored] == ["pair", "right-or-wrong"], "neither replaces the other"


def test_the_choice_is_random_with_a_seed_and_grows(run: Path) -> None:
    names = [f"{k:03d}" for k in range(200)]
    assert choose(names, 60, 1) == choose(names[::-1], 60, 1) != choose(names, 60, 2)
    assert choose(names, 90, 1)[:60] == choose(names, 60, 1)
    with served(run, samples=3, seed=1):
        pass
    with served(run, samples=6, seed=1):
        pass
    with pytest.raises(UserError, match="another random choice"), served(run, samples=3, seed=2):
        pass


def test_one_process_writes(run: Path) -> None:
    with served(run), pytest.raises(UserError, match="another process is writing"), served(run):
        pass


def test_a_damaged_line_is_no_mark(run: Path) -> None:
    log = HumanMarks(RunFolder(run).task("toy_ask"), "right-or-wrong")
    log.add("0000-0", "Ann", 1.0, "hash")
    log.add("0001-0", "Ann", 1.0, "hash")
    lines = log.log.read_bytes().splitlines(keepends=True)
    log.log.write_bytes(lines[0].replace(b"1.0", b"0.0") + lines[1] + b'{"mark": "torn')
    assert [m.sample for m in log.marks({"0000-0": "hash", "0001-0": "hash"})] == ["0001-0"]


def test_usage_is_told_in_one_line(run: Path, call: Callable[..., Any]) -> None:
    for words, said in (
        (("calibrate", "run"), "`label run --task toy_ask` asks for them"),
        (("calibrate", "run", "--scale", "1-5"), "`label run --task toy_ask --scale 1-5` asks"),
        (
            ("calibrate", "run", "--against", "run"),
            "`label run --task toy_ask --against run` asks for them",
        ),
        (("label", "run", "--task", "nope"), "has no task 'nope' (toy_ask)"),
        (("label", "run", "--scale", "5-1"), "must be LOW-HIGH"),
        (("label", "run", "--samples", "0"), "--samples must be at least 1"),
        (("label", "run", "--port", "99999"), "port 99999 cannot be used"),
        (("label", "nowhere"), "is not a run folder"),
    ):
        outcome = call(*words)
        assert outcome.code == 2 and said in outcome.err
    assert scale("1-5").value("4") == 0.75


# -- calibration ---------------------------------------------------------------------------------


def test_a_sheet_is_filled_in_a_spreadsheet_and_read_back(
    run: Path, call: Callable[..., Any], tmp_path: Path
) -> None:
    """A random choice without the task's marks; what is read twice counts once."""
    sheet = tmp_path / "sheet.csv"
    words = ("calibrate", "run", "--human", sheet)
    assert "6 samples to mark" in call(*words, "--sheet", 6).out
    assert call(*words, "--sheet", 6).code == 2, "marks in it are not written over"
    rows = list(csv.DictReader(sheet.read_text().splitlines()))
    assert list(rows[0]) == ["sample", "of", "asked", "response", "mark", "rater"]
    assert all(row["asked"].startswith("question ") and not row["mark"] for row in rows)
    for row, mark in zip(rows, "10110 ", strict=True):
        row["mark"] = mark

    def save() -> None:
        """As a German spreadsheet does."""
        with sheet.open("w", newline="") as file:
            file.write("sep=;\n")
            table = csv.DictWriter(file, list(rows[0]), delimiter=";")
            table.writeheader()
            table.writerows(rows)

    save()
    assert "5 new marks read" in call(*words).out
    found = calibrate(run)
    assert found.marked == 5 and found.raters == ("sheet",)
    assert found.remarks[0] == "1 of 6 chosen samples are not marked yet"
    assert "0 new marks read" in call(*words).out
    for column, value, said in (
        ("mark", "yes", "row 3: the mark 'yes' is none of 1, 0"),
        ("of", "0" * 16, "row 3: run has no such response"),
        ("sample", "nothing", "row 3: run has no such response of 'nothing'"),
    ):
        kept, rows[1][column] = rows[1][column], value
        save()
        assert said in " ".join(call(*words).err.split())
        rows[1][column] = kept
    assert "give --human FILE.csv" in call("calibrate", "run", "--sheet", 6).err


def test_a_lenient_judge_is_corrected_under_another_name(
    made_run: Made, call: Callable[..., Any]
) -> None:
    rng = np.random.default_rng(0)
    truth = rng.random(300) < 0.5
    judge = truth | (rng.random(300) < 0.4)
    run = made_run("run", [[int(mark)] for mark in judge])
    with served(run, samples=80) as browser:
        for number, sample in enumerate(choose([f"{k:04d}-0" for k in range(300)], 80, 0)):
            right = bool(truth[int(sample[:4])])
            browser.mark(number, str(int(right)))
            browser.mark(number, str(int(right ^ (number % 20 == 0))), "Bob")
    found = calibrate(run)
    numbers = {number.metric: number for number in found.numbers}
    assert set(numbers) == {"accuracy[calibrated:80]", "accuracy[people:80]", "accuracy"}
    low, high = numbers["accuracy[calibrated:80]"].interval
    assert low <= truth.mean() <= high
    assert numbers["accuracy"].interval[0] > truth.mean()
    assert numbers["accuracy[calibrated:80]"].width < numbers["accuracy[people:80]"].width
    agreed = {row.measure: row for row in found.agreement}
    ceiling = agreed["raters: pairwise agreement (ceiling)"]
    assert ceiling.value == pytest.approx(76 / 80) and ceiling.interval is not None
    assert {"raters: Cohen's kappa", "raters: Gwet's AC1"} <= set(agreed)
    told = call("calibrate", "run")
    assert told.code == 0 and "calibrated:80" in told.out
    shown = json.loads((run / "toy_ask/metrics.json").read_text())["intervals"]["accuracy"]
    assert list(numbers["accuracy"].interval) == shown, "one number has one interval"
    stored = json.loads((run / "toy_ask/calibration.json").read_text())
    assert stored["raters"] == ["Ann", "Bob"]
    assert "calibrated" not in (run / "toy_ask/metrics.json").read_text()


def test_one_rater_of_single_marks_has_rogan_and_gladen_too(made_run: Made) -> None:
    rng = np.random.default_rng(1)
    truth = rng.random(200) < 0.5
    judge = np.where(rng.random(200) < 0.85, truth, ~truth)
    run = made_run("run", [[int(mark)] for mark in judge])
    with served(run, samples=60) as browser:
        for number, sample in enumerate(choose([f"{k:04d}-0" for k in range(200)], 60, 0)):
            browser.mark(number, str(int(truth[int(sample[:4])])))
    found = calibrate(run)
    by_name = {number.metric: number for number in found.numbers}
    assert by_name["accuracy[rogan-gladen:60]"].interval[0] < truth.mean()
    agreed = {row.measure: row.value for row in found.agreement}
    own = [int(sample[:4]) for sample in choose([f"{k:04d}-0" for k in range(200)], 60, 0)]
    right = [place for place in own if truth[place]]
    assert agreed["judge: sensitivity"] == pytest.approx(judge[right].mean())
    assert not [name for name in agreed if name.startswith("raters")]


@pytest.mark.parametrize("raters", ["Ann", "Ann Bob"])
def test_a_corrected_number_lies_on_its_scale_and_in_its_interval(
    made_run: Made, raters: str
) -> None:
    """People call five of six right, the judge two, and all that nobody marked: 1.5 in all."""
    marked = choose([f"{k:04d}-0" for k in range(60)], 6, 0)
    strict = {int(sample[:4]) for sample in marked[2:]}
    run = made_run("run", [[int(k not in strict)] for k in range(60)])
    with served(run, samples=6) as browser:
        for place in range(6):
            for rater in raters.split():
                right = place < (5 if rater == "Ann" else 4)
                browser.mark(place, str(int(right)), rater)
    numbers = {number.metric: number for number in calibrate(run).numbers}
    assert numbers["accuracy[calibrated:6]"].value == 1, "limited to the scale"
    for number in numbers.values():
        low, high = number.interval
        assert 0 <= low <= number.value <= high <= 1 and low < high, number
