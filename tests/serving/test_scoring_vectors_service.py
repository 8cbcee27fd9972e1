"""UniRL's gateway, exchange by exchange, and the pickles of trainers' clients, as recorded."""

from __future__ import annotations

import base64
import json
import math
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from PIL import Image

from harmon_eval.core import Answer, Row, Unscorable
from harmon_eval.serving import pickles
from harmon_eval.serving.service import Limits

from .servers import Running, running, scripted

LATE = 1.5  # seconds that the slow reward takes; the recorded gateway waits 0.2


def width(answer: Answer) -> float:
    with Image.open(answer.image) as image:
        return float(image.width)


def geneval(answers: Sequence[Answer]) -> list[Row]:
    return [{"scores": {"geneval": 0.5, "strict": 0.0, "size": width(a)}} for a in answers]


def slow(answers: Sequence[Answer]) -> list[Row]:
    time.sleep(LATE)
    return geneval(answers)


def bad(answers: Sequence[Answer]) -> list[Row]:
    raise RuntimeError("out of memory")


def nan(answers: Sequence[Answer]) -> list[Row]:
    return [{"scores": {"score": math.nan}} for _ in answers]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    marks = {"geneval": geneval, "slow": slow, "bad": bad, "nan": nan}
    own = [scripted(name, mark) for name, mark in marks.items()]
    with running(own, tmp_path_factory.mktemp("images"), Limits(timeout=0.5)) as found:
        yield found


@pytest.mark.entries("service", "unirl", "exchanges")
def test_unirl(gateway: Running, case: Any) -> None:
    text = case["body"] if isinstance(case["body"], str) else json.dumps(case["body"])
    found = gateway.client.request(
        case["method"],
        gateway.url + case["path"],
        content=None if case["body"] is None else text,
        headers={"Content-Type": "application/json"},
    )
    assert found.status_code == case["status"], found.text
    got, wanted = found.json(), case["response"]
    if case["status"] == 422:
        assert [d["loc"] for d in got["detail"]] == [d["loc"] for d in wanted["detail"]]
    elif case["status"] == 400:
        assert isinstance(got["detail"], str)
    elif "results" in wanted:
        assert got["results"] == wanted["results"]
        told = [own.keys() for own in got["errors"]]
        assert told == [own.keys() for own in wanted["errors"]]
        reasons = (reason for own in got["errors"] for reason in own.values())
        assert all(reason.startswith("sample ") for reason in reasons)
    else:
        assert got == wanted


@pytest.mark.entries("service", "pickles")
def test_pickles_of_trainers_are_read_and_all_others_refused(
    case: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    name, text = case
    data = base64.b64decode(text)
    if name in ("code", "unifiedreward_numpy"):
        with pytest.raises(Unscorable, match=r"STACK_GLOBAL|REDUCE"):
            pickles.read(data)
    else:
        found = pickles.read(data)
        assert pickles.written(found) == data or "images" in found
    assert capsys.readouterr().out == ""  # the one that prints has not


def test_group_rewards(scoring_vectors: dict[str, Any]) -> None:
    case = scoring_vectors["service"]["group_rewards"]
    tags = [tag for tag, _ in case["results"]]
    found = pickles.grouped(tags, [float(right) for _, right in case["results"]])
    assert {name: found[name] for name in case["strict"]} == case["strict"]
