"""CLIP (Radford et al. 2021, arXiv 2103.00020) from a folder of transformers.

``clip=hf`` is ViT-B/32, which MagicBrush and Emu Edit are measured with; ``clip=hf:FOLDER`` is any
other CLIP. Images are prepared as OpenAI's own transform does. It runs in float32, one image at a
time, so that no vector depends on what else is in a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from harmon_eval.core import UserError
from harmon_eval.instruments.likeness import loaded, model_folder, prepared, self_test
from harmon_eval.instruments.weights import Weights
from harmon_eval.store.digests import sha256_of

WEIGHTS = Weights(
    "CLIP ViT-B/32",
    ("clip-vit-base-patch32/model.safetensors",),
    "openai/clip-vit-base-patch32 on the Hugging Face hub, with its config and tokenizer files",
)
MEAN = (0.48145466, 0.4578275, 0.40821073)
DEVIATION = (0.26862954, 0.26130258, 0.27577711)


class Clip:
    """Vectors before normalisation. Raises UserError for a folder that holds no CLIP."""

    def __init__(self, folder: Path, device: str | None = None) -> None:
        from transformers import AutoTokenizer, CLIPModel

        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.model = loaded(CLIPModel, folder, "CLIP").to(self.device)
        try:
            self.tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError) as error:
            raise UserError(f"{folder} has no tokenizer of CLIP ({error})") from None
        config: Any = self.model.config
        self.side = int(config.vision_config.image_size)
        self.length = int(config.text_config.max_position_embeddings)
        self.name = folder.resolve().name
        self.identity = f"{self.name} sha256:{sha256_of(folder / 'model.safetensors')[:16]}"

    @torch.inference_mode()
    def images(self, images: Sequence[Image.Image]) -> np.ndarray:
        """RGB images -> (n, d) float32."""
        found = []
        for image in images:
            pixels = prepared(image, self.side, self.side, MEAN, DEVIATION).to(self.device)
            found.append(self.model.get_image_features(pixel_values=pixels).pooler_output)
        return torch.cat(found).float().cpu().numpy()

    @torch.inference_mode()
    def texts(self, texts: Sequence[str]) -> np.ndarray:
        """Texts -> (n, d) float32; what is longer than CLIP's context is cut."""
        found = []
        for text in texts:
            ids = self.tokenizer(
                text, truncation=True, max_length=self.length, return_tensors="pt"
            ).to(self.device)
            found.append(self.model.get_text_features(**ids).pooler_output)
        return torch.cat(found).float().cpu().numpy()


def open_instrument(argument: str, find: Callable[[Weights], Path]) -> Clip:
    """Raises InstrumentMissing without the weights, UserError if they do not fit or the self-test
    fails."""
    clip = Clip(model_folder(argument, None if argument else find(WEIGHTS)))
    self_test(clip)
    return clip
