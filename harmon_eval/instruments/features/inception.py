"""clean-fid's Inception v3, the feature network of FID and KID.

Its file is TorchScript, which is a program. So it is opened only if it has the digest of the
published file, or the digest that the user gives (``features=inception?sha256=DIGEST``)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from harmon_eval.core import UserError
from harmon_eval.instruments.weights import Weights, read_program, torchscript
from harmon_eval.metrics.fid_images import FeatureNet

INCEPTION_FILE = "inception-2015-12-05.pt"
# NVIDIA publishes no digest; k-diffusion and other tools check the file with this one.
PUBLISHED = "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4"
WEIGHTS = Weights(
    "clean-fid's Inception network",
    (INCEPTION_FILE,),
    "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/" + INCEPTION_FILE,
    PUBLISHED,
)
HINT = (
    ", or, if you made this file yourself, name it with --instrument "
    "features=inception?sha256=DIGEST"
)


@dataclass(frozen=True)
class Settings:
    """``sha256``: the digest of a different network file with the same structure."""

    sha256: str = PUBLISHED

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[0-9a-f]{64}", self.sha256):
            raise ValueError(f"sha256 {self.sha256}: give all 64 hexadecimal digits")


class InceptionFeatures:
    """clean-fid's Inception v3: the ``layers`` part of the TorchScript file, without its resize.

    The network is frozen, which folds BatchNorm into the preceding convolutions. On a CPU, the
    channels come last in memory. Both give the same features up to rounding (5e-6 of their standard
    deviation) and make it 1.6 times as fast.

    ``path`` is the file ``inception-2015-12-05.pt``, ``sha256`` its digest. ``device`` defaults to
    CUDA if available. Raises UserError if the file has a different digest (then it is not opened)
    or is not this network."""

    name = "inception"
    side = 299

    def __init__(self, path: Path, device: str | None = None, sha256: str = PUBLISHED) -> None:
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        program = read_program(path, sha256, "clean-fid's Inception network", HINT)
        try:
            # The layers stay in float32 as published, never autocast, whatever the caller does.
            with torchscript():
                network = torch.jit.load(program, map_location=self.device).eval()
                self.layers = torch.jit.freeze(network.layers)
        except (RuntimeError, AttributeError) as error:
            reason = str(error).strip().splitlines()[-1]
            raise UserError(f"{path} is not clean-fid's Inception network ({reason})") from error
        self.identity = f"{INCEPTION_FILE} sha256:{sha256[:16]}"

    @torch.inference_mode()
    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """(N, 3, 299, 299) float32 pixels in 0..255 -> (N, 2048) float32."""
        x = torch.from_numpy(pixels)
        if self.device.type != "cpu":
            x = x.to(self.device).contiguous()
            return self.layers((x - 128) / 128).flatten(1).float().cpu().numpy()
        x = x.contiguous(memory_format=torch.channels_last)
        return alike(self.layers, (x - 128) / 128).flatten(1).float().numpy()


def alike(net: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """``net(x)`` on a CPU, such that each row is bit-identical for every batch size.

    PyTorch uses a different kernel for small convolutions of one image, and on one thread for 1 x 1
    convolutions of fewer than 16 images (``use_mkldnn`` in ATen's Convolution.cpp). Such batches
    are padded, so that an image gets the same features alone as in a larger batch."""
    fewest = 2 if torch.get_num_threads() > 1 else 16
    lacking = max(0, fewest - len(x))
    # ``pad`` keeps the channels last, which ``cat`` with an expanded row does not.
    return net(nn.functional.pad(x, (0, 0, 0, 0, 0, 0, 0, lacking)) if lacking else x)[: len(x)]


def self_test(features: FeatureNet) -> None:
    """Refuse a network whose features of a photograph are not finite, equal those of its negative,
    or differ within one batch, as on a faulty device. Raises UserError."""
    from harmon_eval.instruments.mask2former.detector import known_photograph

    side = features.side
    photograph = Image.fromarray(known_photograph()).resize((side, side), Image.Resampling.BICUBIC)
    pixels = np.asarray(photograph, dtype=np.float32).transpose(2, 0, 1)
    seen, negative, again = features(np.stack([pixels, 255 - pixels, pixels]))
    fault = ""
    if not (np.isfinite(seen).all() and np.isfinite(negative).all()):
        fault = "its features of a photograph are not finite"
    elif np.allclose(seen, negative, rtol=1e-3):
        fault = "a photograph and its negative get the same features"
    elif not np.allclose(seen, again, rtol=1e-3, atol=1e-3 * float(np.abs(seen).max())):
        fault = "the same photograph gets different features in one batch"
    if fault:
        raise UserError(
            f"the feature network fails its self-test: {fault}; nothing is marked "
            f"({features.identity}). Try another driver or the CPU, or download the weights again"
        )


@lru_cache
def inception_features(
    path: Path, device: str | None = None, sha256: str = PUBLISHED
) -> InceptionFeatures:
    """``InceptionFeatures``, loaded and tested once."""
    features = InceptionFeatures(path, device, sha256)
    self_test(features)
    return features


def open_instrument(find: Callable[[Weights], Path], settings: Settings) -> InceptionFeatures:
    """Raises InstrumentMissing if the weights are missing, UserError if the file is a different one
    or the self-test fails."""
    return inception_features(find(WEIGHTS), sha256=settings.sha256)
