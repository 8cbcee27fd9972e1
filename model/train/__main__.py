"""Train Harmon by a recipe; prepare or export a training; average two models."""

from __future__ import annotations

import argparse
import difflib
import errno
import json
import sys
from pathlib import Path

from harmon_eval.core import UserError
from harmon_eval.model.train.reading import COMMANDS, about_recipe, as_toml, load, shipped_recipes
from harmon_eval.model.train.recipe import (
    Recipe,
    RecipeError,
    Stopped,
    TrainingError,
    VAERecipe,
)
from harmon_eval.parsing import Parser

PROGRAM = "python -m harmon_eval.model.train"
DTYPES = ("float16", "bfloat16", "float32")
ABOUT = """\
Train Harmon by a recipe. The same command in the same folder resumes.

commands:
  RECIPE      train (`{program} RECIPE --output DIR`)
  precompute  encode a recipe's images once, in advance
  export      write a training's weights as a model folder
  average     write the mean of two models' weights

recipes:
{recipes}"""
EXAMPLES = """\
examples:
  python -m harmon_eval.model.train mini --dry-run
  python -m harmon_eval.model.train mini --set start.vae=harmon-mini minutes=10 --output runs/mini
  accelerate launch -m harmon_eval.model.train stage1 --output runs/stage1
  python -m harmon_eval.model.train export runs/mini runs/harmon-own
  python -m harmon_eval --model runs/harmon-own --tasks geneval,pope

exit codes: 0 done, 1 the training had to stop, 2 wrong usage or input, 130 Ctrl-C, 143 SIGTERM

More: docs/training.md"""


def main(argv: list[str] | None = None) -> int:
    """Exit codes: 0 done, 1 the training had to stop, 2 wrong usage, 130 and 143 by a signal."""
    from harmon_eval.running.machine import share_the_processor

    share_the_processor()
    argv = sys.argv[1:] if argv is None else argv
    commands = dict(zip(COMMANDS, (precompute, export, average), strict=True))
    try:
        if argv and argv[0] in commands:
            return commands[argv[0]](argv[1:])
        close = difflib.get_close_matches(argv[0], COMMANDS, n=1, cutoff=0.7) if argv else []
        if close and not Path(argv[0]).exists():
            raise RecipeError(f"unknown command {argv[0]!r}: did you mean {close[0]!r}?")
        return train(argv)
    except (RecipeError, UserError) as error:
        return _fail(str(error))
    except (Stopped, KeyboardInterrupt) as stopped:
        print(stopped if str(stopped) else "\ninterrupted", file=sys.stderr)
        return 143 if isinstance(stopped, Stopped) else 130
    except TrainingError as error:
        return _fail(str(error), 1)
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return _fail(f"no space left{where}: free some space and give the same command again")
        if error.filename is None:
            raise
        return _fail(f"{error.strerror}{where}: give another path")


def _fail(message: str, code: int = 2) -> int:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return code


def _parser(command: str, about: str) -> Parser:
    return Parser(prog=f"{PROGRAM} {command}".strip(), description=about)


def _recipe_parser(command: str = "") -> Parser:
    recipes = [f"  {name:<17} {about_recipe(name)}" for name in shipped_recipes()]
    about = ABOUT.format(program=PROGRAM, recipes="\n".join(recipes))
    if command:
        about = (
            "Encode all images of a recipe once, where sources have cache = true, and leave: for "
            "trainings that begin at once. The folder's name is a hash of VAE, data and transform."
        )
    parser = _parser(command, about)
    parser.epilog = None if command else EXAMPLES
    parser.add_argument("recipe", metavar="RECIPE", help="a name listed by --help, or a TOML file")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help="the training's folder; what it holds is resumed",
    )
    parser.add_argument(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        metavar="KEY=VALUE",
        dest="overrides",
        help="change the recipe: steps=100 optimizer.ema=0.99 sources.0.batch=8",
    )
    parser.add_argument(
        "--print-config",
        action="store_true",
        help="print the whole recipe as such a file, and leave",
    )
    return parser


