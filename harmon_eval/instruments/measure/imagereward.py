"""ImageReward 1.0 (Xu et al. 2023, arXiv 2304.05977): how well would people rate image and text?

``measure=imagereward`` reads ``ImageReward.pt``: BLIP's vision and text networks and a head of
linear layers, here transformers' classes for BLIP. The score is standardised, (raw - 0.16717) /
1.03334, so it lies around 0. As a reward it is often (s + 2) / 4; that is not done here. Texts are
cut at 35 tokens and images prepared as for CLIP, as the package image-reward 1.5. It has not been
compared with the released weights.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from harmon_eval.core import UserError
from harmon_eval.instruments.clip.hf import DEVIATION, MEAN
from harmon_eval.instruments.likeness import prepared
from harmon_eval.instruments.mask2former.detector import known_photograph
from harmon_eval.instruments.measure.aesthetic import Linear, read_state
from harmon_eval.instruments.measuring import Values, each
from harmon_eval.instruments.weights import Weights
from harmon_eval.store.digests import sha256_of

WEIGHTS = Weights(
    "ImageReward 1.0",
    ("ImageReward/ImageReward.pt",),
    "THUDM/ImageReward on the Hugging Face hub, with vocab.txt of bert-base-uncased beside it",
)
CENTRE, SPREAD = 0.16717362830052426, 1.0333394966054072
TOKENS = 35
HEAD_WIDTH = 64  # of the attention in both networks
VISION, TEXT, HEAD = "blip.visual_encoder.", "blip.text_encoder.", "mlp.layers."
# BLIP's names of a vision network's parts, and those of transformers.
RENAMED = (
    (r"^cls_token$", "embeddings.class_embedding"),
    (r"^pos_embed$", "embeddings.position_embedding"),
    (r"^patch_embed\.proj\.", "embeddings.patch_embedding."),
    (r"^blocks\.(\d+)\.norm([12])\.", r"encoder.layers.\1.layer_norm\2."),
    (r"^blocks\.(\d+)\.attn\.qkv\.", r"encoder.layers.\1.self_attn.qkv."),
    (r"^blocks\.(\d+)\.attn\.proj\.", r"encoder.layers.\1.self_attn.projection."),
    (r"^blocks\.(\d+)\.mlp\.", r"encoder.layers.\1.mlp."),
    (r"^norm\.", "post_layernorm."),
)


def of_vision(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The vision network's tensors under transformers' names."""
    found = {}
    for name, value in state.items():
        if name.startswith(VISION):
            own = name.removeprefix(VISION)
            for pattern, replacement in RENAMED:
                own = re.sub(pattern, replacement, own)
            found[own] = value
    return found


def of_text(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The text network's tensors; the numbers of places are no weights."""
    found = {n.removeprefix(TEXT): v for n, v in state.items() if n.startswith(TEXT)}
    return {name: value for name, value in found.items() if not name.endswith("position_ids")}


def _layers(state: Mapping[str, Tensor], pattern: str) -> int:
    return 1 + max(int(m[1]) for name in state if (m := re.search(pattern, name)))


class ImageReward:
    """Sizes of the networks are read off the weights. Raises UserError for a file that does not
    fit, or without the tokenizer's vocabulary beside it."""

    def __init__(self, file: Path, device: str | None = None) -> None:
        from transformers import BertTokenizer

        vocabulary = file.with_name("vocab.txt")
        if not vocabulary.is_file():
            raise UserError(f"{vocabulary} is missing: put vocab.txt of bert-base-uncased there")
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        state = read_state(file, "ImageReward")
        try:
            self._build(of_vision(state), of_text(state))
            self.head = Linear(state, HEAD)
        except (KeyError, ValueError, RuntimeError) as error:
            flaws = " ".join(str(error).split())[:200]
            raise UserError(f"{file} does not fit ImageReward ({flaws}): get it again") from None
        self.tokenizer: Any = BertTokenizer.from_pretrained(file.parent)
        self.name = "imagereward-1.0"
        self.identity = f"imagereward sha256:{sha256_of(file)[:16]}"

    def _build(self, vision: dict[str, Tensor], text: dict[str, Tensor]) -> None:
        from transformers import BlipTextConfig, BlipTextModel, BlipVisionConfig, BlipVisionModel

        patches = vision["embeddings.patch_embedding.weight"]
        width, _, patch, _ = patches.shape
        side = round((vision["embeddings.position_embedding"].shape[1] - 1) ** 0.5)
        self.side = side * patch
        seeing = BlipVisionConfig(
            hidden_size=width,
            intermediate_size=vision["encoder.layers.0.mlp.fc1.weight"].shape[0],
            num_hidden_layers=_layers(vision, r"^encoder\.layers\.(\d+)\."),
            num_attention_heads=max(1, width // HEAD_WIDTH),
            image_size=self.side,
            patch_size=patch,
            layer_norm_eps=1e-6,
        )
        words, hidden = text["embeddings.word_embeddings.weight"].shape
        reading = BlipTextConfig(
            vocab_size=words,
            hidden_size=hidden,
            encoder_hidden_size=width,
            intermediate_size=text["encoder.layer.0.intermediate.dense.weight"].shape[0],
            num_hidden_layers=_layers(text, r"^encoder\.layer\.(\d+)\."),
            num_attention_heads=max(1, hidden // HEAD_WIDTH),
            max_position_embeddings=text["embeddings.position_embeddings.weight"].shape[0],
            layer_norm_eps=1e-12,
        )
        self.vision: Any = BlipVisionModel(seeing)
        self.vision.load_state_dict(vision)
        self.text: Any = BlipTextModel(reading, add_pooling_layer=False)
        self.text.load_state_dict(text)
        networks: list[Any] = [self.vision, self.text]
        for network in networks:
            network.eval().requires_grad_(False).to(self.device)

    def measure(self, images: Sequence[Image.Image], texts: Sequence[str]) -> Values:
        """RGB images and the text of each -> a score each, higher for the image people prefer."""
        return each(self._one, images, texts)

    @torch.inference_mode()
    def _one(self, image: Image.Image, text: str) -> float:
        pixels = prepared(image, self.side, self.side, MEAN, DEVIATION).to(self.device)
        seen = self.vision(pixel_values=pixels).last_hidden_state
        ids = self.tokenizer(text, truncation=True, max_length=TOKENS, return_tensors="pt")
        read = self.text(
            input_ids=ids["input_ids"].to(self.device),
            attention_mask=ids["attention_mask"].to(self.device),
            encoder_hidden_states=seen,
            encoder_attention_mask=torch.ones(seen.shape[:2], device=self.device),
        ).last_hidden_state[0, 0]
        return (self.head(read.float().cpu().numpy()) - CENTRE) / SPREAD


def open_instrument(argument: str, find: Callable[[Weights], Path]) -> ImageReward:
    """``imagereward`` or ``imagereward:FILE``. Raises InstrumentMissing without the weights,
    UserError if they do not fit or the self-test fails."""
    reward = ImageReward(Path(argument).expanduser() if argument else find(WEIGHTS))
    photograph = known_photograph()
    images = [Image.fromarray(pixels) for pixels in (photograph, 255 - photograph)]
    seen, negative = (value for value in reward.measure(images, ["a photo"] * 2))
    if not (isinstance(seen, float) and seen == seen and seen != negative):
        raise UserError(
            f"ImageReward fails its self-test: a photograph has {seen}, its negative {negative}; "
            "nothing is marked. Get the weights again"
        )
    return reward
