"""How alike two images are, to a network and by their pixels, for measures of edits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from PIL import Image

from harmon_eval.core import UserError
from harmon_eval.files.images import read_picture

if TYPE_CHECKING:
    from torch import Tensor, device


class ImageNetwork(Protocol):
    """An instrument of the role ``dino``: one vector an image. Metrics are named after it."""

    name: str
    identity: str

    def images(self, images: Sequence[Image.Image]) -> np.ndarray:
        """RGB images -> (n, d) float32."""


class TextNetwork(ImageNetwork, Protocol):
    """An instrument of the role ``clip``: images and texts in the same space."""

    def texts(self, texts: Sequence[str]) -> np.ndarray:
        """Texts -> (n, d) float32."""


class Vectors:
    """The vectors (d,) that a network gives to image files, each computed once."""

    def __init__(self, network: ImageNetwork) -> None:
        self._network = network
        self._images: dict[Path, np.ndarray] = {}

    def image(self, file: Path) -> np.ndarray:
        """Raises Unscorable for what is no picture."""
        if file not in self._images:
            self._images[file] = self._network.images([read_picture(file)])[0]
        return self._images[file]


class JointVectors(Vectors):
    """Those of images and of texts."""

    def __init__(self, network: TextNetwork) -> None:
        super().__init__(network)
        self._joint = network
        self._texts: dict[str, np.ndarray] = {}

    def text(self, text: str) -> np.ndarray:
        if text not in self._texts:
            self._texts[text] = self._joint.texts([text])[0]
        return self._texts[text]


def cosine(first: np.ndarray, second: np.ndarray) -> float:
    """The cosine of two vectors (d,) in float64; 0 where one of them is zero, as in PyTorch."""
    a, b = first.astype(np.float64), second.astype(np.float64)
    length = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(np.clip(a @ b / length, -1.0, 1.0)) if length else 0.0


def self_similarity(keys: Tensor) -> Tensor:
    """(t, d) -> (t, t): cosines of what a network has at each place, as in Splice (Tumanyan et al.
    2022, arXiv 2201.00424)."""
    lengths = keys.norm(dim=1, keepdim=True)
    return (keys @ keys.T) / (lengths @ lengths.T).clamp(min=1e-8)


def distances(result: Path, reference: Path) -> tuple[float, float]:
    """L1 and L2 (mean squared difference) of the pixels from 0 to 1, the result resized to the
    reference by the bicubic filter. Raises Unscorable for what is no picture."""
    made, given = read_picture(result), read_picture(reference)
    if made.size != given.size:
        made = made.resize(given.size, Image.Resampling.BICUBIC)
    difference = (np.asarray(made, np.float64) - np.asarray(given, np.float64)) / 255
    return float(np.abs(difference).mean()), float(np.square(difference).mean())


def prepared(
    image: Image.Image, side: int, crop: int, mean: Sequence[float], deviation: Sequence[float]
) -> Tensor:
    """(1, 3, crop, crop) float32: the shorter side resized to ``side`` by the bicubic filter, the
    centre cut out and normalised, all as torchvision's transforms do it to a Pillow image."""
    import torch

    width, height = image.size
    short = min(width, height)
    image = image.resize(
        (int(side * width / short), int(side * height / short)), Image.Resampling.BICUBIC
    )
    left, top = round((image.width - crop) / 2), round((image.height - crop) / 2)
    image = image.crop((left, top, left + crop, top + crop))
    pixels = torch.from_numpy(np.array(image, np.float32)).permute(2, 0, 1) / 255
    shift, scale = (torch.tensor(values)[:, None, None] for values in (mean, deviation))
    return ((pixels - shift) / scale)[None]


def rows(
    net: Callable[[Tensor], Tensor],
    pixels: np.ndarray,
    mean: Sequence[float],
    deviation: Sequence[float],
    device: device,
) -> np.ndarray:
    """(N, 3, side, side) float32 pixels in 0..255 -> (N, d) float32: what a network gives for them,
    normalised. On a CPU each goes alone, so that no row depends on what else is in the batch."""
    import torch

    shift, scale = (torch.tensor(values)[:, None, None] for values in (mean, deviation))
    x = ((torch.from_numpy(np.ascontiguousarray(pixels)) / 255 - shift) / scale).to(device)
    parts = x.split(1) if device.type == "cpu" else (x,)
    return torch.cat([net(part) for part in parts]).float().cpu().numpy()


def model_folder(argument: str, weights: Path | None) -> Path:
    """The folder of a model: the one that the user names, or that of the weights that were found.

    Raises UserError for a folder without ``config.json`` or weights."""
    folder = Path(argument).expanduser() if argument else weights.parent if weights else Path()
    for name in ("config.json", "model.safetensors"):
        if not (folder / name).is_file():
            raise UserError(
                f"{folder} has no {name}: save the model there with transformers' save_pretrained"
            )
    return folder


def loaded(kind: Any, folder: Path, what: str, optional: str = "") -> Any:
    """The model of a transformers class in float32, frozen, from a folder.

    Raises UserError for a folder of something else. transformers would fill in what lacks at
    random; here that is refused, but for names that begin with ``optional``."""
    from transformers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()  # the table of other weights that a whole checkpoint has
    try:
        model, told = kind.from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,
            dtype="float32",
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(f"{folder} holds no {what} model ({error})") from None
    finally:
        logging.set_verbosity(before)
    wrong = [str(name) for part in ("missing_keys", "mismatched_keys") for name in told[part]]
    if lacks := sorted(name for name in wrong if not (optional and name.startswith(optional))):
        raise UserError(
            f"{folder} holds no whole {what} model: {len(lacks)} weights are missing or of another "
            f"shape, such as {lacks[0]}; get it again"
        )
    return model.eval().requires_grad_(False)


def self_test(network: ImageNetwork) -> None:
    """Refuse a network whose vectors are not finite, or that sees no difference between an image
    and its negative. Raises UserError."""
    from harmon_eval.instruments.mask2former.detector import known_photograph

    pixels = known_photograph()
    seen, negative = network.images([Image.fromarray(pixels), Image.fromarray(255 - pixels)])
    fault = ""
    if not (np.isfinite(seen).all() and np.isfinite(negative).all()):
        fault = "its vector of a photograph is not finite"
    elif cosine(seen, negative) > 0.999:
        fault = "a photograph and its negative get the same vector"
    if fault:
        raise UserError(
            f"{network.name} fails its self-test: {fault}; nothing is marked. Try another driver "
            "or the CPU, or download the weights again"
        )
