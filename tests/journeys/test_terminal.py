"""What people see of a run: terminals of 60, 80 and 120 columns, a pipe, no colour."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import shlex
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harmon_eval import cli
from harmon_eval.commands import _options, _terminal, run, track
from harmon_eval.metrics.text import estimate

ROOT = Path(__file__).resolve().parents[2]
Call = Callable[..., Any]
LONG = "questions-with-a-rather-long-name-that-no-narrow-terminal-can-hold"
MODEL = """
import re, time
from harmon_eval.core import Responder

class Model(Responder):
    name, fingerprint = "counting", "1"
    def ask(self, requests):
        time.sleep(0.05)
        return [
            ValueError(f"no digits in '{r.question}'") if "Which" in r.question
            else re.search("[0-9]+", r.question)[0]
            for r in requests
        ]

def open_model():
    return Model()
"""


@pytest.fixture(autouse=True)
def questions(tmp_path: Path) -> list[str]:
    (tmp_path / "counting.py").write_text(MODEL)
    for name in ("a", LONG):
        rows = [{"question": f"What is {n} in digits?", "answer": str(n)} for n in range(40)]
        rows += [{"question": f"Which word is {c}?", "answer": "1"} for c in "xyz"]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    tasks = f"vqa:a.jsonl,vqa:{LONG}.jsonl"
    return ["--include", "counting.py", "--model", "counting", "--tasks", tasks, "--output", "run"]


def on_a_terminal(columns: int, arguments: list[str], folder: Path, **environment: str) -> str:
    """What a terminal of so many columns receives."""
    writer, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    own = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "NO_COLOR", "FORCE_COLOR")}
    own |= {"PYTHONPATH": str(ROOT), "TERM": "xterm-256color", **environment}
    command = [sys.executable, "-m", "harmon_eval", *arguments]
    process = subprocess.Popen(
        command, cwd=folder, env=own, stdin=terminal, stdout=terminal, stderr=terminal
    )
    os.close(terminal)
    received = b""
    while True:
        try:
            part = os.read(writer, 65536)
        except OSError:  # Linux says so where the other end is closed
            break
        if not part:
            break
        received += part
    os.close(writer)
    assert process.wait(timeout=60) in (0, 1)
    return received.decode()


def plain(received: str) -> str:
    """Without what moves the cursor and colours."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", received).replace("\r\n", "\n").replace("\r", "\n")


def table(text: str) -> list[str]:
    """The lines of the headlines."""
    lines = text.splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith("task ") and "score" in line)
    return lines[start : start + 3]


def test_a_narrow_terminal_gets_bars_a_line_for_the_whole_run_and_one_line_a_task(
    questions: list[str], tmp_path: Path
) -> None:
    received = on_a_terminal(60, [*questions, "--batch-size", "10"], tmp_path)
    said = plain(received)
    assert said.startswith("harmon_eval ") and "loading counting" in said.splitlines()[0]
    assert "task 1 of 2" in said and "task 2 of 2" in said and "━" in said
    assert "vqa:a.jsonl: accuracy 100.00 [" in said, "scores as soon as a task ends"
    lines = table(said)
    assert all(len(line) <= 60 for line in lines), lines
    assert "vqa:a.jsonl" in lines[1] and "vqa:questi" in lines[2] and "…" in lines[2]
    for line in lines[1:]:
        assert "100.00" in line and "[" in line and "40 of 43" in line and " 9.30" in line
    assert "6 samples are unscored:" in said
    assert "6 x" in said and "no digits in" in said, "equal but for a quoted word: one reason"
    assert "show run --tasks vqa:a.jsonl" in said and "report run" in said


def test_a_dumb_terminal_gets_plain_lines(questions: list[str], tmp_path: Path) -> None:
    received = on_a_terminal(80, questions, tmp_path, TERM="dumb")
    assert "\x1b" not in received
    said = plain(received)
    assert "vqa:a.jsonl: task 1 of 2" in said and "asking 43/43" in said
    assert all(len(line) <= 80 for line in table(said))


