"""Feature networks for FID and KID: clean-fid's Inception, and the mini suite's small one."""

from __future__ import annotations

import json
import tempfile
import warnings
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from torch import nn

from harmon_eval.core import InstrumentMissing, UserError
from harmon_eval.files.cache import cache_folder
from harmon_eval.store.digests import sha256_of

MINI_WEIGHTS = Path(__file__).parents[1] / "suites" / "mini" / "features.safetensors"
INCEPTION_FILE = "inception-2015-12-05.pt"
INCEPTION_URL = (
    "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/" + INCEPTION_FILE
)


class MiniNet(nn.Module):
    """Convolutions and a mean over places: 64 x 64 pixels -> ``width`` features.

    The coordinates join before the last two 1 x 1 convolutions, so that the features can say what
    is shown and also where; their mean over places adds up the parts of a scene."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after, stride in ((3, 24, 2), (24, 48, 2), (48, 96, 2), (96, 128, 1)):
            layers += [nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after)]
            layers += [nn.SiLU()]
        self.body = nn.Sequential(*layers)
        self.mix = nn.Sequential(nn.Conv2d(130, 128, 1), nn.SiLU(), nn.Conv2d(128, width, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # (B, 3, H, W) in [-1, 1]
        x = self.body(x)  # (B, 128, h, w)
        b, _, h, w = x.shape
        across = torch.linspace(-1, 1, w, device=x.device).expand(b, 1, h, w)
        down = torch.linspace(-1, 1, h, device=x.device)[:, None].expand(b, 1, h, w)
        return self.mix(torch.cat([x, across, down], dim=1)).mean(dim=(2, 3))  # (B, width)


class MiniFeatures:
    """The mini suite's feature network, trained by ``train_mini_features``; 64 x 64 pixels.

    Raises UserError where the weights are missing or damaged."""

    name = "mini"
    side = 64

    def __init__(self, weights: Path = MINI_WEIGHTS) -> None:
        try:
            with safe_open(weights, "pt") as file:
                self.provenance: dict[str, str] = json.loads(file.metadata()["provenance"])
                names = file.keys()
                tensors = {name: file.get_tensor(name).float() for name in names}
            net = MiniNet(len(tensors["mix.2.bias"]))
            # BatchNorm's counter of steps is no weight and is not stored.
            missing, unexpected = net.load_state_dict(tensors, strict=False)
            missing = [name for name in missing if not name.endswith("num_batches_tracked")]
        except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise UserError(f"{weights} holds no mini feature network ({error})") from error
        if missing or unexpected:
            raise UserError(f"{weights}: missing {missing}, unexpected {unexpected}")
        self.net = net.eval()
        self.identity = f"mini-features sha256:{sha256_of(weights)[:16]}"

    @torch.inference_mode()
    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """(N, 3, 64, 64) float32 pixels in 0..255 -> (N, 64) float32."""
        x = torch.from_numpy(np.ascontiguousarray(pixels))
        return _alike(self.net, (x - 128) / 128).numpy()


class InceptionFeatures:
    """clean-fid's Inception v3: the TorchScript file's ``layers`` part, without its own resize.

    Frozen, which folds BatchNorm into the convolutions before it, and on a CPU with the channels
    last in memory: the same features to rounding (5e-6 of their deviation), 1.6 times as fast.

    Looks for ``inception-2015-12-05.pt`` at ``weights`` (file or folder) if given, else in the
    cache folder and where clean-fid keeps it (the temporary folder). Nothing is downloaded.
    ``device`` defaults to CUDA where there is one. Raises InstrumentMissing where the file is not
    there, UserError where it is no such network."""

    name = "inception"
    side = 299

    def __init__(self, weights: Path | None = None, device: str | None = None) -> None:
        path = _find_inception(weights)
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        try:
            # The layers, in float32 as published; never autocast, whatever the caller does.
            with warnings.catch_warnings():
                # Nothing else than TorchScript can read the published file.
                warnings.filterwarnings("ignore", r"`torch\.jit\.\w+` is deprecated")
                network = torch.jit.load(str(path), map_location=self.device).eval()
                self.layers = torch.jit.freeze(network.layers)
        except (RuntimeError, AttributeError) as error:
            reason = str(error).strip().splitlines()[-1]
            raise UserError(f"{path} is not clean-fid's Inception network ({reason})") from error
        self.identity = f"{INCEPTION_FILE} sha256:{sha256_of(path)[:16]}"

    @torch.inference_mode()
    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """(N, 3, 299, 299) float32 pixels in 0..255 -> (N, 2048) float32."""
        x = torch.from_numpy(pixels)
        if self.device.type != "cpu":
            x = x.to(self.device).contiguous()
            return self.layers((x - 128) / 128).flatten(1).float().cpu().numpy()
        x = x.contiguous(memory_format=torch.channels_last)
        return _alike(self.layers, (x - 128) / 128).flatten(1).float().numpy()


def _alike(net: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """``net(x)`` on a CPU, with each row the same to the last bit however few there are.

    PyTorch has another kernel for small convolutions of one image, and on one thread for 1 x 1
    convolutions of fewer than 16 (``use_mkldnn`` in ATen's Convolution.cpp): such batches are
    filled up, so that an image that is marked alone gets the features it gets among others."""
    fewest = 2 if torch.get_num_threads() > 1 else 16
    lacking = max(0, fewest - len(x))
    # ``pad`` keeps the channels last, which ``cat`` with an expanded row does not.
    return net(nn.functional.pad(x, (0, 0, 0, 0, 0, 0, 0, lacking)) if lacking else x)[: len(x)]


@lru_cache
def mini_features() -> MiniFeatures:
    """The bundled network, loaded once."""
    return MiniFeatures()


@lru_cache
def inception_features(weights: Path | None = None, device: str | None = None) -> InceptionFeatures:
    """``InceptionFeatures``, loaded once."""
    return InceptionFeatures(weights, device)


def self_test(features: InceptionFeatures) -> None:
    """Refuse a network whose features of a photograph are no numbers, do not tell it from its
    negative, or differ within one batch, as on a faulty device. Raises UserError."""
    from harmon_eval.instruments.mask2former.detector import known_photograph

    side = features.side
    photograph = Image.fromarray(known_photograph()).resize((side, side), Image.Resampling.BICUBIC)
    pixels = np.asarray(photograph, dtype=np.float32).transpose(2, 0, 1)
    seen, negative, again = features(np.stack([pixels, 255 - pixels, pixels]))
    fault = ""
    if not (np.isfinite(seen).all() and np.isfinite(negative).all()):
        fault = "its features of a photograph are no numbers"
    elif np.allclose(seen, negative, rtol=1e-3):
        fault = "it does not tell a photograph from its negative"
    elif not np.allclose(seen, again, rtol=1e-3, atol=1e-3 * float(np.abs(seen).max())):
        fault = "one photograph has two features in one batch"
    if fault:
        raise UserError(
            f"the feature network fails its self-test: {fault}; nothing is marked "
            f"({features.identity}). Try another driver or the CPU, or get the weights again"
        )


def _find_inception(weights: Path | None) -> Path:
    if weights is not None:
        places = [weights / INCEPTION_FILE if weights.is_dir() else weights]
    else:
        folders = [cache_folder(), Path(tempfile.gettempdir()), Path("/tmp")]
        places = [folder / INCEPTION_FILE for folder in folders]
    for place in places:
        if place.is_file():
            return place
    raise InstrumentMissing(
        f"FID needs clean-fid's Inception network: put {INCEPTION_FILE} (from {INCEPTION_URL}) "
        f"at {places[0]}, then `python -m harmon_eval mark RUN` goes on from the stored images"
    )
