"""DINO (Caron et al. 2021, arXiv 2104.14294) from a folder of transformers.

``dino=hf`` is ViT-S/16, which MagicBrush is measured with; ``dino=hf:FOLDER`` is any other ViT. An
image's vector is the class token after the last norm, as torch.hub's model gives it. The shorter
side is resized to 256 pixels and the centre of 224 cut out, as in MagicBrush.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from harmon_eval.instruments.likeness import loaded, model_folder, prepared, self_test
from harmon_eval.instruments.weights import Weights
from harmon_eval.store.digests import sha256_of

WEIGHTS = Weights(
    "DINO ViT-S/16",
    ("dino-vits16/model.safetensors",),
    "facebook/dino-vits16 on the Hugging Face hub, with its config.json",
)
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's
MARGIN = 256 / 224  # of the resized image around the part that is cut out


class Dino:
    """Class tokens. Raises UserError for a folder that holds no ViT."""

    def __init__(self, folder: Path, device: str | None = None) -> None:
        from transformers import ViTModel

        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        # Its pooling layer is not used, and the published weights have none.
        self.model = loaded(ViTModel, folder, "DINO", optional="pooler.").to(self.device)
        config: Any = self.model.config
        self.side = int(config.image_size)
        self.name = folder.resolve().name
        self.identity = f"{self.name} sha256:{sha256_of(folder / 'model.safetensors')[:16]}"

    @torch.inference_mode()
    def images(self, images: Sequence[Image.Image]) -> np.ndarray:
        """RGB images -> (n, d) float32."""
        found = []
        for image in images:
            pixels = prepared(image, round(self.side * MARGIN), self.side, MEAN, DEVIATION)
            found.append(self.model(pixel_values=pixels.to(self.device)).last_hidden_state[:, 0])
        return torch.cat(found).float().cpu().numpy()


def open_instrument(argument: str, find: Callable[[Weights], Path]) -> Dino:
    """Raises InstrumentMissing without the weights, UserError if they do not fit or the self-test
    fails."""
    dino = Dino(model_folder(argument, None if argument else find(WEIGHTS)))
    self_test(dino)
    return dino