def test_colour_that_is_asked_for_in_a_pipe_brings_no_bars(
    questions: list[str], tmp_path: Path
) -> None:
    """As in notebooks and in CI, where FORCE_COLOR is set and nobody watches."""
    command = [sys.executable, "-m", "harmon_eval", *questions]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "FORCE_COLOR": "1", "TERM": "xterm"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    moving = re.findall(r"\x1b\[[0-9;?]*[A-Zhl]", done.stderr)
    assert done.returncode == 1 and not moving and "asking 43/43" in done.stderr
    assert "\x1b[" in done.stdout, "colours"


def test_without_colour_and_quietly(questions: list[str], tmp_path: Path) -> None:
    rest = ["--quiet", "--log", "said.log"]
    received = on_a_terminal(120, [*questions, *rest], tmp_path, NO_COLOR="1")
    assert not re.search(r"\x1b\[[0-9;]*(?:3[0-8]|4[0-8]|9[0-7])[;m]", received)
    said = plain(received)
    assert "loading" not in said and "asking" not in said and "run folder" not in said
    assert "3 of 43 samples are unscored" in said, "a warning"
    lines = table(said)
    assert "metric" in lines[0] and "accuracy" in lines[1] and max(map(len, lines)) <= 120
    log = (tmp_path / "said.log").read_text()
    assert "INFO vqa:a.jsonl: accuracy 100" in log and "WARNING vqa:a.jsonl: 3 of 43" in log
    assert said.count("no row has a picture") == log.count("no row has a picture") == 2


def test_a_pipe_is_as_wide_as_columns_say(
    questions: list[str], call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = call(*questions, "--verbose")
    assert "\x1b" not in done.out + done.err and done.code == 1
    assert "run: settings {}" in done.err and "version" in done.err
    for columns in (60, 80, 120, 160):
        monkeypatch.setenv("COLUMNS", str(columns))
        lines = table(call("show", "run").out)
        assert max(map(len, lines)) <= columns and ("…" in lines[2]) == (columns < 160)
    whole = call("show", "run", "--tasks", "vqa:a.jsonl").out
    assert "accuracy_open" in whole and LONG not in whole
    assert LONG[:9] in call("show", "run", "--all-metrics").out
    wrong = call("show", "run", "--tasks", "vqa:a.json")
    assert wrong.code == 2 and "did you mean 'vqa:a.jsonl'?" in wrong.err


def test_the_first_line_comes_before_anything_heavy_is_loaded() -> None:
    script = (
        "import sys, harmon_eval.cli as cli\n"
        "class Watched:\n"
        "    def __getattr__(self, name): return getattr(sys.__stderr__, name)\n"
        "    def write(self, text):\n"
        "        heavy = [n for n in ('torch', 'pandas', 'numpy') if n in sys.modules]\n"
        "        print(heavy, text); raise SystemExit\n"
        "sys.stderr = Watched()\n"
        "sys.argv = ['harmon-eval', '--tasks', 'pope']\n"
        "cli.main()"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("[] harmon_eval"), done.stderr
    assert "loading harmon-mini, bundled with this package, suite mini, tasks pope" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--taks", "pope"), "unknown option --taks: did you mean '--tasks'?"),
        (("--judge-modle=x",), "did you mean '--judge-model'?"),
        (("show", "run", "--gate"), "unknown option --gate: it belongs to run"),
        (("--annealing", "linear"), "it is a setting of a model: --model NAME?annealing=..."),
        (("--adaptive-guidance=1",), "--model NAME?adaptive_guidance=..."),
        (("--zzz",), "--help` lists the options"),
        (("show", "run", "--zzzz"), "show --help` lists the options"),
        (("show", "run", "other"), "'other' is one argument too many"),
        (("--seed", "1", "list"), "(a command comes first: python -m harmon_eval list ...)"),
        (("show",), "required: RUN"),
        (("--limit", "many"), "--limit: invalid int value: 'many'"),
        (("--quiet", "--verbose"), "not allowed with argument"),
        (("--log", "no/such/folder/x", "--tasks", "pope"), "--log no/such/folder/x: No such file"),
    ],
)
def test_a_wrong_option_is_one_line_that_names_the_right_one(
    call: Call, arguments: tuple[str, ...], words: str
) -> None:
    refused = call(*arguments)
    error = refused.err.splitlines()[-1]
    assert refused.code == 2 and error.startswith("error: ") and words in error


