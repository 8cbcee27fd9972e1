"""Train Harmon by a recipe, or export what was trained.

``python -m harmon_eval.model.train RECIPE --output DIR [--set key=value ...]``
``python -m harmon_eval.model.train export DIR/checkpoint.pt FOLDER``
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from harmon_eval.model.train.recipe import RecipeError, VAERecipe, load, shipped_recipes


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    try:
        return export(argv[1:]) if argv[:1] == ["export"] else train(argv)
    except RecipeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def train(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m harmon_eval.model.train",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("recipe", help=f"a TOML file or one of {', '.join(shipped_recipes())}")
    parser.add_argument("--output", type=Path, required=True, help="resumes what it finds there")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides")
    arguments = parser.parse_args(argv)
    recipe = load(arguments.recipe, arguments.overrides)
    if isinstance(recipe, VAERecipe):
        from harmon_eval.model.train.vae import train_vae

        train_vae(recipe, arguments.output)
    else:
        from harmon_eval.model.train.loop import train_harmon

        train_harmon(recipe, arguments.output)
    return 0


def export(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m harmon_eval.model.train export",
        description="Write the averaged weights of a checkpoint as a model folder (float16).",
    )
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args(argv)
    from harmon_eval.model.train.export import export_checkpoint

    export_checkpoint(arguments.checkpoint, arguments.folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
