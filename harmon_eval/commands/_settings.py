"""Options that stand for settings of the model; no command of its own.

``--cfg 3`` is another way to write ``--model NAME?cfg=3``. What a setting may be, and whether there
is one of that name, the model's adapter says; here it is text.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import Any

DRAWING = ("cfg", "steps", "diffusion_steps", "temperature", "image_size", "solver", "guidance")
SWITCHES = ("fast", "compile")
HELP = {
    "cfg": ("SCALE", "classifier-free guidance scale"),
    "steps": ("K", "MAR iterations, or steps of a pipeline"),
    "diffusion_steps": ("S", "steps of the head a token"),
    "temperature": ("T", "of the diffusion noise, or of what is sampled"),
    "image_size": ("PX", "side of the drawn images"),
    "solver": ("NAME", "of the head: ancestral; ddim and dpm-solver++ need fewer steps"),
    "guidance": ("START:STOP", "guide this part of the iterations only, as 0.0:0.5"),
    "fast": (
        "",
        "draw sooner: with distilled weights, where a model has them, else in fewer steps",
    ),
    "device": ("NAME", "cpu, cuda, mps (default: the best there is)"),
    "dtype": ("NAME", "float32 (default), bfloat16, float16 or auto: the faster"),
    "compile": ("", "captured graphs and compiled blocks on a GPU"),
    "kl16": ("FILE", "VAE weights beside a .pth"),
}


def add_arguments(parser: argparse._ActionsContainer, names: Iterable[str]) -> None:
    """Add the options of these settings."""
    for name in names:
        option, (metavar, text) = f"--{name.replace('_', '-')}", HELP[name]
        if name in SWITCHES:
            parser.add_argument(option, action="store_true", default=None, help=text)
        else:
            parser.add_argument(option, metavar=metavar, help=text)


def given(arguments: argparse.Namespace) -> dict[str, Any]:
    """The settings that were given as options."""
    values = {name: getattr(arguments, name, None) for name in HELP}
    return {name: value for name, value in values.items() if value is not None}
