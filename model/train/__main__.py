"""Train Harmon by a recipe; prepare or export a training; average two models.

::

    python -m harmon_eval.model.train RECIPE --output DIR [--set key=value ...] [--dry-run]
    accelerate launch -m harmon_eval.model.train RECIPE --output DIR ...
    python -m harmon_eval.model.train precompute RECIPE --output DIR [--set key=value ...]
    python -m harmon_eval.model.train export DIR FOLDER
    python -m harmon_eval.model.train average MODEL MODEL FOLDER

A run goes on by itself from what it finds in DIR.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from harmon_eval.model.train.reading import load, shipped_recipes
from harmon_eval.model.train.recipe import RecipeError, Stopped, TrainingError, VAERecipe

DTYPES = ("float16", "bfloat16", "float32")


def main(argv: list[str] | None = None) -> int:
    """Exit codes: 0 done, 1 the training had to stop, 2 wrong usage, 143 ended by a signal."""
    argv = sys.argv[1:] if argv is None else argv
    try:
        if argv[:1] == ["export"]:
            return export(argv[1:])
        if argv[:1] == ["average"]:
            return average(argv[1:])
        if argv[:1] == ["precompute"]:
            return train(argv[1:], only_latents=True)
        return train(argv)
    except RecipeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except Stopped as stopped:
        print(stopped, file=sys.stderr)
        return 143
    except TrainingError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def train(argv: list[str], only_latents: bool = False) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m harmon_eval.model.train",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("recipe", help=f"a TOML file or one of {', '.join(shipped_recipes())}")
    parser.add_argument("--output", type=Path, help="resumes what it finds there")
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
        "--tracker",
        action="append",
        default=[],
        metavar="wandb|mlflow|tensorboard",
        help="send losses, scores and drawings there too; can be given several times",
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be trained")
    arguments = parser.parse_args(argv)
    if arguments.tracker:
        arguments.overrides.append(f"watch.trackers={json.dumps(arguments.tracker)}")
    recipe = load(arguments.recipe, arguments.overrides)
    if arguments.dry_run:
        from harmon_eval.model.train.plan import describe

        print(describe(recipe))
        return 0
    if arguments.output is None:
        raise RecipeError("say where to: --output DIR")
    if isinstance(recipe, VAERecipe):
        from harmon_eval.model.train.vae import train_vae

        train_vae(recipe, arguments.output)
        place = arguments.output / "checkpoint.pt"
        print(f"next: python -m harmon_eval.model.train RECIPE --set start.vae={place} ...")
        return 0
    try:
        from harmon_eval.model.train.loop import precompute_latents, train_harmon
    except ModuleNotFoundError as error:
        raise RecipeError(
            f'training needs the package {error.name!r}: pip install "harmon-eval[train]"'
        ) from None
    if only_latents:
        precompute_latents(recipe, arguments.output)
    else:
        train_harmon(recipe, arguments.output)
        print(f"next: python -m harmon_eval.model.train export {arguments.output} FOLDER")
        print("then: python -m harmon_eval --model FOLDER --tasks geneval,pope")
    return 0


def export(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m harmon_eval.model.train export",
        description="Write the (averaged) weights of a run's newest checkpoint, or of the one "
        "given, as a model folder.",
    )
    parser.add_argument("run", type=Path, help="the training's --output, or a checkpoint in it")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--dtype", choices=DTYPES, default="float16")
    arguments = parser.parse_args(argv)
    import torch

    from harmon_eval.model.train.export import export_checkpoint

    export_checkpoint(arguments.run, arguments.folder, getattr(torch, arguments.dtype))
    return 0


def average(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m harmon_eval.model.train average",
        description="Write the mean of two models' weights as a model folder. Both must have one "
        "architecture and the same words, as a model has and the training that went on from it.",
    )
    parser.add_argument("first", help="a bundled name, a folder or a hub id")
    parser.add_argument("second", help="its tokenizer and drawing settings are kept")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--share", type=float, default=0.5, help="of the second (default: 0.5)")
    parser.add_argument("--dtype", choices=DTYPES, default="float16")
    arguments = parser.parse_args(argv)
    import torch

    from harmon_eval.model.train.average import average

    dtype = getattr(torch, arguments.dtype)
    average(arguments.first, arguments.second, arguments.folder, arguments.share, dtype)
    return 0


if __name__ == "__main__":
    sys.exit(main())
