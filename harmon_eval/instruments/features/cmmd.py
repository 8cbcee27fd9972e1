"""CMMD's network (Jayasumana et al. 2024, arXiv 2401.09603): CLIP's projected image vectors.

``features=cmmd`` is CLIP ViT-L/14-336, as cmmd-pytorch @ f7673a9; ``features=cmmd:FOLDER`` any
other CLIP of transformers. Pictures are the middle square, bicubic in Pillow, in 8 bit. The
original drops no alpha and breaks there; here alpha is dropped, as for FID.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from harmon_eval.instruments.clip.hf import DEVIATION, MEAN
from harmon_eval.instruments.features.inception import self_test
from harmon_eval.instruments.likeness import loaded, model_folder, rows
from harmon_eval.instruments.weights import Weights
from harmon_eval.store.digests import sha256_of

WEIGHTS = Weights(
    "CMMD's CLIP ViT-L/14-336",
    ("clip-vit-large-patch14-336/model.safetensors",),
    "openai/clip-vit-large-patch14-336 on the Hugging Face hub, with its config.json",
)


class ClipFeatures:
    """Projected vectors in float32. Raises UserError for a folder that holds no CLIP."""

    protocol = "square"

    def __init__(self, folder: Path, device: str | None = None) -> None:
        from transformers import CLIPModel

        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.model = loaded(CLIPModel, folder, "CLIP").to(self.device)
        self.side = int(self.model.config.vision_config.image_size)
        self.name = folder.resolve().name
        self.identity = f"{self.name} sha256:{sha256_of(folder / 'model.safetensors')[:16]}"

    @torch.inference_mode()
    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """(N, 3, side, side) float32 pixels in 0..255 -> (N, d) float32."""
        return rows(self._embeds, pixels, MEAN, DEVIATION, self.device)

    def _embeds(self, x: torch.Tensor) -> torch.Tensor:
        return self.model.get_image_features(pixel_values=x).pooler_output


def open_instrument(argument: str, find: Callable[[Weights], Path]) -> ClipFeatures:
    """Raises InstrumentMissing without the weights, UserError if they do not fit or the self-test
    fails."""
    features = ClipFeatures(model_folder(argument, None if argument else find(WEIGHTS)))
    self_test(features)
    return features
