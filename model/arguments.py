"""Check what is given to the pipeline, so that an error names the argument and its place."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import Any

from PIL import Image

from harmon_eval.model.sampling import DrawSettings

SEEDS = range(-(2**63), 2**64)  # what a generator of torch takes


class ArgumentError(TypeError, ValueError):
    """An argument of the wrong type. It is also a ValueError, as other wrong arguments are."""


def check_list(name: str, given: object) -> None:
    """Raises ArgumentError for one thing instead of several; a string would count as its
    letters."""
    if isinstance(given, str | bytes) or not hasattr(given, "__len__"):
        raise ArgumentError(f"{name} must be a list, one for each image, not {_kind(given)}")


def check_texts(name: str, given: Sequence[object], what: str = "") -> None:
    """Raises ArgumentError for anything but a list of texts, and ValueError for an empty text if
    ``what`` says what to write there."""
    check_list(name, given)
    for number, text in enumerate(given):
        if not isinstance(text, str):
            raise ArgumentError(f"{name}[{number}] must be a text (str), not {_kind(text)}")
        if what and not text.strip():
            raise ValueError(f"{name}[{number}] is empty: say {what}")


def whole_seeds(given: Sequence[object]) -> list[int]:
    """Raises ArgumentError for anything but a list of whole numbers, and ValueError for one that
    no generator takes."""
    check_list("seeds", given)
    seeds = [whole_number(f"seeds[{number}]", seed) for number, seed in enumerate(given)]
    for number, seed in enumerate(seeds):
        if seed not in SEEDS:
            raise ValueError(f"seeds[{number}] is {seed}: give 0 or a whole number below 2**64")
    return seeds


def whole_number(name: str, given: Any) -> int:
    """Raises ArgumentError for anything but a whole number, of Python, NumPy or torch."""
    try:
        if not isinstance(given, bool):
            return index(given)
    except TypeError:
        pass
    shown = f" {given}" if isinstance(given, int | float) else ""
    raise ArgumentError(f"{name} must be a whole number (int), not {_kind(given)}{shown}")


def check_images(name: str, given: Sequence[object], optional: bool = False) -> None:
    """Raises ArgumentError for anything but a list of PIL images, or of None where ``optional``."""
    check_list(name, given)
    for number, image in enumerate(given):
        if not isinstance(image, Image.Image) and not (optional and image is None):
            raise ArgumentError(
                f"{name}[{number}] is {_kind(image)}: give a PIL image"
                + (", or None for a question without one" if optional else "")
            )


def check_settings(given: object) -> None:
    """Raises ArgumentError for settings that are no ``DrawSettings``."""
    if given is not None and not isinstance(given, DrawSettings):
        fix = "DrawSettings(**settings)" if isinstance(given, dict) else "DrawSettings(cfg_scale=3)"
        raise ArgumentError(f"settings must be DrawSettings, not {_kind(given)}: give {fix}")


def _kind(given: object) -> str:
    return "None" if given is None else type(given).__name__
