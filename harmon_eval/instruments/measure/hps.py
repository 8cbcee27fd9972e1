"""HPS v2 and v2.1 (Wu et al. 2023, arXiv 2306.09341): which image would people prefer?

``measure=hps`` reads ``HPS_v2.1_compressed.pt`` into open_clip's ViT-H-14, ``hps?version=2.0`` the
older ``HPS_v2_compressed.pt``. The score is the cosine, about 0.2 to 0.35. As tgxs002/HPSv2 @
866735e, the longer side becomes 224 pixels and the rest is filled with black. The network runs in
float32, the original under autocast. It has not been compared with the released weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from harmon_eval.core import InstrumentMissing, UserError
from harmon_eval.instruments.clip.hf import DEVIATION, MEAN
from harmon_eval.instruments.likeness import cosine, self_test
from harmon_eval.instruments.measure.aesthetic import read_state
from harmon_eval.instruments.measuring import Values, each
from harmon_eval.instruments.weights import Weights
from harmon_eval.store.digests import sha256_of

ARCHITECTURE = "ViT-H-14"
FILES = {"2.1": "HPS_v2.1_compressed.pt", "2.0": "HPS_v2_compressed.pt"}
WEIGHTS = Weights(
    "HPS v2.1", (FILES["2.1"],), "https://huggingface.co/xswu/HPSv2/resolve/main/" + FILES["2.1"]
)


@dataclass(frozen=True)
class Settings:
    """``version``: of the weights."""

    version: Literal["2.1", "2.0"] = "2.1"


def prepared(image: Image.Image, side: int) -> Tensor:
    """(1, 3, side, side): the longer side resized to ``side``, bicubic with antialiasing on the
    tensor, black around it, then normalised."""
    pixels = torch.from_numpy(np.array(image, np.float32)).permute(2, 0, 1)[None]
    scale = side / max(image.size)
    size = tuple(max(1, round(length * scale)) for length in pixels.shape[-2:])
    sized = torch.nn.functional.interpolate(pixels / 255, size=size, mode="bicubic", antialias=True)
    high, wide = side - size[0], side - size[1]
    around = (wide // 2, wide - wide // 2, high // 2, high - high // 2)
    whole = torch.nn.functional.pad(sized, around)
    shift, deviation = (torch.tensor(values)[:, None, None] for values in (MEAN, DEVIATION))
    return (whole - shift) / deviation


class Hps:
    """Raises UserError for a file that does not fit, InstrumentMissing without open_clip."""

    def __init__(
        self, file: Path, version: str, architecture: str = ARCHITECTURE, device: str | None = None
    ) -> None:
        try:
            import open_clip
        except ImportError:
            raise InstrumentMissing(
                "HPS needs open_clip: pip install 'harmon-eval[official]'"
            ) from None
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        model: Any = open_clip.create_model(architecture, pretrained=None, precision="fp32")
        try:
            model.load_state_dict(read_state(file, "HPS"))
        except RuntimeError as error:
            flaws = " ".join(str(error).split())[:200]
            raise UserError(f"{file} does not fit {architecture}: {flaws}") from None
        self.model = model.eval().requires_grad_(False).to(self.device)
        self.tokenize: Any = open_clip.get_tokenizer(architecture)
        size = model.visual.image_size
        self.side = int(size[0] if isinstance(size, tuple) else size)
        self.name = f"hps-{version}"
        self.identity = f"hps {version} {architecture} sha256:{sha256_of(file)[:16]}"

    @torch.inference_mode()
    def images(self, images: Sequence[Image.Image]) -> np.ndarray:
        """RGB images -> (n, d) float32."""
        pixels = (prepared(image, self.side).to(self.device) for image in images)
        return torch.cat([self.model.encode_image(x) for x in pixels]).float().cpu().numpy()

    @torch.inference_mode()
    def _text(self, text: str) -> np.ndarray:
        ids = self.tokenize([text]).to(self.device)
        return self.model.encode_text(ids)[0].float().cpu().numpy()

    def measure(self, images: Sequence[Image.Image], texts: Sequence[str]) -> Values:
        """RGB images and the text of each -> a score each, higher for the image people prefer."""
        return each(self._one, images, texts)

    def _one(self, image: Image.Image, text: str) -> float:
        return cosine(self.images([image])[0], self._text(text))


def open_instrument(settings: Settings, find: Callable[[Weights], Path]) -> Hps:
    """Raises InstrumentMissing without weights or open_clip, UserError if they do not fit or the
    self-test fails."""
    file = FILES[settings.version]
    place = WEIGHTS.source.rpartition("/")[0]
    wanted = Weights(f"HPS v{settings.version}", (file,), f"{place}/{file}")
    hps = Hps(find(wanted), settings.version)
    self_test(hps)
    return hps
