"""GenEval's colour classifier: CLIP ViT-L/14 names the colour of a masked crop.

Radford et al. 2021, arXiv 2103.00020, in open_clip; texts, crop and mask as in the scorer of
djghosh13/geneval (arXiv 2310.11513). OpenAI's weights were trained with QuickGELU. With plain GELU
they silently give different colours, so such a network is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from harmon_eval.core import UserError
from harmon_eval.instruments.mask2former.detector import full_float32
from harmon_eval.instruments.vocabulary import PALETTE
from harmon_eval.instruments.weights import Weights, read_program, torchscript
from harmon_eval.store.digests import sha256_of

ARCHITECTURE = "ViT-L-14-quickgelu"
OPENAI_FILE, HUB_FILE = "ViT-L-14.pt", "open_clip_model.safetensors"
OPENAI_SHA256 = "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836"
WEIGHTS = Weights(
    "the official GenEval colour classifier (CLIP ViT-L/14)",
    (OPENAI_FILE, HUB_FILE),
    f"https://openaipublic.azureedge.net/clip/models/{OPENAI_SHA256}/{OPENAI_FILE}",
    OPENAI_SHA256,
)
# Sizes that OpenAI's archive stores among the weights.
NO_WEIGHTS = ("input_resolution", "context_length", "vocab_size")
BACKGROUND = 153  # "#999"
BATCH = 16
TEMPLATES = ("a photo of a {} {name}", "a photo of a {}-colored {name}", "a photo of a {} object")
# The self-test shows balls of plain colours; the classifier must name these colours.
KNOWN_CLASS = "sports ball"
KNOWN_COLORS = {
    "red": (230, 0, 0),
    "yellow": (255, 230, 0),
    "green": (0, 160, 0),
    "blue": (0, 0, 230),
}


def texts(name: str) -> list[str]:
    """Three texts per colour, in the palette's order; always "a", never "an"."""
    return [template.format(color, name=name) for color in PALETTE for template in TEMPLATES]


def crop(image: np.ndarray, box: np.ndarray, mask: np.ndarray | None) -> Image.Image:
    """Crop (H, W, 3) uint8 to the box [x0, y0, x1, y1, ...]; grey where ``mask`` (H, W) is false.

    Corners are rounded to whole pixels, with halves to even, as Pillow does."""
    if mask is not None:
        image = np.where(mask[:, :, None], image, np.uint8(BACKGROUND))
    x0, y0, x1, y1 = (round(float(value)) for value in box[:4])
    return Image.fromarray(image).crop((x0, y0, x1, y1))


class ClipColors:
    """Names colours with ``model`` (open_clip's CLIP), ``tokenize`` (texts -> ids) and the
    evaluation transform at the model's own image size. It always runs in float32, without autocast.

    Raises UserError for a network with plain GELU."""

    def __init__(
        self,
        model: Any,
        tokenize: Callable[[list[str]], Tensor],
        identity: str,
        device: str | None = None,
    ) -> None:
        from open_clip import image_transform

        if any(isinstance(module, nn.GELU) for module in model.modules()):
            raise UserError(
                "CLIP is built with plain GELU, but OpenAI's weights need QuickGELU: use the "
                f"architecture {ARCHITECTURE}"
            )
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.model = model.float().eval().requires_grad_(False).to(self.device)
        self.tokenize = tokenize
        self.transform = image_transform(model.visual.image_size, is_train=False)
        self.identity = identity
        self._classifiers: dict[str, Tensor] = {}

    def __call__(
        self, image: np.ndarray, boxes: np.ndarray, masks: np.ndarray | None, name: str
    ) -> list[str]:
        """Image (H, W, 3) uint8, boxes (n, 4+), masks (n, H, W) bool or None, class name ->
        n colours of the palette. Of equally likely colours, the first is chosen."""
        per_box: Sequence[np.ndarray | None] = [None] * len(boxes) if masks is None else list(masks)
        crops = [crop(image, box, mask) for box, mask in zip(boxes, per_box, strict=True)]
        return [PALETTE[i] for i in self.logits(crops, name).argmax(1).tolist()] if crops else []

    @torch.inference_mode()
    def logits(self, crops: Sequence[Image.Image], name: str) -> Tensor:
        """(n, 10): 100 times the cosine of each crop with each colour's classifier."""
        parts = []
        with full_float32(self.device):
            for start in range(0, len(crops), BATCH):
                pixels = torch.stack([self.transform(c) for c in crops[start : start + BATCH]])
                features = self.model.encode_image(pixels.to(self.device))
                parts.append(
                    100 * nn.functional.normalize(features, dim=-1) @ self.classifier(name)
                )
        return torch.cat(parts).cpu()

    def classifier(self, name: str) -> Tensor:
        """(d, 10): for each colour, the mean of its three unit text features, normalised again."""
        if name not in self._classifiers:
            features = self.model.encode_text(self.tokenize(texts(name)).to(self.device))
            unit = nn.functional.normalize(features, dim=-1)
            mean = unit.unflatten(0, (len(PALETTE), len(TEMPLATES))).mean(1)
            self._classifiers[name] = nn.functional.normalize(mean, dim=-1).T
        return self._classifiers[name]