# -- options in a file -----------------------------------------------------------------------------


def test_options_from_a_file_are_those_of_the_command_line(
    questions: list[str], call: Call, tmp_path: Path
) -> None:
    (tmp_path / "run.toml").write_text(
        'include = ["counting.py"]\nmodel = "counting"\ntasks = ["vqa:a.jsonl"]\n'
        'output = "run"\nlimit = 3\nbatch_size = 2\npredict-only = true\nfresh = false\n'
    )
    assert call("--config", "run.toml", "--limit", "5").code != 2
    command = json.loads((tmp_path / "run" / "manifest.json").read_text())["command"]
    assert command["options"]["limit"] == 5 and command["options"]["predict-only"] is True
    assert "--batch-size 2" in command["line"] and "--seed" not in command["line"]
    words = command["line"].split()
    assert words[:4] == ["python", "-m", "harmon_eval", "run"]
    assert cli.parse(words[3:])[1].options == command["options"]


def test_a_command_line_that_is_stored_can_be_given_again() -> None:
    words = [
        "--model",
        "harmon-mini?steps=8",
        "--judge-price",
        "1.5",
        "6",
        "--fast",
        "--limit",
        "3",
    ]
    command, arguments = cli.parse([*words, "--instrument", "detector=shapes", "--seed", "0"])
    stored = _options.for_manifest(command, run.add_arguments, arguments)
    again = cli.parse(shlex.split(stored["line"])[3:])[1]
    assert again == arguments and "--seed" not in stored["line"], "0 is what it is without"
    _, arguments = cli.parse(["track", "checkpoints", "--output", "tracked"])
    stored = _options.for_manifest("track", track.add_arguments, arguments)
    assert stored["line"].endswith("harmon_eval track checkpoints --output tracked")


def test_the_example_of_the_documentation_is_what_the_page_shows() -> None:
    page = (ROOT / "docs" / "running.md").read_text()
    example = (ROOT / "docs" / "run.toml").read_text()
    assert re.findall(r"```toml\n(.*?)```", page, re.DOTALL)[0] in example
    chosen = cli.parse(["--config", str(ROOT / "docs" / "run.toml"), "--limit", "100"])[1]
    assert (chosen.model, chosen.tasks, chosen.limit) == ("harmon-mini?cfg=3", "geneval,pope", 100)


