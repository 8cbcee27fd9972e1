"""``python -m harmon_eval.model.train RECIPE --output DIR [--set key=value ...]``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from harmon_eval.model.train.recipe import RecipeError, VAERecipe, load, shipped_recipes


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m harmon_eval.model.train", description=__doc__)
    parser.add_argument("recipe", help=f"a TOML file or one of {', '.join(shipped_recipes())}")
    parser.add_argument("--output", type=Path, required=True, help="resumes what it finds there")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides")
    arguments = parser.parse_args(argv)
    try:
        recipe = load(arguments.recipe, arguments.overrides)
    except RecipeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if isinstance(recipe, VAERecipe):
        from harmon_eval.model.train.vae import train_vae

        train_vae(recipe, arguments.output)
    else:
        from harmon_eval.model.train.loop import train_harmon

        train_harmon(recipe, arguments.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
