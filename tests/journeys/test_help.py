"""Help in a narrow terminal, and what is said of words that are no command."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harmon_eval import cli
from harmon_eval.commands import _options
from harmon_eval.commands._examples import EXAMPLES
from harmon_eval.model.train.__main__ import main as train

Call = Callable[..., Any]


@pytest.mark.parametrize("columns", [60, 80])
@pytest.mark.parametrize("command", cli.COMMANDS)
def test_help_fits_says_what_each_option_is_and_ends_with_an_example(
    command: str, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    parser = cli.parser_of(command)
    text = parser.format_help()
    assert max(map(len, text.splitlines())) <= columns
    assert text.startswith("usage: python -m harmon_eval") and "SUPPRESS" not in text
    assert "new-\n" not in text, "no path is cut"
    assert all(action.help for action in parser._actions)
    if command not in ("run", "serve"):
        assert EXAMPLES[command].strip().startswith(f"python -m harmon_eval {command}")


def test_the_examples_of_help_are_commands_that_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    for command in cli.COMMANDS:
        text = (cli.parser_of(command).epilog or "").replace("\\\n", " ")
        for line in text.splitlines():
            words = shlex.split(line.strip().partition(" > ")[0]) if "  python" in line else []
            if words[:3] == ["python", "-m", "harmon_eval"]:
                cli.parse(words[3:])


def test_a_long_example_can_be_copied_from_a_narrow_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    text = cli.parser_of("run").format_help()
    [copied] = [part for part in text.split("\n  python") if "wusize" in part]
    words = copied.partition("\n      evaluate")[0].replace("\\\n", " ").split()
    whole = "-m harmon_eval --model wusize/Harmon-1_5B --suite official --tasks geneval"
    assert " ".join(words) == f"{whole} --device cuda"
    assert text.index("commands:") < text.index("options:")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("geneval",), "give tasks as --tasks geneval"),
        (("run", "geneval,pope"), "give tasks as --tasks geneval,pope"),
        (("help",), "unknown command 'help': give --help"),
        (("comparee",), "did you mean 'compare'?"),
        (("completion", "fish"), "known: bash, tcsh, zsh"),
        (("--instrument", "detectr=shapes", "--tasks", "geneval"), "did you mean 'detector'?"),
        (("--tasks", "pope", "--output", "r\udcfc"), "is not UTF-8: rename the file"),
    ],
)
def test_a_word_that_is_no_command_is_told_where_it_belongs(
    call: Call, arguments: tuple[str, ...], words: str
) -> None:
    refused = call(*arguments)
    error = refused.err.splitlines()[-1]
    assert refused.code == 2 and error.startswith("error: ") and words in error


def test_a_printed_file_holds_the_whole_help_of_each_option() -> None:
    parser = cli.parser_of("run")
    text = _options.as_toml(parser, cli.parse([])[1])
    assert max(map(len, text.splitlines())) <= _options.SHOWN
    whole = " ".join(line.removeprefix("#").strip() for line in text.splitlines())
    assert "evenly from its parts; a larger N later adds to them" in whole
    assert "# tracker = wandb|mlflow|tensorboard" in text
    assert "float32 (default), bfloat16, float16 or auto: the faster" in whole


def test_a_locale_without_dashes_gets_marks_instead_of_a_traceback(
    call: Call, tmp_path: Path
) -> None:
    (tmp_path / "a.jsonl").write_text('{"question": "What is 1–2?", "answer": "1"}\n')
    call("--model", "scripted", "--tasks", "vqa:a.jsonl", "--output", "é")
    bare = {"PYTHONPATH": str(Path(cli.__file__).parents[1]), "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "harmon_eval", "show", "é"]
    done = subprocess.run(command, env=bare, cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0 and b"vqa:a.jsonl" in done.stdout, done.stderr


# -- the training's command ------------------------------------------------------------------------


def test_the_training_s_help_lists_recipes_and_what_they_are(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from harmon_eval.model.train.reading import shipped_recipes

    for columns in (60, 80):
        monkeypatch.setenv("COLUMNS", str(columns))
        for command in ([], ["export"], ["average"], ["precompute"]):
            with pytest.raises(SystemExit):
                train([*command, "--help"])
            text = capsys.readouterr().out
            assert max(map(len, text.splitlines())) <= columns
            assert text.startswith(" ".join(["usage: python -m harmon_eval.model.train", *command]))
            if not command:
                rows = {line.split()[0] for line in text.splitlines() if line.startswith("  ")}
                assert {*shipped_recipes(), "precompute", "export", "average"} <= rows


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("exprot a b", "unknown command 'exprot': did you mean 'export'?"),
        ("mini-va --dry-run", "no recipe 'mini-va': did you mean 'mini-vae'?"),
        ("mini --stes 3", "unknown option --stes: did you mean '--set'?"),
        ("mini --dry-run --tracker wanb", "no tracker is called 'wanb': did you mean 'wandb'?"),
        ('mini --dry-run --set eval.tasks=["genval"]', "did you mean 'geneval'?"),
        ("mini --set steps=3.5", "steps must be a whole number, not 3.5"),
        ("mini --set optimizer.betas=3", "optimizer.betas must be a list"),
        ("mini", "say where to: --output DIR"),
        ("mini-vae --output taken", "taken cannot be written to or locked (File exists)"),
        ("precompute mini-vae --output x", "trains a VAE, which has no latents"),
        ("export nosuch", "required: FOLDER"),
        ("average harmon-mini harmon-mini taken", "File exists (taken): give another path"),
    ],
)
def test_a_wrong_training_command_is_one_line_that_names_the_fix(
    arguments: str,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").touch()
    assert train(arguments.split()) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ") and words in error


def test_a_recipe_that_is_printed_is_the_same_recipe(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from harmon_eval.model.train.reading import load, shipped_recipes

    for name in shipped_recipes():
        change = [] if name == "mini-vae" else ['watch.prompts=["a \\"red\\" circle\\n"]']
        assert train([name, "--print-config", *(["--set", *change] if change else [])]) == 0
        (tmp_path / "again.toml").write_text(capsys.readouterr().out)
        assert load(str(tmp_path / "again.toml")) == load(name, change)


def test_another_recipe_in_the_same_folder_is_refused_by_the_key_that_differs(
    tmp_path: Path,
) -> None:
    from harmon_eval.model.train.recipe import RecipeError
    from harmon_eval.model.train.run_folder import check_recipe

    recipe = {"sources": [{"batch": 2}, {"batch": 3}], "optimizer": {"ema": 0.9, "clip": 1.0}}
    check_recipe(tmp_path, recipe, {})
    for other, words in (
        ({**recipe, "optimizer": {"ema": 0.5, "clip": 1.0}}, r"another optimizer\.ema: 0\.9, not"),
        ({**recipe, "sources": [{"batch": 2}, {"batch": 4}]}, r"another sources\.1\.batch: 3, not"),
    ):
        with pytest.raises(RecipeError, match=words):
            check_recipe(tmp_path, other, {})
