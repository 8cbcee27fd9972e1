"""Every command takes its options from a file, prints one, and stores them in what it writes."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pandas as pd
import pytest

from harmon_eval import cli

Call = Callable[..., Any]
Made = Callable[..., Path]
# Options of several kinds: repeated, of two values, of several values, switches, lists, numbers.
GIVEN = {
    "run": "--judge-price 1.5 6 --instrument judge=x --limit 3 --fast",
    "compare": "--pool a2 b2 --pool a3 b3 --tasks toy_ask --every-metric --changed 0",
    "report": "--against b --against c --items 5 --full-size 0 --baselines janus",
    "leaderboard": "--baselines janus,show-o --sort model --public-weights",
    "plan": "--tasks pope --pilot one two --effect 0.1",
    "mark": "--tasks pope --workers 2 --quiet",
    "serve": "--port 0 --timeout 3.5 --pickle",
    "track": "--output tracked --every 60 --planned 20",
    "show": "--tasks pope --spread",
    "import": "--output here --task a=b --task c=d",
}


@pytest.mark.parametrize("command", cli.COMMANDS)
@pytest.mark.parametrize("given", [True, False])
def test_what_a_command_prints_as_a_file_says_the_same_again(
    call: Call, tmp_path: Path, command: str, given: bool
) -> None:
    words = shlex.split(GIVEN.get(command, "")) if given else []
    printed = call(command, *words, "--print-config")  # without what it would work on
    assert printed.code == 0, printed.err
    (tmp_path / "options.toml").write_text(printed.out)
    again = [command, "--config", "options.toml", "--print-config"]
    assert cli.parse(again)[1].options == cli.parse([command, *words, "--print-config"])[1].options
    assert call(*again).out == printed.out


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('pool = ["a", "b"]', "pool: give a list of lists of 2"),
        ('pool = [["a", "b", "c"]]', "pool: give a list of 2"),
        ('pool = [["a", "--json"]]', "no value may begin with a dash"),
        ('junit = ["a"]', "junit takes one value, not a list"),
        ("effekt = 1", "unknown option 'effekt': did you mean 'effect'?"),
        ("limit = 1", "unknown option 'limit': it belongs to "),
        ("[compare]\neffect = 1", "[compare] is a section, and options have none"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(
    call: Call, tmp_path: Path, text: str, words: str
) -> None:
    (tmp_path / "options.toml").write_text(text)
    refused = call("compare", "a", "b", "--config", "options.toml")
    assert refused.code == 2 and words in refused.err and refused.err.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('annealing = "linear"', "it is a setting of a model: --model NAME?annealing=..."),
        ('[model]\nname = "harmon-mini"', 'give model = "NAME?key=value"'),
        ("taks = 1", "did you mean 'tasks'?"),
    ],
)
def test_a_setting_of_a_model_among_the_options_is_told_its_place(
    call: Call, tmp_path: Path, text: str, words: str
) -> None:
    (tmp_path / "options.toml").write_text(text)
    refused = call("--config", "options.toml")
    assert refused.code == 2 and words in refused.err and refused.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--config=",), "--config names no file"),
        (("--config", ""), "--config names no file"),
        (("--config", "a.toml", "--config=b.toml"), "--config b.toml: give one file of options"),
    ],
)
def test_no_file_and_two_files_of_options_are_refused(
    call: Call, arguments: tuple[str, ...], words: str
) -> None:
    refused = call(*arguments)
    assert refused.code == 2 and words in refused.err and refused.err.count("\n") == 1


def test_a_comparison_says_what_made_it(call: Call, made_run: Made, tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("a2", 1), ("b2", 1)):
        made_run(name, [[1]] * 12, seed=seed)
    files = 'junit = "j.xml"\njson = "j.json"\nsummary = "s.md"\n'
    (tmp_path / "gate.toml").write_text(f'{files}tolerance = "0.2"\npool = [["a2", "b2"]]\n')
    done = call("compare", "a", "b", "--config", "gate.toml", "--tolerance", "0.1")
    assert done.code == 0, done.err
    stored = json.loads((tmp_path / "j.json").read_text())["command"]
    line = stored["line"]
    assert line.startswith("python -m harmon_eval compare a b ")
    assert "--tolerance 0.1 " in line and "--pool a2 b2 " in line
    assert stored["options"]["tolerance"] == "0.1"
    assert cli.parse(shlex.split(line)[3:])[1].options == stored["options"], "it can be given again"
    assert f"Made by `{line}`." in (tmp_path / "s.md").read_text()
    properties = ElementTree.fromstring((tmp_path / "j.xml").read_text()).find("properties")
    assert properties is not None and properties[0].attrib == {"name": "command", "value": line}
    assert call("compare", "a", "nowhere", "--config", "gate.toml").code == 2
    assert "compare a nowhere " in json.loads((tmp_path / "j.json").read_text())["command"]["line"]


def test_tables_and_reports_say_what_made_them(call: Call, made_run: Made, tmp_path: Path) -> None:
    made_run("a", [[1]] * 12)
    line = "python -m harmon_eval leaderboard a --sort model --output board."
    (tmp_path / "board.toml").write_text('sort = "model"')
    for suffix in ("md", "tex", "html", "parquet", "csv"):
        made = call("leaderboard", "a", "--config", "board.toml", "--output", f"board.{suffix}")
        assert made.code == 0, made.err
        if suffix in ("md", "tex", "html"):
            assert f"{line}{suffix}" in (tmp_path / f"board.{suffix}").read_text()
    command = pd.read_parquet(tmp_path / "board.parquet").attrs["command"]
    assert command["line"] == f"{line}parquet" and command["options"]["sort"] == "model"
    assert call("report", "a", "--items", "7").code == 0
    page = (tmp_path / "a" / "report.html").read_text()
    assert "<code>python -m harmon_eval report a --items 7</code>" in page


def test_marking_again_keeps_its_command_beside_that_of_the_run(call: Call, tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").write_text('{"question": "What is 1?", "answer": "1"}\n')
    (tmp_path / "mark.toml").write_text("all-metrics = true\n")
    assert call("--model", "scripted", "--tasks", "vqa:q.jsonl", "--output", "r").code in (0, 1)
    assert call("mark", "r", "--config", "mark.toml").code in (0, 1)
    manifest = json.loads((tmp_path / "r" / "manifest.json").read_text())
    assert manifest["command"]["line"].startswith("python -m harmon_eval run ")
    assert manifest["marked"]["line"] == "python -m harmon_eval mark r --all-metrics"


def test_the_key_of_a_server_is_not_stored() -> None:
    from harmon_eval.commands import _options, serve

    _, arguments = cli.parse(["serve", "--token", "swordfish", "--store", "s"])
    stored = _options.for_manifest("serve", serve.add_arguments, arguments)
    assert "swordfish" not in str(stored) and "--store s" in stored["line"]
