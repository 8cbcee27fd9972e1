"""Any vision encoder of timm: ``timm:NAME``, or ``timm:FOLDER`` with config.json and weights.

The preparation of the images is the weights' own (size, crop, mean, standard deviation).
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from harmon_eval.adapters import _places
from harmon_eval.adapters._folders import check_folder
from harmon_eval.adapters._torch import Dtype, best_device, check_place, chosen_dtype
from harmon_eval.core import Embed, Responder, UserError
from harmon_eval.files.images import viewed
from harmon_eval.model.fingerprint import hash_weights

EXAMPLE = "vit_base_patch14_dinov2.lvd142m"


class TimmResponder(Responder):
    """What the network would hand its classifier: pooled as it was trained, or by ``pool``."""

    def __init__(self, name: str, network: Any, prepare: Any) -> None:
        self.name, self.prepare = name, prepare
        self.network = network.eval()
        weight = next(network.parameters())
        self.device, self.dtype = weight.device, weight.dtype
        self.fingerprint = hash_weights(network.state_dict())
        config = network.pretrained_cfg
        self.settings: dict[str, Any] = {
            "architecture": config.get("architecture"),
            "pool": str(getattr(network, "global_pool", "") or "the network's own"),
            "preparation": " | ".join(str(step) for step in prepare.transforms),
            "dtype": str(self.dtype).removeprefix("torch."),
        }

    @torch.inference_mode()
    def embed(self, requests: Sequence[Embed]) -> list[np.ndarray]:
        pixels = torch.stack([self.prepare(viewed(r)) for r in requests])
        features = self.network(pixels.to(self.device, self.dtype))  # (B, D)
        return list(features.float().cpu().numpy())


@dataclass(frozen=True)
class Settings:
    """``pool`` instead of the pooling that the network was trained with."""

    device: str | None = None
    dtype: Dtype = "float32"
    pool: Literal["avg", "max", "avgmax", "token", "map"] | None = None


def find_weights(argument: str, settings: Settings) -> None:
    """Raises UserError for a name that timm does not know or has no weights for, a folder that is
    not its own, and weights that are nowhere. Loads none."""
    timm = _timm()
    best_device(settings.device)
    source, colon, place = argument.partition(":")
    if not argument or Path(argument).is_dir() or source == "local-dir":
        _places.check("timm", place if colon else argument, settings.device)
    elif colon:  # hf-hub:OWNER/NAME@REVISION
        name, _, revision = place.partition("@")
        _places.find_weights(name, revision or None)
    elif "/" in argument:
        raise UserError(f"timm: no folder {argument!r}: of a model on the hub give timm:hf-hub:ID")
    elif hub := _known(argument, timm).hf_hub_id:
        _places.find_weights(hub.partition("@")[0])


def _known(name: str, timm: Any) -> Any:
    """timm's own record of weights. Raises UserError where it has none of that name."""
    try:
        config = timm.get_pretrained_cfg(name)
    except RuntimeError:  # of the architecture, but not of these weights
        config = None
    if config is not None and config.has_weights:
        return config
    named = timm.list_pretrained()
    close = [known for known in named if known.partition(".")[0] == name.partition(".")[0]]
    close = close or difflib.get_close_matches(name, named, n=3) or [EXAMPLE]
    raise UserError(f"timm has no weights called {name!r}: did you mean {' or '.join(close[:3])}?")


def _timm() -> Any:
    """Raises UserError without the package."""
    try:
        import timm
        import timm.data
    except ModuleNotFoundError:
        raise UserError(
            "timm:... needs the package timm: pip install 'harmon-eval[vision]'"
        ) from None
    return timm


def open_model(argument: str, settings: Settings) -> TimmResponder:
    """``timm:NAME`` or ``timm:FOLDER``. Raises UserError for what cannot be loaded."""
    timm = _timm()
    check_place("timm", argument)
    check_folder("timm", argument)
    device = best_device(settings.device)
    dtype = chosen_dtype(settings.dtype, device)
    name = f"local-dir:{argument}" if Path(argument).is_dir() else argument
    chosen = {"global_pool": settings.pool} if settings.pool else {}
    try:
        # As trained first: asked for without a classifier, timm would let weights be missing.
        network: Any = timm.create_model(name, pretrained=True)
        network.reset_classifier(0, **chosen)
    except (OSError, RuntimeError, ValueError, AssertionError, TypeError) as error:
        line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"timm cannot load {argument!r} ({line}): give a name with weights, such as "
            f"{EXAMPLE}, or a folder in timm's format"
        ) from None
    prepare = timm.data.create_transform(
        **timm.data.resolve_model_data_config(network), is_training=False
    )
    short = argument.rstrip("/").rsplit("/", 1)[-1]
    return TimmResponder(f"timm:{short}", network.to(device, dtype), prepare)
