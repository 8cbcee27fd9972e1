"""Structure distance with DINO ViT-B/8 (Tumanyan et al. 2022, arXiv 2201.00424), as in PIE-Bench.

``structure=dino`` needs ViT-B/8's weights, ``structure=dino:FOLDER`` takes any ViT of transformers.
The self-similarity of an image is the cosines of the keys of the last attention layer, of the class
token and all patches. The distance is the mean squared difference of two of them; tables show it
times 1,000. As cure-lab/PnPInversion @ 07f97f4, images are given from 0 to 255, with ImageNet's
mean and deviation but not divided by 255, and are resized bilinearly without antialiasing
(torchvision 0.13 on tensors). A network trained on other values is what PIE-Bench measures with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from harmon_eval.core import Unscorable, UserError
from harmon_eval.instruments.dino.hf import DEVIATION, MEAN
from harmon_eval.instruments.likeness import loaded, model_folder, self_similarity
from harmon_eval.instruments.mask2former.detector import known_photograph
from harmon_eval.instruments.measuring import Values
from harmon_eval.instruments.weights import Weights
from harmon_eval.store.digests import sha256_of

WEIGHTS = Weights(
    "DINO ViT-B/8",
    ("dino-vitb8/model.safetensors",),
    "facebook/dino-vitb8 on the Hugging Face hub, with its config.json",
)
KEYS = ("key", "k_proj")  # of an attention layer, in transformers' names


class Structure:
    """Raises UserError for a folder that holds no ViT."""

    def __init__(self, folder: Path, device: str | None = None) -> None:
        from transformers import ViTModel

        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.model = loaded(ViTModel, folder, "DINO", optional="pooler.").to(self.device)
        self.side = int(self.model.config.image_size)
        modules = self.model.named_modules()
        self._last = [m for name, m in modules if name.rpartition(".")[2] in KEYS][-1]
        self.name = folder.resolve().name
        digest = sha256_of(folder / "model.safetensors")[:16]
        self.identity = f"structure {self.name} sha256:{digest}"

    @torch.inference_mode()
    def compare(self, images: Sequence[Image.Image], references: Sequence[Image.Image]) -> Values:
        """RGB images and references of the same size -> the distance of each pair."""
        return [self._one(*pair) for pair in zip(images, references, strict=True)]

    def _one(self, image: Image.Image, reference: Image.Image) -> float | Exception:
        if image.size != reference.size:
            return Unscorable(f"structures of {image.size} and {reference.size} do not compare")
        first, second = (self_similarity(self.keys(one)) for one in (image, reference))
        return float((first - second).square().mean())

    def keys(self, image: Image.Image) -> torch.Tensor:
        """(1 + patches, d): the keys of the last layer, all heads side by side."""
        pixels = torch.from_numpy(np.array(image, np.float32)).permute(2, 0, 1)[None]
        scale = self.side / min(image.size)
        size = tuple(int(scale * length) for length in pixels.shape[-2:])
        sized = torch.nn.functional.interpolate(pixels, size=size, mode="bilinear")
        shift, deviation = (torch.tensor(v)[:, None, None] for v in (MEAN, DEVIATION))
        found: list[torch.Tensor] = []

        def note(module: Any, given: Any, output: torch.Tensor) -> None:
            found.append(output)

        hook = self._last.register_forward_hook(note)
        try:
            x = ((sized - shift) / deviation).to(self.device)
            self.model(pixel_values=x, interpolate_pos_encoding=size != (self.side,) * 2)
        finally:
            hook.remove()
        return found[0].reshape(-1, found[0].shape[-1])


def open_instrument(argument: str, find: Callable[[Weights], Path]) -> Structure:
    """Raises InstrumentMissing without the weights, UserError if they do not fit or the self-test
    fails."""
    structure = Structure(model_folder(argument, None if argument else find(WEIGHTS)))
    pixels = known_photograph()
    photograph, turned = Image.fromarray(pixels), Image.fromarray(pixels[::-1].copy())
    same, other = structure.compare([photograph] * 2, [photograph, turned])
    if not (same == 0 and isinstance(other, float) and 0 < other < np.inf):
        raise UserError(
            f"{structure.name} fails its self-test: a photograph is {same} from itself and {other} "
            "from the same upside down; nothing is marked. Get the weights again"
        )
    return structure
