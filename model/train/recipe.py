"""A recipe is data: one dataclass a kind of training, read from TOML, unknown keys refused."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

SHIPPED = Path(__file__).parent / "recipes"


class RecipeError(ValueError):
    """The recipe cannot be used; the message names the key and what to write instead."""


@dataclass(frozen=True)
class VAERecipe:
    """Train the KL-16 VAE of the bundled model on rendered scenes.

    Loss: ``squared_weight`` * L2 + L1 + ``edge_weight`` * L1 of image gradients + ``kl_weight`` *
    KL summed over latents; L1 and edges come in between the shares ``sharp_from`` and twice that.
    ``latent_noise``, in standard deviations of each channel, is added to what is decoded.
    ``learning_rate`` warms up over 100 steps and decays with a cosine. ``blocks`` and
    ``multipliers`` size the network, ``width`` its first level.
    """

    kind: str = "vae"
    seed: int = 0
    steps: int = 4000
    batch: int = 16
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.0
    squared_weight: float = 10.0
    edge_weight: float = 1.0
    sharp_from: float = 0.2
    kl_weight: float = 1.5e-6
    latent_noise: float = 0.05
    width: int = 32
    blocks: int = 1
    multipliers: tuple[int, ...] = (1, 1, 2, 2, 4)
    bfloat16: bool = True
    threads: int = 2
    save_every: int = 200
    log_every: int = 20


@dataclass(frozen=True)
class HarmonRecipe:
    """Train harmon-mini jointly on text2image and image2text; the VAE is frozen.

    One step takes ``generation_batch`` captioned scenes and ``understanding_batch`` scenes of
    ``turns`` questions each, losses weighted 1 : ``understanding_weight``. Hidden matrices learn
    by Muon, all else by AdamW. Learning rates warm up over ``warmup`` steps, stay for the share
    ``constant``, then fall by a cosine to the share ``final``. ``position_std`` starts the position
    tables of encoder, decoder and diffusion as sines and cosines. ``minutes`` ends the training
    early (0: never), the schedule following the clock instead of the steps. ``prediction`` is what
    the head predicts: see ``HeadConfig``. ``normalisation_scenes`` set the unit deviation of the
    latents, ``scenes`` is how many there are to learn from.

    ``text_batch`` rows of questions about scenes that are told in words come beside, weighted by
    ``text_weight``; the first ``text_steps`` steps take nothing else, so that the LLM has learnt to
    look things up before it sees or draws. ``vae`` is a training checkpoint or a model's folder.
    """

    kind: str = "harmon"
    seed: int = 0
    vae: str = ""
    normalisation_scenes: int = 1000
    steps: int = 8000
    minutes: float = 0.0
    scenes: int = 40_000
    generation_batch: int = 56
    understanding_batch: int = 16
    turns: int = 3
    understanding_weight: float = 0.5
    unconditional: float = 0.1
    full_captions: float = 0.5
    text_batch: int = 16
    text_weight: float = 0.25
    text_steps: int = 1000
    draws_per_token: int = 2
    prediction: str = "velocity"
    muon_rate: float = 3e-3
    adam_rate: float = 2e-3
    weight_decay: float = 0.02
    clip: float = 1.0
    warmup: int = 100
    constant: float = 0.4
    final: float = 0.03
    ema: float = 0.998
    position_std: tuple[float, float, float] = (0.7, 1.4, 0.35)
    dropout: float = 0.0
    llm_width: int = 128
    llm_layers: int = 4
    mar_width: int = 128
    mar_depth: int = 3
    head_width: int = 192
    head_depth: int = 3
    buffers: int = 8
    bfloat16: bool = False
    threads: int = 1
    save_every: int = 200
    log_every: int = 20


Recipe = VAERecipe | HarmonRecipe
KINDS: dict[str, type[VAERecipe] | type[HarmonRecipe]] = {"vae": VAERecipe, "harmon": HarmonRecipe}


def shipped_recipes() -> list[str]:
    return sorted(path.stem for path in SHIPPED.glob("*.toml"))


def load(name_or_path: str, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe by the name of a shipped one or a path, and apply ``key=value`` overrides.

    Raises RecipeError on a missing file, bad TOML, an unknown key or a value of the wrong type."""
    path = SHIPPED / f"{name_or_path}.toml"
    if not path.exists():
        path = Path(name_or_path)
    try:
        values = tomllib.loads(path.read_text())
    except FileNotFoundError:
        names = ", ".join(shipped_recipes())
        raise RecipeError(
            f"no recipe {name_or_path!r}: give a TOML file or one of {names}"
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{path} is not valid TOML: {error}") from None
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals:
            raise RecipeError(f"--set takes key=value, not {override!r}")
        try:
            values[key.strip()] = tomllib.loads(f"x = {text}")["x"]
        except tomllib.TOMLDecodeError:
            values[key.strip()] = text
    return from_values(values)


def from_values(values: Mapping[str, Any]) -> Recipe:
    """Check keys and types against the dataclass of the recipe's ``kind``."""
    kind = values.get("kind")
    if kind not in KINDS:
        raise RecipeError(
            f'kind must be one of {", ".join(KINDS)}, not {kind!r}; add: kind = "vae"'
        )
    recipe = KINDS[kind]
    known = {f.name: f.default for f in fields(recipe)}
    checked = {}
    for key, value in values.items():
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise RecipeError(f"unknown key {key!r} in a recipe of kind {kind!r}{hint}")
        checked[key] = _as_type_of(known[key], key, value)
    return recipe(**checked)


def _as_type_of(default: Any, key: str, value: Any) -> Any:
    if isinstance(default, tuple) and isinstance(value, list | tuple):
        if all(isinstance(x, int | float) for x in value):
            return tuple(type(default[0])(x) for x in value)
    elif isinstance(default, bool) or isinstance(value, bool):
        if isinstance(default, bool) and isinstance(value, bool):
            return value
    elif isinstance(default, float) and isinstance(value, int | float):
        return float(value)
    elif isinstance(value, type(default)):
        return value
    raise RecipeError(
        f"{key} must be a {type(default).__name__} such as {default!r}, not {value!r}"
    )


def to_values(recipe: Recipe) -> dict[str, Any]:
    return asdict(recipe)
