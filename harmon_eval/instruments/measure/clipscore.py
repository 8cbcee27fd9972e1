"""CLIPScore (Hessel et al. 2021, arXiv 2104.08718): does the image fit the text?

``measure=clipscore`` uses CLIP ViT-B/32 as the paper, ``clipscore?network=large`` ViT-L/14, and
``clipscore:FOLDER`` any other CLIP of transformers. Three recipes are in print, and their numbers
do not compare:

- ``recipe=hessel`` (default): 2.5 max(cos, 0), the text behind "A photo depicts ", as
  jmhessel/clipscore @ 1036465. The paper's numbers are these, or these times 100.
- ``recipe=torchmetrics``: 100 cos without the prefix, as torchmetrics and the "CLIP score" of most
  tables. torchmetrics shows a mean below 0 as 0; here it stays what it is.
- ``recipe=cosine``: the cosine itself, "CLIP-T" or "CLIP-I/T similarity" of most papers.

torchmetrics' own class does not run with transformers 5, so this is CLIPModel itself. Images are
prepared as OpenAI's transform does it (bicubic in Pillow, centre crop), in RGB on white; networks
run in float32. The original runs in float16 on GPUs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import Image

from harmon_eval.instruments.clip.hf import WEIGHTS, Clip
from harmon_eval.instruments.likeness import TextNetwork, cosine, model_folder, self_test
from harmon_eval.instruments.measuring import Values, each
from harmon_eval.instruments.weights import Weights

LARGE = Weights(
    "CLIP ViT-L/14",
    ("clip-vit-large-patch14/model.safetensors",),
    "openai/clip-vit-large-patch14 on the Hugging Face hub, with its config and tokenizer files",
)
PREFIX = "A photo depicts "  # of the paper's recipe
WEIGHT = 2.5

Recipe = Literal["hessel", "torchmetrics", "cosine"]


@dataclass(frozen=True)
class Settings:
    """``recipe``: how a cosine becomes a score. ``network``: ViT-B/32 or ViT-L/14."""

    recipe: Recipe = "hessel"
    network: Literal["base", "large"] = "base"


def score(cos: float, recipe: Recipe) -> float:
    """The score of a cosine by a recipe."""
    if recipe == "hessel":
        return WEIGHT * max(cos, 0.0)
    return 100 * cos if recipe == "torchmetrics" else cos


class ClipScore:
    """CLIPScore on any network that sees images and reads texts."""

    def __init__(self, network: TextNetwork, recipe: Recipe = "hessel") -> None:
        self.network, self.recipe = network, recipe
        self.name = f"clipscore-{recipe},{network.name}"
        self.identity = f"clipscore recipe={recipe} {network.identity}"

    def measure(self, images: Sequence[Image.Image], texts: Sequence[str]) -> Values:
        """RGB images and the text of each -> the score of each, higher for a better fit."""
        return each(self._one, images, texts)

    def _one(self, image: Image.Image, text: str) -> float:
        text = PREFIX + text if self.recipe == "hessel" else text
        seen, read = self.network.images([image])[0], self.network.texts([text])[0]
        return score(cosine(seen, read), self.recipe)


def open_instrument(
    argument: str, settings: Settings, find: Callable[[Weights], Path]
) -> ClipScore:
    """Raises InstrumentMissing without the weights, UserError if they do not fit or the self-test
    fails."""
    wanted = LARGE if settings.network == "large" else WEIGHTS
    clip = Clip(model_folder(argument, None if argument else find(wanted)))
    self_test(clip)
    return ClipScore(clip, settings.recipe)
