"""Batches across requests, failures, deadlines and repeats: what every format rests on."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest

from harmon_eval.core import Answer, Row, UserError
from harmon_eval.files.images import read_rgb
from harmon_eval.serving.service import Limits
from harmon_eval.suites.mini.scenes import COLORS

from .servers import Running, b64, circle, of_mini, picture, running, scripted

COLORED = {color: picture(circle(color)) for color in COLORS}


def body(*samples: tuple[bytes, Any], **more: Any) -> dict[str, Any]:
    return {"samples": [{"image": b64(i), "metadata": m} for i, m in samples], **more}


def drawn(number: int) -> bytes:
    """A picture that says its number by its place."""
    return picture(circle("red", 12 + number % 40), circle("blue", 52, "square"))


def brightness(answer: Answer) -> float:
    return float(read_rgb(answer.image).mean(dtype=np.float64))


def test_sixty_four_requests_at_once_in_any_order_get_the_same_numbers(tmp_path: Path) -> None:
    sizes: list[int] = []

    def mark(answers: Sequence[Answer]) -> list[Row]:
        sizes.append(len(answers))
        time.sleep(0.01)
        return [
            {"scores": {"r": brightness(a) + a.sample.target["plus"]}, "place": a.sample.target}
            for a in answers
        ]

    with running([scripted("r", mark)], tmp_path / "images") as server:

        def ask(number: int) -> float:
            found = server.post("/mark", body((drawn(number), {"plus": number}))).json()
            return float(found["marks"][0]["scores"]["r"]["r"])

        alone = [ask(number) for number in range(64)]
        server.service._known.clear()  # so that they are marked again
        numbers = np.random.default_rng(0).permutation(64).tolist()
        with ThreadPoolExecutor(64) as clients:
            together = list(clients.map(ask, numbers))
    assert [together[i] for i in np.argsort(numbers)] == alone
    assert len(set(alone)) == 64 and max(sizes) > 1


def test_a_judge_that_fails_for_one_of_eight_leaves_seven_numbers_and_one_reason(
    tmp_path: Path,
) -> None:
    def mark(answers: Sequence[Answer]) -> list[Row]:
        return [
            {"unscored": "the judge failed: 429"}
            if a.sample.target["n"] == 5
            else {"scores": {"r": float(a.sample.target["n"])}}
            for a in answers
        ]

    with running([scripted("r", mark)], tmp_path / "images") as server:
        asked = body(*((drawn(n), {"n": n}) for n in range(8)))
        marks = server.post("/mark", asked).json()["marks"]
        text = server.get("/metrics").text
    assert [m["scores"].get("r") for m in marks] == [
        None if n == 5 else {"r": float(n)} for n in range(8)
    ]
    assert marks[5]["errors"] == {"r": "sample 5: the judge failed: 429"}
    assert 'harmon_eval_images_total{outcome="failed",reward="r"} 1.0' in text
    assert 'harmon_eval_reward_failures{reward="r"} 0.125' in text
    assert 'harmon_eval_reward_max{reward="r"} 7.0' in text


def test_what_ends_a_batch_ends_one_image_only(tmp_path: Path) -> None:
    """An error that nobody expected, on one client's image, is not the other clients'."""

    def mark(answers: Sequence[Answer]) -> list[Row]:
        if any(a.sample.target["n"] == 2 for a in answers):
            raise TypeError("boom in /secret/place/file.py")
        return [{"scores": {"r": 1.0}} for _ in answers]

    with running([scripted("r", mark)], tmp_path / "images") as server:
        marks = server.post("/mark", body(*((drawn(n), {"n": n}) for n in range(4)))).json()[
            "marks"
        ]
    assert [bool(m["errors"]) for m in marks] == [False, False, True, False]
    assert marks[2]["errors"]["r"] == "sample 2: TypeError: boom in file.py"


def test_a_late_reward_is_an_error_and_its_mark_is_found_by_the_next_request(
    tmp_path: Path,
) -> None:
    calls: list[int] = []

    def mark(answers: Sequence[Answer]) -> list[Row]:
        calls.append(len(answers))
        time.sleep(1)
        return [{"scores": {"r": 1.0}} for _ in answers]

    with running([scripted("r", mark)], tmp_path / "images", Limits(timeout=0.2)) as server:
        late = server.post("/mark", body((drawn(1), {}))).json()["marks"][0]
        assert "took longer than 0.2 s" in late["errors"]["r"] and late["scores"] == {}
        time.sleep(1.2)
        again = server.post("/mark", body((drawn(1), {}))).json()["marks"][0]
        assert again == {"scores": {"r": {"r": 1.0}}, "errors": {}, "rows": None}
    assert calls == [1]


def test_the_same_image_and_request_are_marked_once_and_a_failure_again(tmp_path: Path) -> None:
    calls: list[int] = []

    def mark(answers: Sequence[Answer]) -> list[Row]:
        calls.append(len(answers))
        if len(calls) == 1:
            raise UserError("the budget is used up")
        return [{"scores": {"r": float(len(calls))}} for _ in answers]

    with running([scripted("r", mark)], tmp_path / "images") as server:
        asked = body((drawn(1), {"n": 1}))
        first = server.post("/mark", asked).json()["marks"][0]
        assert first["errors"] == {"r": "sample 0: the budget is used up"}
        twice = body(*((drawn(1), {"n": 1}),) * 2, (drawn(1), {"n": 2}))
        marks = server.post("/mark", twice).json()["marks"]
    assert len({m["scores"]["r"]["r"] for m in marks}) == 1 and calls == [1, 2]


def test_rewards_that_read_the_same_marks_enter_the_detector_once(tmp_path: Path) -> None:
    own = of_mini("geneval,geneval:share,geneval:flow_grpo,geneval:threshold=0.5", tmp_path)
    assert [line.name for line in own] == ["geneval"]
    assert [reward.name for reward in own[0].rewards][-1] == "geneval:threshold=0.5"


def test_pictures_are_gone_when_they_are_marked(mini: Running, tmp_path: Path) -> None:
    folder = mini.service.album.folder
    found = mini.post("/compute", {"prompt": ["a photo of a circle"], "image": [b64(drawn(9))]})
    assert found.status_code == 200
    for _ in range(100):
        if not list(folder.glob("*.png")):
            return
        time.sleep(0.05)
    pytest.fail(f"left in the folder: {list(folder.iterdir())}")


def test_too_many_that_wait_are_told_to_come_again(tmp_path: Path) -> None:
    go = threading.Event()

    def mark(answers: Sequence[Answer]) -> list[Row]:
        go.wait(20)
        return [{"scores": {"r": 1.0}} for _ in answers]

    with (
        running([scripted("r", mark)], tmp_path / "images", Limits(waiting=10)) as server,
        ThreadPoolExecutor(3) as clients,
    ):
        asked = body(*((drawn(n), {"n": n}) for n in range(9)))
        first = clients.submit(server.post, "/mark", asked)
        time.sleep(0.5)
        other = body(*((drawn(n), {"n": -n}) for n in range(10)))
        busy = server.post("/mark", other)
        assert busy.status_code == 503 and busy.headers["Retry-After"] == "1"
        go.set()
        assert first.result().status_code == 200


def test_a_client_that_is_killed_midway_mixes_nothing_up(tmp_path: Path) -> None:
    def mark(answers: Sequence[Answer]) -> list[Row]:
        time.sleep(0.05)
        return [{"scores": {"r": float(a.sample.target["n"])}} for a in answers]

    with running([scripted("r", mark)], tmp_path / "images") as server:

        def leave(number: int) -> None:
            with pytest.raises(httpx2.TimeoutException):
                asked = body((drawn(number), {"n": number}))
                httpx2.post(f"{server.url}/mark", json=asked, timeout=0.03)

        def stay(number: int) -> float:
            found = server.post("/mark", body((drawn(number), {"n": number}))).json()
            return float(found["marks"][0]["scores"]["r"]["r"])

        with ThreadPoolExecutor(16) as clients:
            gone = [clients.submit(leave, n) for n in range(100, 108)]
            found = list(clients.map(stay, range(24)))
            for one in gone:
                one.result()
    assert found == [float(n) for n in range(24)]
