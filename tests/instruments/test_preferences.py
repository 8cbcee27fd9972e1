"""PickScore, HPS, ImageReward and the aesthetic predictor, three tests each.

The original: what the published code computes, written down again in plain PyTorch and run on
small random weights of the same classes (the released weights were not at hand). By hand: vectors
and layers that one can follow on paper. An identity: what must hold whatever the weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torchvision.transforms as T
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as F
from transformers import CLIPModel, CLIPTokenizer

from harmon_eval import registry
from harmon_eval.instruments.measure.aesthetic import FILE, Aesthetic, Linear
from harmon_eval.instruments.measure.hps import Hps
from harmon_eval.instruments.measure.imagereward import HEAD, TEXT, ImageReward
from harmon_eval.instruments.measure.imagereward import VISION as SEEING
from harmon_eval.instruments.measure.pickscore import PickScore
from tests.instruments.conftest import VISION

Find = Callable[..., Path]
MEAN, DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
SIZES = (8, 16, 8, 6, 4, 1)  # of five layers; 768-1024-128-64-16-1 in the originals


def transform(side: int) -> Callable[[Image.Image], Tensor]:
    """OpenAI's, which PickScore's processor, the aesthetic predictor and ImageReward share."""
    chain: Callable[[Image.Image], Tensor] = T.Compose(
        [
            T.Resize(side, interpolation=InterpolationMode.BICUBIC),
            T.CenterCrop(side),
            T.ToTensor(),
            T.Normalize(MEAN, DEVIATION),
        ]
    )
    return chain


def head(sizes: tuple[int, ...]) -> nn.Sequential:
    """The originals' layers: linear ones with dropout between, no activation."""
    torch.manual_seed(1)
    parts: list[nn.Module] = []
    for place, (inside, outside) in enumerate(pairwise(sizes)):
        parts.append(nn.Linear(inside, outside))
        if place < 3:
            parts.append(nn.Dropout(0.2))
    return nn.Sequential(*parts).eval()


class Given:
    """A network, or a CLIP, with the vectors of an image and of a text."""

    name = identity = "given"

    def __init__(self, image: Any, text: Any = (1.0, 0.0), scale: float = 100.0) -> None:
        self.image, self.text = np.array([image], np.float32), np.array([text], np.float32)
        self.model = SimpleNamespace(logit_scale=torch.tensor(math.log(scale)))

    def images(self, images: Any) -> np.ndarray:
        return self.image

    def texts(self, texts: Any) -> np.ndarray:
        return self.text


def pickscore(*given: Any) -> PickScore:
    clip: Any = Given(*given)
    return PickScore(clip)


# -- PickScore -----------------------------------------------------------------------------------


def test_pickscore_is_what_its_readme_computes(
    clip_folder: Path, picture: Image.Image, nowhere: Find
) -> None:
    """exp(logit scale) times the product of unit vectors, for two images of one text."""
    model = CLIPModel.from_pretrained(clip_folder).eval()
    images = [picture, Image.fromarray(255 - np.asarray(picture))]
    pixels = torch.stack([transform(VISION["image_size"])(image) for image in images])
    words = CLIPTokenizer.from_pretrained(clip_folder)(
        ["a b"], padding=True, truncation=True, max_length=77, return_tensors="pt"
    )
    with torch.no_grad():
        seen = model.get_image_features(pixel_values=pixels).pooler_output
        read = model.get_text_features(**words).pooler_output
        seen = seen / torch.norm(seen, dim=-1, keepdim=True)
        read = read / torch.norm(read, dim=-1, keepdim=True)
        scores = (model.logit_scale.exp() * (read @ seen.T))[0]
    pick = registry.instrument("measure", f"pickscore:{clip_folder}", nowhere)
    assert pick.measure(images, ["a b"] * 2) == pytest.approx(scores.tolist(), abs=1e-4)


def test_pickscore_by_hand(picture: Image.Image) -> None:
    """(3, 4) and (1, 0) have the cosine 3/5; times 100."""
    assert pickscore((3, 4)).measure([picture], ["a"]) == [pytest.approx(60, rel=1e-6)]


def test_pickscore_is_the_scale_where_image_and_text_agree(picture: Image.Image) -> None:
    for length in (0.5, 1.0, 7.0):
        found = pickscore((length, length), (2.0, 2.0), 26.0).measure([picture], ["a"])
        assert found == [pytest.approx(26, rel=1e-6)]


