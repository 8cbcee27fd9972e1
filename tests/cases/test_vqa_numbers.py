"""Questions of one's own whose answers are numbers: another number is never right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from judge_server import Act, completion, serving
from PIL import Image

from harmon_eval import cli

# id: (answer, reply, right; None: either)
CASES: dict[str, tuple[Any, str, bool | None]] = {
    "neg": (5, "-5", False),
    "dec": (35, "3.5", False),
    "dec2": ("1.5", "15", False),
    "thousand": (1000, "1,000", True),
    "float": (3, "3.0", True),
    "pct": ("50%", "50", None),
    "range": ("1990-95", "199095", False),
    "time": ("1:30", "13:0", False),
    "frac": ("1/2", "12", False),
    "op": ("+", "-", False),
    "sign": ("-7", "7", False),
    "ip": ("1.10", "11.0", False),
    "word": (3, "three", True),
    "plus": ("C++", "C", False),
    "sharp": ("C#", "c", False),
    "unicode": ("café", "Cafe\u0301.", True),
    "quotes": ("it's", "It’s", True),
    "minus": (-5, "−5", True),
    "wide": (12, "１２", True),
    "bold": ("red", "**Red**.", True),
}


def correct(file: Path, reply: Any) -> dict[str, bool | None]:
    """id -> whether the reply was right; None where there was none."""
    with serving(lambda n, body: Act(completion(reply(body)))) as server:
        model = ("--model", f"openai:m@{server.url}", "--tasks", f"vqa:{file}", "--output", "run")
        assert cli.main([*model]) in (0, 1)
    rows = pd.read_parquet(next(Path("run").glob("vqa*/rows.parquet")))
    return {
        row["id"]: None if pd.notna(row["unscored"]) else bool(row["correct"])
        for row in rows.to_dict("records")
    }


def asked(body: dict[str, Any]) -> str:
    parts = body["messages"][-1]["content"]
    return " ".join(part.get("text", "") for part in parts)


def test_numbers_signs_and_words(in_folder: Any, tmp_path: Path) -> None:
    Image.new("RGB", (8, 8), "red").save(tmp_path / "a.png")
    rows = [
        {"id": name, "image": "a.png", "question": f"Q-{name}- ?", "answer": answer}
        for name, (answer, _, _) in CASES.items()
    ]
    file = tmp_path / "mine.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    replies = {f"Q-{name}-": reply for name, (_, reply, _) in CASES.items()}

    def reply(body: dict[str, Any]) -> str:
        return next(text for mark, text in replies.items() if mark in asked(body))

    found = correct(file, reply)
    wanted = {name: right for name, (_, _, right) in CASES.items() if right is not None}
    assert {name: found[name] for name in wanted} == wanted


def test_the_shared_questions(in_folder: Any, shared_folder: Path) -> None:
    case = shared_folder / "cases/vqa-numbers"
    table = json.loads((case / "numeric.map").read_text())

    def reply(body: dict[str, Any]) -> str:
        return next((text for key, text in table.items() if key in asked(body)), "?")

    found = correct(case / "numeric.jsonl", reply)
    assert found["qm"] is None, "no reply is no answer, not even to what sign is written"
    right = {name for name, value in found.items() if value}
    assert {"thousand"} <= right <= {"thousand", "pct", "float", "word"}


@pytest.mark.parametrize("reply", ["", None])
def test_no_reply_is_not_a_question_mark(reply: str | None, in_folder: Any, tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text('{"question": "Which sign is written?", "answer": "?"}\n')
    assert list(correct(file, lambda body: reply).values()) == [None]
