"""DINOv2's class tokens for FD-DINOv2 (Stein et al. 2023, arXiv 2306.04675).

``features=dinov2`` is ViT-L/14, as dgm-eval @ 74c79f7; ``features=dinov2:FOLDER`` any other DINOv2
of transformers. Pictures are squashed to 224 x 224 by Pillow's bicubic filter, in 8 bit.

The published network resizes its position embeddings (37 x 37) by a scale of (16 + 0.1) / 37,
transformers to a size, which is a scale of 16 / 37. The features differ, so the embeddings are
resized here as facebookresearch/dinov2 @ b8931f7 does it, once, when the weights are loaded.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from harmon_eval.core import UserError
from harmon_eval.instruments.dino.hf import DEVIATION, MEAN
from harmon_eval.instruments.features.inception import self_test
from harmon_eval.instruments.likeness import loaded, model_folder, rows
from harmon_eval.instruments.weights import Weights
from harmon_eval.store.digests import sha256_of

WEIGHTS = Weights(
    "DINOv2 ViT-L/14",
    ("dinov2-large/model.safetensors",),
    "facebook/dinov2-large on the Hugging Face hub, with its config.json",
)
SIDE = 224
OFFSET = 0.1  # of the published code, added to the number of patches a side


def resized_positions(positions: torch.Tensor, patches: int) -> torch.Tensor:
    """Position embeddings (1, 1 + n * n, d) -> (1, 1 + patches * patches, d), the first of the
    class token unchanged."""
    token, grid = positions[:, :1], positions[:, 1:]
    n = round(grid.shape[1] ** 0.5)
    if n == patches:
        return positions
    scale = (patches + OFFSET) / n
    square = grid.reshape(1, n, n, -1).permute(0, 3, 1, 2)
    resized = nn.functional.interpolate(
        square, scale_factor=(scale, scale), mode="bicubic", antialias=False
    )
    return torch.cat([token, resized.permute(0, 2, 3, 1).flatten(1, 2)], dim=1)


class DinoFeatures:
    """Class tokens after the last norm. Raises UserError for a folder that holds no DINOv2."""

    protocol = "squash"

    def __init__(self, folder: Path, device: str | None = None, side: int = SIDE) -> None:
        from transformers import Dinov2Model

        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        model = loaded(Dinov2Model, folder, "DINOv2")
        config: Any = model.config
        if side % config.patch_size:
            raise UserError(f"{folder} has patches of {config.patch_size}, which {side} is not of")
        self.side = side
        patches = side // int(config.patch_size)
        embeddings: Any = model.embeddings
        resized = resized_positions(embeddings.position_embeddings.data, patches)
        embeddings.position_embeddings = nn.Parameter(resized, requires_grad=False)
        self.model = model.to(self.device)
        self.name = folder.resolve().name
        digest = sha256_of(folder / "model.safetensors")[:16]
        self.identity = f"{self.name} positions={patches}+{OFFSET} sha256:{digest}"

    @torch.inference_mode()
    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """(N, 3, side, side) float32 pixels in 0..255 -> (N, d) float32."""
        return rows(self._tokens, pixels, MEAN, DEVIATION, self.device)

    def _tokens(self, x: torch.Tensor) -> torch.Tensor:
        return self.model(pixel_values=x).pooler_output


def open_instrument(argument: str, find: Callable[[Weights], Path]) -> DinoFeatures:
    """Raises InstrumentMissing without the weights, UserError if they do not fit or the self-test
    fails."""
    features = DinoFeatures(model_folder(argument, None if argument else find(WEIGHTS)))
    self_test(features)
    return features