def train(argv: list[str]) -> int:
    parser = _recipe_parser()
    parser.add_argument(
        "--tracker",
        action="append",
        default=[],
        metavar="wandb|mlflow|tensorboard",
        help="send losses, scores and drawings there too; can be given several times",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="say what would be trained, from what, and its memory; check trackers and tasks",
    )
    arguments = parser.parse_args(argv)
    if arguments.tracker:
        arguments.overrides.append(f"watch.trackers={json.dumps(arguments.tracker)}")
    recipe = load(arguments.recipe, arguments.overrides)
    if arguments.print_config:
        print(as_toml(recipe), end="")
        return 0
    if not arguments.dry_run:
        _announce(arguments)
    if isinstance(recipe, Recipe):
        _check_training(recipe)
    if arguments.dry_run:
        from harmon_eval.model.train.plan import describe

        print(describe(recipe))
        return 0
    if isinstance(recipe, VAERecipe):
        from harmon_eval.model.train.vae import train_vae

        train_vae(recipe, arguments.output)
        place = arguments.output / "checkpoint.pt"
        print(f"next: {PROGRAM} mini --set start.vae={place} --output DIR")
        return 0
    from harmon_eval.model.train.loop import train_harmon

    train_harmon(recipe, arguments.output)
    print(f"next: {PROGRAM} export {arguments.output} FOLDER")
    print("then: python -m harmon_eval --model FOLDER --tasks geneval,pope")
    return 0


def _announce(arguments: argparse.Namespace) -> None:
    """Say at once what begins, before anything heavy is imported. Raises RecipeError."""
    if arguments.output is None:
        raise RecipeError("say where to: --output DIR")
    print(f"recipe {arguments.recipe} into {arguments.output}", file=sys.stderr, flush=True)


def _check_training(recipe: Recipe) -> None:
    """Raises RecipeError for what a training needs besides its weights and is not here."""
    try:
        from harmon_eval.model.train.evaluation import check_tasks
        from harmon_eval.model.train.watching import check_trackers
    except ModuleNotFoundError as error:
        raise RecipeError(
            f'training needs the package {error.name!r}: pip install "harmon-eval[train]"'
        ) from None
    check_trackers(recipe.watch.trackers)
    check_tasks(recipe.eval.tasks)


def precompute(argv: list[str]) -> int:
    arguments = _recipe_parser("precompute").parse_args(argv)
    recipe = load(arguments.recipe, arguments.overrides)
    if arguments.print_config:
        print(as_toml(recipe), end="")
        return 0
    if isinstance(recipe, VAERecipe):
        raise RecipeError(f"{arguments.recipe} trains a VAE, which has no latents to encode before")
    _announce(arguments)
    _check_training(recipe)
    from harmon_eval.model.train.loop import precompute_latents

    precompute_latents(recipe, arguments.output)
    print(f"next: {PROGRAM} {arguments.recipe} --output {arguments.output}")
    return 0


def export(argv: list[str]) -> int:
    parser = _parser(
        "export",
        "Write the (averaged) weights of a training's newest checkpoint, or of the one given, as "
        "a model folder with its card.",
    )
    parser.add_argument(
        "run", type=Path, metavar="DIR", help="the training's --output, or a checkpoint in it"
    )
    _add_written(parser)
    arguments = parser.parse_args(argv)
    import torch

    from harmon_eval.model.train.export import export_checkpoint

    export_checkpoint(arguments.run, arguments.folder, getattr(torch, arguments.dtype))
    return _say_next(arguments.folder)


def average(argv: list[str]) -> int:
    parser = _parser(
        "average",
        "Write the mean of two models' weights as a model folder. Both must have one "
        "architecture and the same words, as a model has and the training that went on from it.",
    )
    parser.add_argument("first", metavar="MODEL", help="a bundled name, a folder or a hub id")
    parser.add_argument(
        "second", metavar="MODEL", help="its tokenizer and drawing settings are kept"
    )
    _add_written(parser)
    parser.add_argument(
        "--share", type=float, default=0.5, metavar="0-1", help="of the second (default: 0.5)"
    )
    arguments = parser.parse_args(argv)
    import torch

    from harmon_eval.model.train.average import average

    dtype = getattr(torch, arguments.dtype)
    average(arguments.first, arguments.second, arguments.folder, arguments.share, dtype)
    return _say_next(arguments.folder)


def _add_written(parser: Parser) -> None:
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="the model folder to write")
    parser.add_argument(
        "--dtype",
        choices=DTYPES,
        default="float16",
        metavar="|".join(DTYPES),
        help="of the written weights (default: %(default)s)",
    )


def _say_next(folder: Path) -> int:
    print(f"written: {folder}\nnext: python -m harmon_eval --model {folder} --tasks geneval,pope")
    return 0


if __name__ == "__main__":
    sys.exit(main())