def test_what_is_printed_as_a_file_says_the_same_again(call: Call, tmp_path: Path) -> None:
    given = ["--tasks", 'a,"b"', "--judge-price", "1.5", "6", "--fast", "--seed", "0"]
    given += ["--instrument", "judge=x", "--instrument", "detector=y?z=ü", "--limit", "3"]
    printed = call(*given, "--print-config")
    assert printed.code == 0 and not (tmp_path / "runs").exists()
    assert "# workers = N" in printed.out and "# gate = false" in printed.out
    (tmp_path / "again.toml").write_text(printed.out)
    again = cli.parse(["--config", str(tmp_path / "again.toml")])[1]
    assert again.options == cli.parse(given)[1].options


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("limt = 3", "run.toml: unknown option 'limt': did you mean 'limit'?"),
        ("limit = [3, 4]", "limit takes one value"),
        ("limit = true", "give text or a number"),
        ("gate = 1", "gate = 1: give true or false"),
        ("[limit]\na = 1", "run.toml: [limit] is a section"),
        ("judge-price = [1]", "give a list of 2"),
        ("limit =", "is not valid TOML"),
        ('limit = "many"', "--limit: invalid int value"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(
    call: Call, tmp_path: Path, text: str, words: str
) -> None:
    (tmp_path / "run.toml").write_text(text)
    refused = call("--config", "run.toml")
    assert refused.code == 2 and words in refused.err and refused.err.count("\n") == 1
    assert "no/such.toml: No such file" in call("--config", "no/such.toml").err


def test_no_key_reaches_the_manifest(questions: list[str], call: Call, tmp_path: Path) -> None:
    body = json.dumps({"private": "5f3a9c77", "temperature": 0})
    judge = ["--judge-model", "gpt", "--judge-url", "http://localhost:9/v1", "--judge-body", body]
    assert call(*questions, *judge, "--predict-only").code in (1, 2)
    assert call(*questions, "--log", "sk-abcdefghijklmnop1234", "--predict-only").code == 1
    text = (tmp_path / "run" / "manifest.json").read_text()
    assert "5f3a9c77" not in text and "sk-abcdefgh" not in text


# -- the plan, digits and words --------------------------------------------------------------------


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_what_a_run_would_ask_is_one_line_a_task_at_any_width(
    call: Call, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    tasks = "pope,wise,synergy,linear_probe"
    planned = call("--model", "scripted", "--tasks", tasks, "--limit", "2", "--dry-run").out
    rows = [line for line in planned.splitlines() if re.match("pope|wise|synergy|linear", line)]
    assert len(rows) == 4 and all(len(line) <= columns for line in planned.splitlines()[1:6])
    assert "22 ask" in rows[0] and "8 ask, 8 draw" in rows[2] and "linear_pr" in rows[3]
    assert ("tokens in" in planned.splitlines()[1]) == (columns > 60)
    assert "4 tasks, 42 samples, 0 stored, left to: 30 ask, 10 draw, 2 embed" in planned
    assert "the judge: 2 requests, about 2,431 tokens in and 32 out, cost none" in planned


@pytest.mark.parametrize(
    ("value", "low", "high", "told"),
    [
        (1870.0, 1753.914, 1933.41, "1,870.0 [1,753.9, 1,933.4]"),
        (100.0, 91.24, 100.0, "100.00 [91.24, 100.00]"),
        (100.0, 100.0, 100.0, "100 [100, 100]"),
        (9.5, 8.25, 10.5, "9.50 [8.25, 10.50]"),
        (0.5, 0.25, None, "0.500 [0.250, ∞]"),
        (1.0, None, None, "1.000"),
        (36.0, None, None, "36"),
        (None, None, None, "–"),
    ],
)
def test_a_value_and_its_interval_have_the_same_digits(
    value: float | None, low: float | None, high: float | None, told: str
) -> None:
    assert estimate(value, low, high) == told


def test_a_misspelt_choice_is_told_which_one_is_meant(call: Call) -> None:
    refused = call("--tasks", "pope", "--tracker", "tensorbord")
    assert refused.code == 2 and "did you mean 'tensorboard'?" in refused.err


def test_an_error_on_a_terminal_is_broken_between_words(monkeypatch: pytest.MonkeyPatch) -> None:
    said = "error: another process is writing into r1: wait until it is done, or use another folder"
    assert _terminal.fitted(said) == said  # a pipe gets one line
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    lines = _terminal.fitted(said).splitlines()
    assert len(lines) == 2 and max(map(len, lines)) <= 60 and " ".join(lines) == said
    path = "/" + "long" * 30
    assert path in _terminal.fitted(f"error: no folder {path}").splitlines()


# -- completion ------------------------------------------------------------------------------------


def test_bash_completes_commands_options_and_names(call: Call, tmp_path: Path) -> None:
    script = tmp_path / "completion.bash"
    script.write_text(call("completion", "bash").out)
    words = ["harmon-eval lea", "harmon-eval show --all", "harmon-eval --tasks gene"]
    words.append("harmon-eval compare a fold")
    (tmp_path / "folder").mkdir()
    asked = [f"source {script}"]
    for typed in words:
        asked.append(f"COMP_WORDS=({typed}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); COMPREPLY=()")
        asked.append('_shtab_harmon_eval x "${COMP_WORDS[COMP_CWORD]}"; echo "${COMPREPLY[@]}"')
    done = subprocess.run(
        ["bash", "-c", "\n".join(asked)], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    commands, options, tasks, folders = done.stdout.splitlines()
    assert (
        folders == "folder" and subprocess.run(["bash", "-n", script], check=False).returncode == 0
    )
    assert "leaderboard" in commands and "--all-metrics" in options and "geneval" in tasks
    assert "#compdef harmon-eval" in call("completion", "zsh").out


# -- how long it still takes -----------------------------------------------------------------------