# -- HPS -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small_h(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """A small model of open_clip's class, and a file as HPS's checkpoints are."""
    open_clip = pytest.importorskip("open_clip")
    folder = tmp_path_factory.mktemp("hps")
    width = {"width": 64, "layers": 2}
    text = {"context_length": 77, "vocab_size": 49408, "heads": 1, **width}
    config = {
        "embed_dim": 8,
        "vision_cfg": {"image_size": 32, "patch_size": 8, **width},
        "text_cfg": text,
    }
    open_clip.factory._MODEL_CONFIGS["small-hps"] = config
    torch.manual_seed(0)
    model = open_clip.create_model("small-hps", pretrained=None, output_dict=True).eval()
    file = folder / "HPS_v2.1_compressed.pt"
    torch.save({"state_dict": model.state_dict(), "epoch": 1}, file)
    return model, file


def whole_on_black(image: Image.Image, side: int) -> Tensor:
    """HPSv2's ResizeMaxSize of a tensor: the longer side, then black around it."""
    pixels = F.to_tensor(image)
    height, width = pixels.shape[-2:]
    scale = side / max(height, width)
    size = [round(length * scale) for length in (height, width)]
    pixels = F.resize(pixels, size, InterpolationMode.BICUBIC, antialias=True)
    high, wide = side - size[0], side - size[1]
    around = [wide // 2, high // 2, wide - wide // 2, high - high // 2]
    whole: Tensor = F.normalize(F.pad(pixels, around, fill=0), list(MEAN), list(DEVIATION))
    return whole


@pytest.mark.parametrize("version", ["2.1", "2.0"])
def test_hps_is_the_diagonal_that_its_code_computes(
    small_h: tuple[Any, Path], picture: Image.Image, version: str
) -> None:
    import open_clip

    model, file = small_h
    found = Hps(file, version, "small-hps").measure([picture], ["a red kettle"])
    with torch.no_grad():
        pixels = whole_on_black(picture, 32)[None]
        outputs = model(pixels, open_clip.tokenize(["a red kettle"]))
        logits = outputs["image_features"] @ outputs["text_features"].T
    assert found == [pytest.approx(float(torch.diagonal(logits)[0]), abs=1e-5)]


def test_hps_by_hand(small_h: tuple[Any, Path], picture: Image.Image) -> None:
    """(3, 4) and (4, 3) have the cosine 24/25."""
    found = Hps(small_h[1], "2.1", "small-hps")
    found.model = SimpleNamespace(
        encode_image=lambda pixels: torch.tensor([[3.0, 4.0]]),
        encode_text=lambda ids: torch.tensor([[4.0, 3.0]]),
    )
    assert found.measure([picture], ["a"]) == [pytest.approx(0.96, abs=1e-6)]


def test_hps_of_an_image_is_the_same_in_any_company_and_with_black_around_it(
    small_h: tuple[Any, Path], picture: Image.Image
) -> None:
    """A picture that is wide is the square that has it in the middle of black."""
    found = Hps(small_h[1], "2.1", "small-hps")
    wide = picture.resize((32, 20))
    square = Image.new("RGB", (32, 32))
    square.paste(wide, (0, 6))
    alone, (around, _, again) = (
        found.measure([wide], ["a"]),
        found.measure([square, picture, wide], ["a"] * 3),
    )
    assert alone == [again]
    assert alone == [pytest.approx(around, abs=1e-6)]


# -- ImageReward ---------------------------------------------------------------------------------

WIDTH, SIDE, PATCH, WORDS = 64, 32, 16, 9


def random_blip() -> dict[str, Tensor]:
    """ImageReward's file in small, under the names of its own code."""
    make = torch.Generator().manual_seed(5)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=make) * 0.2

    def linear(name: str, outside: int, inside: int) -> dict[str, Tensor]:
        return {f"{name}.weight": normal(outside, inside), f"{name}.bias": normal(outside)}

    def norm(name: str) -> dict[str, Tensor]:
        return {f"{name}.weight": 1 + normal(WIDTH), f"{name}.bias": normal(WIDTH)}

    state = {
        f"{SEEING}cls_token": normal(1, 1, WIDTH),
        f"{SEEING}pos_embed": normal(1, 1 + (SIDE // PATCH) ** 2, WIDTH),
        f"{SEEING}patch_embed.proj.weight": normal(WIDTH, 3, PATCH, PATCH),
        f"{SEEING}patch_embed.proj.bias": normal(WIDTH),
        f"{TEXT}embeddings.word_embeddings.weight": normal(WORDS, WIDTH),
        f"{TEXT}embeddings.position_embeddings.weight": normal(40, WIDTH),
        f"{TEXT}embeddings.position_ids": torch.arange(40)[None],
        **norm(f"{SEEING}norm"),
        **norm(f"{TEXT}embeddings.LayerNorm"),
    }
    for layer in (f"{SEEING}blocks.{n}" for n in range(2)):
        state |= norm(f"{layer}.norm1") | norm(f"{layer}.norm2")
        state |= linear(f"{layer}.attn.qkv", 3 * WIDTH, WIDTH)
        state |= linear(f"{layer}.attn.proj", WIDTH, WIDTH)
        state |= linear(f"{layer}.mlp.fc1", 32, WIDTH) | linear(f"{layer}.mlp.fc2", WIDTH, 32)
    for layer in (f"{TEXT}encoder.layer.{n}" for n in range(2)):
        for attention in ("attention", "crossattention"):
            for part in ("self.query", "self.key", "self.value", "output.dense"):
                state |= linear(f"{layer}.{attention}.{part}", WIDTH, WIDTH)
            state |= norm(f"{layer}.{attention}.output.LayerNorm")
        state |= linear(f"{layer}.intermediate.dense", 32, WIDTH)
        state |= linear(f"{layer}.output.dense", WIDTH, 32) | norm(f"{layer}.output.LayerNorm")
    layers = head((WIDTH, *SIZES[1:])).state_dict()
    return state | {f"{HEAD}{name}": value for name, value in layers.items()}


class Blip:
    """What ImageReward computes with such weights: a ViT, a BERT that attends to it, one head."""

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        self.state = state

    def linear(self, name: str, x: Tensor) -> Tensor:
        return x @ self.state[f"{name}.weight"].T + self.state[f"{name}.bias"]

    def norm(self, name: str, x: Tensor, eps: float) -> Tensor:
        x = (x - x.mean(-1, keepdim=True)) / torch.sqrt(x.var(-1, keepdim=True, correction=0) + eps)
        return x * self.state[f"{name}.weight"] + self.state[f"{name}.bias"]

    def attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
        """One head of all ``WIDTH`` numbers, as heads have 64."""
        weights = q @ k.T / WIDTH**0.5
        if mask is not None:
            weights = weights.masked_fill(mask[None] == 0, -math.inf)
        attended: Tensor = weights.softmax(-1) @ v
        return attended

    def see(self, pixels: Tensor) -> Tensor:
        weight, bias = (self.state[f"{SEEING}patch_embed.proj.{n}"] for n in ("weight", "bias"))
        patches = nn.functional.conv2d(pixels[None], weight, bias, stride=PATCH)
        x = torch.cat([self.state[f"{SEEING}cls_token"][0], patches[0].flatten(1).T])
        x = x + self.state[f"{SEEING}pos_embed"][0]
        for block in (f"{SEEING}blocks.{n}" for n in range(2)):
            q, k, v = self.linear(f"{block}.attn.qkv", self.norm(f"{block}.norm1", x, 1e-6)).chunk(
                3, dim=-1
            )
            x = x + self.linear(f"{block}.attn.proj", self.attend(q, k, v))
            wide = self.linear(f"{block}.mlp.fc1", self.norm(f"{block}.norm2", x, 1e-6))
            x = x + self.linear(f"{block}.mlp.fc2", nn.functional.gelu(wide))
        return self.norm(f"{SEEING}norm", x, 1e-6)

    def read(self, ids: list[int], mask: Tensor, seen: Tensor) -> Tensor:
        place = f"{TEXT}embeddings"
        x = self.state[f"{place}.word_embeddings.weight"][ids]
        x = x + self.state[f"{place}.position_embeddings.weight"][: len(ids)]
        x = self.norm(f"{place}.LayerNorm", x, 1e-12)
        for layer in (f"{TEXT}encoder.layer.{n}" for n in range(2)):
            for name, source, hidden in (("attention", None, mask), ("crossattention", seen, None)):
                own = f"{layer}.{name}"
                other = x if source is None else source
                q = self.linear(f"{own}.self.query", x)
                k, v = (self.linear(f"{own}.self.{part}", other) for part in ("key", "value"))
                out = self.linear(f"{own}.output.dense", self.attend(q, k, v, hidden))
                x = self.norm(f"{own}.output.LayerNorm", x + out, 1e-12)
            wide = nn.functional.gelu(self.linear(f"{layer}.intermediate.dense", x))
            x = self.norm(
                f"{layer}.output.LayerNorm", x + self.linear(f"{layer}.output.dense", wide), 1e-12
            )
        return x[0]

    def reward(self, pixels: Tensor, ids: list[int], mask: Tensor) -> float:
        x = self.read(ids, mask, self.see(pixels))
        for number in (0, 2, 4, 6, 7):
            x = self.linear(f"{HEAD}{number}", x)
        return (float(x) - 0.16717362830052426) / 1.0333394966054072


@pytest.fixture(scope="module")
def reward_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("imagereward")
    torch.save(random_blip(), folder / "ImageReward.pt")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "photo", "red", "kettle"]
    (folder / "vocab.txt").write_text("\n".join(words))
    return folder / "ImageReward.pt"


def test_imagereward_is_what_its_code_computes(reward_file: Path, picture: Image.Image) -> None:
    """The text padded to 35 tokens there, and not at all here."""
    ids = [2, 5, 7, 8, 3] + [0] * 30  # [CLS] a red kettle [SEP]
    mask = torch.tensor([1] * 5 + [0] * 30)
    expected = Blip(torch.load(reward_file)).reward(transform(SIDE)(picture), ids, mask)
    found = ImageReward(reward_file, "cpu").measure([picture], ["a red kettle"])
    assert found == [pytest.approx(expected, abs=1e-4)]


def test_imagereward_by_hand(reward_file: Path, picture: Image.Image) -> None:
    """The mean of what its head gave on the training set is 0, one spread above it 1."""
    found = ImageReward(reward_file, "cpu")
    for raw, score in ((0.16717362830052426, 0.0), (1.2005131249059314, 1.0), (0.0, -0.161780)):
        found.head = lambda x, raw=raw: raw  # type: ignore[assignment]
        assert found.measure([picture], ["a photo"]) == [pytest.approx(score, abs=1e-6)]


def test_imagereward_does_not_depend_on_company_case_or_what_is_cut(
    reward_file: Path, picture: Image.Image
) -> None:
    """Texts are in small letters, and end after 35 tokens."""
    found = ImageReward(reward_file, "cpu")
    other = Image.fromarray(255 - np.asarray(picture))
    texts = ["a red kettle", "A Red KETTLE", "kettle " * 33, "kettle " * 60]
    small, large, full, longer = (found.measure([picture], [text])[0] for text in texts)
    assert (small, full) == (large, longer)
    assert small != full
    assert found.measure([other, picture], ["a photo", texts[0]])[1] == small


# -- the aesthetic predictor ---------------------------------------------------------------------


def test_aesthetic_is_what_its_code_computes(
    clip_folder: Path, picture: Image.Image, tmp_path: Path
) -> None:
    """Its layers on CLIP's vector of unit length."""
    layers = head(SIZES)
    state = {f"layers.{name}": value for name, value in layers.state_dict().items()}
    torch.save(state, tmp_path / FILE)
    model = CLIPModel.from_pretrained(clip_folder).eval()
    with torch.no_grad():
        pixels = transform(VISION["image_size"])(picture)[None]
        vector = model.get_image_features(pixel_values=pixels).pooler_output.numpy()
        vector = vector / np.expand_dims(np.atleast_1d(np.linalg.norm(vector, 2, -1)), -1)
        expected = float(layers(torch.from_numpy(vector)))
    found = registry.instrument(
        "measure", f"aesthetic:{clip_folder}", lambda weights: tmp_path / weights.names[0]
    )
    assert found.measure([picture], [""]) == [pytest.approx(expected, abs=1e-5)]


def by_hand(*layers: tuple[Any, Any]) -> Linear:
    state = {}
    for number, (weight, bias) in zip((0, 2, 4, 6, 7), layers, strict=True):
        state[f"layers.{number}.weight"] = torch.tensor(weight, dtype=torch.float32)
        state[f"layers.{number}.bias"] = torch.tensor(bias, dtype=torch.float32)
    return Linear(state)


def test_aesthetic_by_hand(picture: Image.Image) -> None:
    """(3, 4) is (0.6, 0.8); 0.6 + 2 * 0.8 = 2.2; -2.2 + 1 = -1.2 stays below 0, as there is no
    activation; times 2, -2.4; plus 5, 2.6; times 10, 26."""
    layers = by_hand(([[1, 2]], [0]), ([[-1]], [1]), ([[2]], [0]), ([[1]], [5]), ([[10]], [0]))
    found = Aesthetic(Given((3, 4)), layers, "")
    assert found.measure([picture], [""]) == [pytest.approx(26, rel=1e-5)]


def test_aesthetic_is_one_linear_map_of_a_direction() -> None:
    """f(u) + f(-u) = 2 f(0) for every u, whatever is written on the image."""
    state = {f"layers.{name}": value for name, value in head(SIZES).state_dict().items()}
    f = Linear(state)
    for seed in range(5):
        u = np.random.default_rng(seed).normal(size=8)
        assert f(u) + f(-u) == pytest.approx(2 * f(np.zeros(8)), abs=1e-9)
    page, u = Image.new("RGB", (4, 4)), np.arange(1.0, 9.0)
    short, long = (Aesthetic(Given(length * u), f, "") for length in (1, 10))
    (one,) = short.measure([page], [""])
    assert long.measure([page], ["a text"]) == [pytest.approx(one, abs=1e-6)]
