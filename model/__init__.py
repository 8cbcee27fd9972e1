"""Harmon (arXiv 2503.21979): one encoder for understanding and generating images.

It can be used without the harness:

>>> from harmon_eval.model import HarmonPipeline
>>> harmon = HarmonPipeline.from_pretrained("harmon-mini")
>>> image = harmon.draw(["a photo of a red circle"], seeds=[0])[0]
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harmon_eval.model.config import PRESETS, HarmonConfig
    from harmon_eval.model.harmon import Harmon
    from harmon_eval.model.pipeline import HarmonPipeline
    from harmon_eval.model.processor import Processor
    from harmon_eval.model.sampling import DrawSettings
    from harmon_eval.model.weights import CheckpointError

__all__ = [
    "PRESETS",
    "CheckpointError",
    "DrawSettings",
    "Harmon",
    "HarmonConfig",
    "HarmonPipeline",
    "Processor",
]

_HOMES = {
    "PRESETS": "config",
    "CheckpointError": "weights",
    "DrawSettings": "sampling",
    "Harmon": "harmon",
    "HarmonConfig": "config",
    "HarmonPipeline": "pipeline",
    "Processor": "processor",
}


def __getattr__(name: str) -> Any:
    """Import on first use, because the configuration alone needs no torch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