def read_weights(path: Path) -> Mapping[str, Tensor]:
    """Read OpenAI's archive or open_clip's safetensors file.

    The archive's SHA-256 is checked before it is opened. Raises UserError for any other file."""
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except (OSError, SafetensorError) as error:
            raise UserError(f"{path} cannot be read: {error}; download it again") from None
    program = read_program(path, OPENAI_SHA256, f"OpenAI's {OPENAI_FILE}")
    with torchscript():
        state = torch.jit.load(program, map_location="cpu").state_dict()
    return {name: value for name, value in state.items() if name not in NO_WEIGHTS}


def official_colors(path: Path, device: str | None = None) -> ClipColors:
    """ViT-L/14 with OpenAI's weights at ``path``. Raises UserError if they do not fit."""
    try:
        import open_clip
    except ImportError:
        raise UserError(
            "open_clip names the colours, but it is missing: pip install 'harmon-eval[official]'"
        ) from None
    model = open_clip.create_model(ARCHITECTURE, pretrained=None, precision="fp32", device="cpu")
    try:
        model.load_state_dict(dict(read_weights(path)))
    except RuntimeError as error:
        flaws = " ".join(str(error).split())
        raise UserError(f"{path} does not fit {ARCHITECTURE}: {flaws}") from None
    identity = f"clip-{ARCHITECTURE} open_clip {open_clip.__version__} sha256:{sha256_of(path)}"
    return ClipColors(model, open_clip.get_tokenizer(ARCHITECTURE), identity, device)


def self_test(colors: ClipColors) -> None:
    """Refuse a classifier that cannot name plain-coloured balls, as happens with wrong weights.

    Raises UserError."""
    rows, columns = np.mgrid[:256, :256] - 127.5
    disc = rows**2 + columns**2 < 120**2
    box = np.array([[8, 8, 248, 248]], dtype=np.float32)
    for expected, rgb in KNOWN_COLORS.items():
        image = np.broadcast_to(np.array(rgb, np.uint8), (256, 256, 3))
        (named,) = colors(image, box, disc[None], KNOWN_CLASS)
        if named != expected:
            raise UserError(
                f"the colour classifier fails its self-test: it called a {expected} {KNOWN_CLASS} "
                f"{named}; nothing is marked ({colors.identity}). Download the weights again"
            )


def open_instrument(find: Callable[[Weights], Path]) -> ClipColors:
    """Load and test the classifier. Raises InstrumentMissing if the weights are missing, UserError
    if they do not fit or the self-test fails."""
    colors = official_colors(find(WEIGHTS))
    self_test(colors)
    return colors
