"""LAION's aesthetic predictor (sac+logos+ava1-l14-linearMSE): how beautiful is an image?

A linear map of CLIP ViT-L/14's unit vector to a number, from about 1 to 10, higher is better. Its
file has five linear layers without activations between them. It reads no text. It has not been
compared with the released weights.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from harmon_eval.core import UserError
from harmon_eval.instruments.clip.hf import Clip
from harmon_eval.instruments.likeness import ImageNetwork, model_folder, self_test
from harmon_eval.instruments.measure.clipscore import LARGE
from harmon_eval.instruments.measuring import Values, each
from harmon_eval.instruments.weights import Weights
from harmon_eval.store.digests import sha256_of

FILE = "sac+logos+ava1-l14-linearMSE.pth"
WEIGHTS = Weights(
    "the aesthetic predictor",
    (FILE,),
    "https://github.com/christophschuhmann/improved-aesthetic-predictor/raw/main/" + FILE,
)
LAYERS = (0, 2, 4, 6, 7)  # of the original's list, between which lie layers of dropout


class Linear:
    """Layers 768-1024-128-64-16-1, or others of this form. Raises UserError for another file."""

    def __init__(self, state: Mapping[str, Tensor], prefix: str = "layers.") -> None:
        self.layers = [
            (state[f"{prefix}{n}.weight"].double(), state[f"{prefix}{n}.bias"].double())
            for n in LAYERS
        ]

    def __call__(self, x: np.ndarray) -> float:
        """(d,) -> a number."""
        y = torch.from_numpy(x.astype(np.float64))
        for weight, bias in self.layers:
            y = weight @ y + bias
        return float(y)


class Aesthetic:
    def __init__(self, network: ImageNetwork, head: Linear, digest: str) -> None:
        self.network, self.head = network, head
        self.name = f"aesthetic,{network.name}"
        self.identity = f"aesthetic sha256:{digest[:16]} {network.identity}"

    def measure(self, images: Sequence[Image.Image], texts: Sequence[str]) -> Values:
        """RGB images -> a number each; the texts are not read."""
        return each(self._one, images, texts, needs_text=False)

    def _one(self, image: Image.Image, text: str) -> float:
        vector = self.network.images([image])[0].astype(np.float64)
        return self.head(vector / np.linalg.norm(vector))


def read_state(file: Path, what: str) -> dict[str, Tensor]:
    """The tensors of a file of PyTorch, and nothing else of it. Raises UserError."""
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
        state = content.get("state_dict", content)
        return {str(name): value for name, value in state.items() if isinstance(value, Tensor)}
    except (OSError, RuntimeError, AttributeError, EOFError, pickle.UnpicklingError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{file} holds no weights of {what} ({reason}): get it again") from None


def open_instrument(argument: str, find: Callable[[Weights], Path]) -> Aesthetic:
    """``aesthetic``, or ``aesthetic:FOLDER`` for the CLIP ViT-L/14 there. Raises InstrumentMissing
    without the weights, UserError if they do not fit or the self-test fails."""
    file = find(WEIGHTS)
    clip = Clip(model_folder(argument, None if argument else find(LARGE)))
    self_test(clip)
    try:
        head = Linear(read_state(file, "the aesthetic predictor"))
        found = Aesthetic(clip, head, sha256_of(file))
        found.measure([Image.new("RGB", (8, 8))], [""])
    except (KeyError, RuntimeError) as error:
        raise UserError(
            f"{file} does not fit {clip.name} ({error}): get both files again"
        ) from None
    return found
