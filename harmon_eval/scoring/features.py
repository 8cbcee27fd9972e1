"""Feature networks for FID and KID: clean-fid's Inception, and the mini suite's small one."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from platformdirs import user_cache_path
from safetensors import SafetensorError, safe_open
from torch import nn

from harmon_eval.core import InstrumentMissing, UserError

MINI_WEIGHTS = Path(__file__).with_name("mini_features.safetensors")
INCEPTION_FILE = "inception-2015-12-05.pt"
INCEPTION_URL = (
    "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/" + INCEPTION_FILE
)
# Of the file that StyleGAN2-ADA, clean-fid and torch-fidelity's users download.
INCEPTION_WIDTH = 2048


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class MiniNet(nn.Module):
    """Four convolutions and a mean over places: 64 x 64 pixels -> ``width`` features.

    A last 1 x 1 convolution before the mean makes the features counts of parts ("how much red
    ring"), which is what a set statistic of simple scenes should see."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        sizes = (3, 24, 48, 96, 128)
        layers: list[nn.Module] = []
        for i, (before, after) in enumerate(zip(sizes, sizes[1:], strict=False)):
            stride = 2 if i < 3 else 1
            layers += [nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after)]
            layers += [nn.SiLU()]
        self.body = nn.Sequential(*layers, nn.Conv2d(sizes[-1], width, 1), nn.SiLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # (B, 3, 64, 64) in [-1, 1]
        return self.body(x).mean(dim=(2, 3))  # (B, width)
