"""PickScore v1 (Kirstain et al. 2023, arXiv 2305.01569): which image do people pick for the text?

``measure=pickscore`` reads the weights of yuvalkirstain/PickScore_v1 with the processor of
laion/CLIP-ViT-H-14-laion2B-s32B-b79K (CLIP's own preparation). The score is exp(logit scale) times
the cosine, about 20 to 23 for pictures of models. As a reward it is often divided by 26; that is
not done here. It has not been compared with the released weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image

from harmon_eval.instruments.clip.hf import Clip
from harmon_eval.instruments.likeness import cosine, model_folder, self_test
from harmon_eval.instruments.measuring import Values, each
from harmon_eval.instruments.weights import Weights

WEIGHTS = Weights(
    "PickScore v1",
    ("PickScore_v1/model.safetensors",),
    "yuvalkirstain/PickScore_v1 on the Hugging Face hub, with its config.json and the tokenizer "
    "files of laion/CLIP-ViT-H-14-laion2B-s32B-b79K",
)


class PickScore:
    def __init__(self, clip: Clip) -> None:
        self.clip = clip
        self.scale = float(clip.model.logit_scale.exp())
        self.name = f"pickscore,{clip.name}"
        self.identity = f"pickscore {clip.identity}"

    def measure(self, images: Sequence[Image.Image], texts: Sequence[str]) -> Values:
        """RGB images and the text of each -> a score each, higher for the image people prefer."""
        return each(self._one, images, texts)

    def _one(self, image: Image.Image, text: str) -> float:
        seen, read = self.clip.images([image])[0], self.clip.texts([text])[0]
        return self.scale * cosine(seen, read)


def open_instrument(argument: str, find: Callable[[Weights], Path]) -> PickScore:
    """Raises InstrumentMissing without the weights, UserError if they do not fit or the self-test
    fails."""
    clip = Clip(model_folder(argument, None if argument else find(WEIGHTS)))
    self_test(clip)
    return PickScore(clip)
