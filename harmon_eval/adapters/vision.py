"""Any vision encoder of transformers (``AutoModel``): ``vision:FOLDER`` or ``vision:HUB/ID``.

Of a model of pictures and texts (CLIP, SigLIP) the vision tower alone. Images are prepared by the
weights' own processor; weights are read from safetensors, remote code is never run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from harmon_eval.adapters import _places
from harmon_eval.adapters._folders import check_folder, check_loaded
from harmon_eval.adapters._torch import Dtype, best_device, check_place, chosen_dtype
from harmon_eval.core import Embed, Responder, UserError
from harmon_eval.files.images import viewed
from harmon_eval.model.fingerprint import hash_weights


def pooled(output: Any, pool: str) -> torch.Tensor:
    """(B, D): the mean over places of the last layer, its first token, or what the encoder itself
    pools. Raises UserError for a pooling that the encoder does not have."""
    hidden = output.last_hidden_state  # (B, N, D) of tokens, (B, D, h, w) of a convolution
    if pool == "pooler":
        own = getattr(output, "pooler_output", None)
        if own is None:
            raise UserError("vision: this encoder has no pooler: give ?pool=mean or ?pool=first")
        return torch.flatten(own, 1)
    if hidden.ndim == 4:
        if pool == "first":
            raise UserError("vision: a convolution has no first token: give ?pool=mean")
        return hidden.mean(dim=(2, 3))
    return hidden.mean(dim=1) if pool == "mean" else hidden[:, 0]


class VisionResponder(Responder):
    def __init__(
        self,
        name: str,
        network: Any,
        processor: Any,
        pool: str = "mean",
        random: frozenset[str] = frozenset(),
    ) -> None:
        """``random``: weights that were not there, and are not used."""
        self.name, self.processor, self.pool = name, processor, pool
        self.network = network.eval()
        weights = network.state_dict()
        self.fingerprint = hash_weights({k: weights[k] for k in weights if k not in random})
        self.settings = {
            "architecture": type(network).__name__,
            "pool": pool,
            "processor": type(processor).__name__,
            "dtype": str(network.dtype).removeprefix("torch."),
        }

    @torch.inference_mode()
    def embed(self, requests: Sequence[Embed]) -> list[np.ndarray]:
        images = [viewed(request) for request in requests]
        pixels = self.processor(images=images, return_tensors="pt")["pixel_values"]
        output = self.network(pixel_values=pixels.to(self.network.device, self.network.dtype))
        return list(pooled(output, self.pool).float().cpu().numpy())


@dataclass(frozen=True)
class Settings:
    """``pool``: see ``pooled``. ``revision``: commit, branch or tag of the hub."""

    device: str | None = None
    dtype: Dtype = "float32"
    pool: Literal["mean", "first", "pooler"] = "mean"
    revision: str | None = None


def find_weights(argument: str, settings: Settings) -> None:
    """Raises UserError where ``open_model`` would find no weights."""
    _places.check("vision", argument, settings.device, settings.revision)


def open_model(argument: str, settings: Settings) -> VisionResponder:
    """``vision:PLACE``. Raises UserError for what cannot be loaded."""
    from transformers import AutoImageProcessor, AutoModel

    check_place("vision", argument)
    check_folder("vision", argument)
    device = best_device(settings.device)
    dtype = chosen_dtype(settings.dtype, device)
    revision = settings.revision or "main"
    try:
        processor = AutoImageProcessor.from_pretrained(
            argument, revision=revision, trust_remote_code=False
        )
        loaded: Any = AutoModel.from_pretrained(
            argument,
            revision=revision,
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except ImportError as error:
        line = str(error).strip().splitlines()[0]
        raise UserError(
            f"{argument} needs a package ({line}): pip install 'harmon-eval[vision]'"
        ) from None
    except (OSError, ValueError, KeyError) as error:
        line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"{argument} is no vision encoder of transformers: {line}") from None
    # A classifier's weights often come without a pooler, which only ?pool=pooler asks.
    poolers = () if settings.pool == "pooler" else ("pooler.", "vision_model.head.")
    network, info = loaded
    random = check_loaded(argument, info, poolers)
    network = getattr(network, "vision_model", network).to(device)
    name = f"vision:{argument.rstrip('/').rsplit('/', 1)[-1]}"
    responder = VisionResponder(name, network, processor, settings.pool, random)
    if settings.revision:
        responder.settings = {**responder.settings, "revision": settings.revision}
    return responder
