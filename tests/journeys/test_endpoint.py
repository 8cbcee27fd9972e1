"""An endpoint that misbehaves, a run that says so, and the same command once it behaves."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from judge_server import Act, completion, serving

Call = Callable[..., Any]
QUESTIONS = 12


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret-of-the-journey")
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


def test_what_failed_is_unscored_and_asked_again(call: Call, tmp_path: Path) -> None:
    rows = [{"question": f"What is {n} in digits?", "answer": str(n)} for n in range(QUESTIONS)]
    (tmp_path / "asked.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    well = False

    def act(number: int, body: dict[str, Any]) -> Act:
        content = body["messages"][-1]["content"]
        text = content if isinstance(content, str) else content[-1]["text"]
        known = next(row["answer"] for row in rows if row["question"] in text)
        if not well and int(known) % 3 == 0:
            return Act(b'{"error": {"message": "this one is refused"}}', status=400)
        return Act(completion(known))

    with serving(act) as server:
        run = (
            *("--model", f"openai:stub@{server.url}", "--tasks", "vqa:asked.jsonl"),
            *("--output", "run"),
        )
        troubled = call(*run)
        assert troubled.code == 1
        (file,) = (tmp_path / "run").glob("*/metrics.json")
        found = json.loads(file.read_text())
        assert found["n"] == 8 and sum(found["unscored"].values()) == 4
        assert found["metrics"]["accuracy"] == 100, "of what was answered"
        assert any("this one is refused" in reason for reason in found["unscored"])
        assert found["bounds"] == [pytest.approx(100 * 8 / 12), 100]
        asked, well = len(server.requests), True
        resumed = call(*run)
        assert resumed.code == 0 and "reused 8 of 12 stored responses" in resumed.err
        assert len(server.requests) - asked == 4, "only what failed is asked again"
        found = json.loads(file.read_text())
        assert found["n"] == 12 and found["metrics"]["accuracy"] == 100 and not found["unscored"]
        again = call(*run)
        assert again.code == 0 and len(server.requests) - asked == 4
    told = "".join(f.read_text() for f in (tmp_path / "run").rglob("*.json*") if f.is_file())
    assert "secret-of-the-journey" not in told


def test_a_judge_that_nobody_named_is_said_before_anything_is_asked(
    call: Call, tmp_path: Path
) -> None:
    data = tmp_path / "data/wise"
    data.mkdir(parents=True)
    with serving(lambda number, body: Act(completion("yes"))) as server:
        run = ("--model", "scripted", "--tasks", "wise", "--suite", "official", "--output", "run")
        for more in ((), ("--dry-run",)):
            refused = call(*run, "--data", "data", *more)
            assert refused.code == 2 and not (tmp_path / "run").exists()
            assert refused.err.startswith("error: ") and refused.err.count("\n") == 1
        assert not server.requests
