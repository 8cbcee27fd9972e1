"""Another server, or another model behind a name: its answers do not mix with those stored."""

from __future__ import annotations

import json
from typing import Any

from judge_server import Act, serving

from harmon_eval import cli
from harmon_eval.store.durable import read_json


def completion(model: str, content: str | None = "yes") -> Act:
    message = {"choices": [{"message": {"content": content}}], "model": model}
    return Act(json.dumps(message).encode())


def run(url: str, *more: str) -> int:
    model = ("--model", f"openai:m@{url}", "--tasks", "pope", "--limit", "2", "--output", "run")
    return cli.main([*model, *more])


def test_another_url_is_another_run_and_said(in_folder: Any, capsys: Any) -> None:
    with serving(lambda n, body: completion("stub")) as one:
        assert run(one.url) == 0
    with serving(lambda n, body: completion("stub", "no")) as two:
        assert run(two.url) == 2 and not two.requests
        said = " ".join(capsys.readouterr().err.split())
        assert f"served at {one.url} -> served at {two.url}" in said
        assert run(two.url, "--fresh") == 0
    manifest = read_json(in_folder("run/manifest.json"))
    assert manifest["identity"]["model"]["fingerprint"] == f"served at {two.url}"
    assert manifest["tasks"]["pope"]["answered_by"] == ["stub"]
    provenance = read_json(in_folder("run/pope/metrics.json"))["provenance"]
    assert provenance["answered_by"] == ["stub"]


def test_another_model_at_the_same_url_is_not_mixed_in(in_folder: Any, capsys: Any) -> None:
    """Half of the questions have no answer yet when the server is given another model."""
    now = {"model": "m-2024", "fails": True}

    def act(number: int, body: dict[str, Any]) -> Act:
        if now["fails"] and number >= 4:
            return completion("m-2024", None)
        return completion(str(now["model"]))

    with serving(act) as server:
        assert run(server.url) == 1
        now.update(model="m-2025", fails=False)
        assert run(server.url) == 2
        said = " ".join(capsys.readouterr().err.split())
        assert "the stored replies are of 'm-2024', and now 'm-2025' answers" in said
        now["model"] = "m-2024"
        assert run(server.url) == 0


def test_a_judge_at_another_url_is_another_judge(in_folder: Any) -> None:
    scores = "Consistency: 2\nRealism: 2\nAesthetic Quality: 2"
    wise = ("--model", "scripted", "--tasks", "wise", "--limit", "2", "--output", "run")
    identities = []
    for _ in range(2):
        with serving(lambda n, body: completion("judge-2024", scores)) as server:
            judge = ("--judge-url", server.url, "--judge-model", "m")
            assert cli.main([*wise, *judge]) == 0
            assert len(server.requests) == 2
            provenance = read_json(in_folder("run/wise/metrics.json"))["provenance"]
            assert provenance["judged_by"] == ["judge-2024"]
            assert server.url in provenance["instruments"]["judge"]
            identities.append(provenance["instruments"]["judge"])
    assert identities[0] != identities[1]


def test_verdicts_of_two_models_are_said(in_folder: Any, capsys: Any) -> None:
    scores = "Consistency: 2\nRealism: 2\nAesthetic Quality: 2"
    wise = ("--model", "scripted", "--tasks", "wise", "--limit", "4", "--output", "run")
    with serving(lambda n, body: completion(f"judge-{n % 2}", scores)) as server:
        assert cli.main([*wise, "--judge-url", server.url, "--judge-model", "m"]) == 0
    assert "judged by 2 models: judge-0, judge-1" in " ".join(capsys.readouterr().err.split())
