"""The command line: quick to start, helpful about names, one line for each error."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harmon_eval import cli
from harmon_eval.commands import _settings
from harmon_eval.running.progress import Progress, open_console
from harmon_eval.store.redact import printable

Call = Callable[..., Any]
HEAVY = ("torch", "transformers", "pandas", "numpy", "PIL", "scipy", "rich", "pyarrow")


def test_help_answers_without_importing_anything_heavy() -> None:
    script = (
        "import sys, harmon_eval.cli\n"
        "try: harmon_eval.cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        f"print('heavy:', [name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.rstrip().endswith("heavy: []")


def test_the_list_of_tasks_waits_for_no_library_of_numbers_or_networks() -> None:
    heavy = ("torch", "transformers", "torchmetrics", "pandas", "scipy", "pyarrow", "numpy._core")
    script = (
        "import sys, harmon_eval.cli\n"
        "assert harmon_eval.cli.main(['list']) == 0\n"
        f"print('heavy:', [name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert "geneval" in done.stdout
    assert done.stdout.rstrip().endswith("heavy: []")


def test_a_plug_in_of_the_list_may_look_for_numpy_and_use_it() -> None:
    """As packages do that work with and without it."""
    script = (
        "import sys, harmon_eval.cli\n"
        "assert harmon_eval.cli.main(['list']) == 0\n"
        "from importlib.util import find_spec\n"
        "assert find_spec('numpy').origin\n"
        "import numpy, numpy.linalg\n"
        "assert numpy.linalg.norm([3, 4]) == 5\n"
    )
    subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)


def test_help_groups_the_options_and_shows_three_examples(call: Call) -> None:
    text = call("--help").out
    for group in ("what to run:", "how to draw", "machine", "output:", "commands:", "examples:"):
        assert group in text
    assert text.split("examples:")[1].count("\n  python -m harmon_eval") == 3
    assert call("run", "--help").out == text
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize("command", ["mark", "show", "leaderboard", "list"])
def test_every_command_has_help(call: Call, command: str) -> None:
    assert f"harmon_eval {command}" in call(command, "--help").out


def test_version(call: Call) -> None:
    shown = call("--version")
    assert shown.code == 0 and shown.out.startswith("harmon_eval ")


def test_run_is_the_default_command_and_options_reach_the_model() -> None:
    command, bare = cli.parse([])
    assert (command, bare.model, bare.tasks, bare.suite) == ("run", "harmon-mini", "all", "mini")
    assert cli.parse(["--tasks", "a"]) == cli.parse(["run", "--tasks", "a"])
    _, given = cli.parse(
        [
            "--cfg",
            "2",
            "--steps",
            "8",
            "--diffusion-steps",
            "9",
            "--dtype",
            "bfloat16",
            "--temperature",
            "0.9",
            "--image-size",
            "128",
            "--device",
            "cpu",
            "--kl16",
            "f",
        ]
    )
    assert _settings.given(given) == {
        "cfg": "2",
        "steps": "8",
        "diffusion_steps": "9",
        "dtype": "bfloat16",
        "temperature": "0.9",
        "image_size": "128",
        "device": "cpu",
        "kl16": "f",
    }
    _, given = cli.parse(["--fast", "--solver", "ddim", "--guidance", "0:0.5", "--compile"])
    assert _settings.given(given) == {
        "solver": "ddim",
        "guidance": "0:0.5",
        "fast": True,
        "compile": True,
    }
    assert _settings.given(bare) == {}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--tasks", "toy_drw", "--model", "scripted"), "did you mean 'toy_draw'?"),
        (("--tasks", "genevl"), "did you mean 'geneval'?"),
        (("--model", "scriptd", "--tasks", "toy_draw"), "did you mean 'scripted'?"),
        (("--model", "harmon-min", "--tasks", "toy_draw"), "did you mean 'harmon-mini'?"),
        (("--suite", "offical", "--model", "scripted"), "did you mean 'official'?"),
        (("lst",), "did you mean 'list'?"),
        (("--tasks", " , "), "--tasks names no task"),
        (("--batch-size", 0, "--tasks", "toy_draw"), "--batch-size 0: must be at least 1"),
        (("--data", "nowhere", "--tasks", "toy_draw"), "--data nowhere"),
        (
            ("--tasks", "toy_broken", "--model", "scripted"),
            "plug-in 'toy_broken' of package 'toy-benchmarks' is broken",
        ),
        (("--model", "toy_broken_model", "--tasks", "toy_draw"), "'toy_broken_model' of package"),
        (("--model", "folder:nowhere", "--tasks", "toy_draw"), "no folder 'nowhere'"),
        (
            ("--model", "scripted", "--cfg", 3, "--tasks", "toy_draw"),
            "scripted has no setting 'cfg': leave it out",
        ),
        (
            ("--model", "harmon-mini?cfg=2", "--cfg", 3, "--tasks", "toy_draw"),
            "cfg is given twice, as 2.0 in the name and as 3.0 separately",
        ),
        (("--dtype", "float8", "--tasks", "toy_draw"), "dtype=float8: give float32 or bfloat16"),
        (("--steps", "many", "--tasks", "toy_draw"), "steps=many: give a whole number"),
        (("--guidance", "0.5", "--tasks", "toy_draw"), "guidance=0.5: give 2 values with a colon"),
        (("show", "nowhere"), "nowhere is not a run folder"),
        (("mark", "nowhere"), "nowhere is not a run folder"),
        (("leaderboard", "nowhere"), "nowhere is not a run folder"),
    ],
)
def test_wrong_input_is_one_line_that_helps_and_exit_code_2(
    call: Call, tmp_path: Path, arguments: tuple[object, ...], words: str
) -> None:
    refused = call(*arguments)
    assert refused.code == 2
    assert words in refused.err
    assert refused.err.startswith("error: ") and refused.err.count("\n") == 1
    assert not list(tmp_path.rglob("manifest.json"))
    assert not list(tmp_path.glob("runs/*")), "a failed start leaves no folder behind"


@pytest.mark.parametrize("command", ["show", "mark", "report"])
def test_a_folder_above_or_below_a_run_is_told_where_the_run_is(
    call: Call, tmp_path: Path, command: str
) -> None:
    run = tmp_path / "mine" / "first"
    (run / "geneval").mkdir(parents=True)
    (run / "manifest.json").write_text("{}")
    assert f"it is in the run folder {run}" in call(command, run / "geneval").err
    assert f"inside is the run folder {run}\n" in call(command, tmp_path / "mine").err


def test_unknown_options_and_values_are_exit_code_2(call: Call) -> None:
    for arguments in (("--taks", "a"), ("--limit", "many"), ("--dtype", "float8"), ("mark",)):
        assert call(*arguments).code == 2


def test_list_shows_tasks_models_and_suites_and_survives_a_broken_plug_in(call: Call) -> None:
    shown = call("list")
    assert shown.code == 0
    for name in ("geneval", "toy_draw", "harmon-mini", "folder", "toy_flaky", "mini", "official"):
        assert name in shown.out
    assert "plug-in 'toy_broken' of package 'toy-benchmarks' is broken" in shown.out


def test_all_leaves_out_what_cannot_run_and_says_so(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harmon_eval import registry

    names = ["toy_ask", "toy_broken", "toy_draw"]
    monkeypatch.setattr(registry, "task_names", lambda: names)
    done = call("--model", "toy_talker")
    assert done.code == 0
    assert "toy_broken: left out: plug-in" in done.err
    assert "toy_draw: left out: toy_talker cannot draw images" in done.err
    assert "toy_ask" in done.out


def test_a_full_disk_is_one_line(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device", "run/x.png")

    monkeypatch.setattr("harmon_eval.store.durable.write_whole", full)
    refused = call("--model", "scripted", "--tasks", "toy_draw", "--output", "run")
    assert refused.code == 2
    assert refused.err.startswith("error: no space left (run/x.png)")


def test_ctrl_c_is_exit_code_130(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    from harmon_eval.commands import list as listing

    def stopped(*arguments: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(listing, "main", stopped)
    assert call("list").code == 130


def test_progress_on_a_terminal_shows_rate_and_remaining_time(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from rich.console import Console

    console = Console(force_terminal=True, width=100)
    with Progress("[task]", console).bar("drawing", 3) as advance:
        for _ in range(3):
            advance(1)
    shown = capsys.readouterr().out
    assert "[task] drawing" in shown and "3/3" in shown and "/s" in shown and "0:00:00" in shown


def test_text_of_others_is_shown_without_control_characters_or_markup() -> None:
    console = open_console()
    with console.capture() as captured:
        console.print(printable("[red]a\x1b[31m\nb\u202e[/red]"))
    assert captured.get() == "[red]a [31m b [/red]\n"


def test_the_name_of_a_file_is_no_emoji() -> None:
    console = open_console()
    with console.capture() as captured:
        console.print("fidelity:one: 1 of 2", soft_wrap=True)
        console.print(printable("vqa:cat: done"), soft_wrap=True)
    assert captured.get() == "fidelity:one: 1 of 2\nvqa:cat: done\n"
