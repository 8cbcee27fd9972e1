"""Recipes from TOML and the command line, every key and type checked against the dataclasses."""

from __future__ import annotations

import difflib
import json
import re
import tomllib
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any

from harmon_eval.model.train.recipe import CHOICES, DRAWN, Recipe, RecipeError, VAERecipe

COMMANDS = ("precompute", "export", "average")
SHIPPED = Path(__file__).parent / "recipes"
KINDS: dict[str, type[Recipe] | type[VAERecipe]] = {"vae": VAERecipe, "harmon": Recipe}


def shipped_recipes() -> list[str]:
    return sorted(path.stem for path in SHIPPED.glob("*.toml"))


def about_recipe(name: str) -> str:
    """What a shipped recipe is, in the first words of its file."""
    lines = (SHIPPED / f"{name}.toml").read_text(encoding="utf-8").split("\n\n")[0].splitlines()
    text = " ".join(line[2:] for line in lines if line.startswith("# "))
    return re.split(r"[:.] |[.:]$", text)[0].replace("`", "")


def as_toml(recipe: Recipe | VAERecipe) -> str:
    """The whole recipe as a TOML file that says the same."""
    values = asdict(recipe)
    lines = [f"{key} = {_toml(v)}" for key, v in values.items() if not _is_table(v)]
    for key, value in values.items():
        if isinstance(value, dict):
            lines += ["", f"[{key}]", *(f"{name} = {_toml(v)}" for name, v in value.items())]
        elif _is_table(value):
            for each in value:
                lines += ["", f"[[{key}]]", *(f"{name} = {_toml(v)}" for name, v in each.items())]
    return "\n".join(lines) + "\n"


def _is_table(value: Any) -> bool:
    several = isinstance(value, tuple | list) and bool(value) and isinstance(value[0], dict)
    return isinstance(value, dict) or several


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return f"{{{', '.join(f'{json.dumps(k)} = {_toml(v)}' for k, v in value.items())}}}"
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_toml, value))}]"
    # A text in JSON is one in TOML, but for the character DEL; so are numbers, but for infinity.
    text = json.dumps(value, ensure_ascii=False)
    return text.replace("\x7f", "\\u007f").replace("Infinity", "inf").replace("NaN", "nan")


def load(name: str, overrides: Sequence[str] = ()) -> Recipe | VAERecipe:
    """A shipped recipe or a TOML file, changed by ``key=value`` (``optimizer.ema=0.99``,
    ``sources.0.batch=8``). Raises RecipeError."""
    path = SHIPPED / f"{name}.toml" if name in shipped_recipes() else Path(name)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError:
        close = difflib.get_close_matches(name, shipped_recipes(), n=1, cutoff=0.7)
        hint = f"did you mean {close[0]!r}? Else" if close else ""
        raise RecipeError(
            f"no recipe {name!r}: {hint} give a TOML file or one of {', '.join(shipped_recipes())}"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} is not valid TOML: {error}") from None
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals:
            raise RecipeError(f"--set takes key=value, not {override!r}")
        try:
            value = tomllib.loads(f"x = {text}")["x"]
        except tomllib.TOMLDecodeError:
            value = text
        _place(values, key.strip().split("."), value, override)
    return from_values(values)


def _place(values: Any, path: Sequence[str], value: Any, said: str) -> None:
    key, *rest = path
    if isinstance(values, list):
        if not key.isdigit() or int(key) >= len(values):
            raise RecipeError(f"--set {said}: there are {len(values)} of these, counted from 0")
        place: Any = int(key)
    elif isinstance(values, dict):
        place = key
    else:
        raise RecipeError(f"--set {said}: nothing lies below {values!r}")
    if not rest:
        values[place] = value
    else:
        if isinstance(values, dict):
            values.setdefault(place, {})
        _place(values[place], rest, value, said)


def from_values(values: Mapping[str, Any]) -> Recipe | VAERecipe:
    """Check keys and types against the dataclass of the recipe's ``kind``. Raises RecipeError."""
    kind = values.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise RecipeError(
            f'kind must be one of {", ".join(KINDS)}, not {kind!r}; add: kind = "harmon"'
        )
    recipe = _built(KINDS[kind], values, "")
    if isinstance(recipe, Recipe):
        _check(recipe)
    assert isinstance(recipe, Recipe | VAERecipe)
    return recipe


def _built(kind: type, values: Any, where: str) -> Any:
    if not isinstance(values, Mapping):
        raise RecipeError(f"{where.rstrip('.')} must be a table, not {values!r}")
    hints = typing.get_type_hints(kind)
    known = [f.name for f in fields(kind)]
    checked = {}
    for key, value in values.items():
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {where + close[0]!r}?" if close else f"known: {', '.join(known)}"
            raise RecipeError(f"unknown key {where + key!r}: {hint}")
        checked[key] = _value(hints[key], value, where + key)
        if key in CHOICES and checked[key] not in CHOICES[key]:
            raise RecipeError(
                f"{where}{key} must be one of {', '.join(CHOICES[key])}, not {value!r}"
            )
    return kind(**checked)


def _value(kind: Any, value: Any, key: str) -> Any:
    """``value`` as the type ``kind`` of a field. Raises RecipeError."""
    if is_dataclass(kind):
        assert isinstance(kind, type)
        return _built(kind, value, f"{key}.")
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple and isinstance(value, list | tuple):
        if inner[-1] is not Ellipsis and len(value) != len(inner):
            raise RecipeError(f"{key} must hold {len(inner)} values, not {len(value)}")
        return tuple(_value(inner[0], item, f"{key}.{i}") for i, item in enumerate(value))
    if origin is dict and isinstance(value, Mapping):
        return {str(name): _value(inner[1], item, f"{key}.{name}") for name, item in value.items()}
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(kind, type) and type(value) is kind:
        return value
    raise RecipeError(f"{key} must be {_named(kind)}, not {value!r}")


def _named(kind: Any) -> str:
    """A field's type in words."""
    if isinstance(kind, types.GenericAlias):
        inner = _named(typing.get_args(kind)[-2 if typing.get_args(kind)[-1] is Ellipsis else -1])
        if typing.get_origin(kind) is dict:
            return f"a table whose values are each {inner}"
        return f"a list, such as [...], of which each is {inner}"
    named = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
    return named.get(kind, str(kind.__name__))


def _check(recipe: Recipe) -> None:
    distil = recipe.distil
    if distil.steps < 0 or distil.teacher_steps < 1:
        raise RecipeError("distil.steps must be at least 0, distil.teacher_steps at least 1")
    if distil.wanted and not recipe.start.checkpoint:
        raise RecipeError("distil needs a teacher: set start.checkpoint")
    if not recipe.sources:
        raise RecipeError("a recipe needs at least one [[sources]] table")
    for number, source in enumerate(recipe.sources):
        if source.batch < 1 or source.repeat < 1:
            raise RecipeError(f"sources.{number}: batch and repeat must be at least 1")
        cropped = source.task in DRAWN and source.data != "scenes"
        if source.cache and cropped and source.crop == "random":
            raise RecipeError(
                f"sources.{number}: latents of random crops cannot be cached; "
                'set crop = "centre" (or "squeeze") or cache = false'
            )
        if source.cache and source.streaming:
            raise RecipeError(f"sources.{number}: a stream cannot be cached; set cache = false")
    if all(source.first_step > 0 for source in recipe.sources):
        raise RecipeError("no source has first_step = 0: the first step would be empty")
