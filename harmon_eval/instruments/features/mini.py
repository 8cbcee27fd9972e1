"""The mini suite's feature network, small and bundled."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from harmon_eval.core import UserError
from harmon_eval.instruments.features.inception import alike
from harmon_eval.store.digests import sha256_of

MINI_WEIGHTS = Path(__file__).parents[2] / "suites" / "mini" / "features.safetensors"


class MiniNet(nn.Module):
    """Convolutions and a mean over positions: 64 x 64 pixels -> ``width`` features.

    The coordinates are added before the last two 1 x 1 convolutions, so that the features can
    encode both what is shown and where. The mean over positions combines the parts of a scene."""

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
    """The mini suite's feature network for 64 x 64 pixels.

    ``harmon_eval.suites.mini.train_features`` trained it. Raises UserError if the weights are
    missing or damaged."""

    name = "mini"
    side = 64

    def __init__(self, weights: Path = MINI_WEIGHTS) -> None:
        try:
            with safe_open(weights, "pt") as file:
                self.provenance: dict[str, str] = json.loads(file.metadata()["provenance"])
                names = file.keys()
                tensors = {name: file.get_tensor(name).float() for name in names}
            net = MiniNet(len(tensors["mix.2.bias"]))
            # BatchNorm's step counter is not a weight, so it is not stored.
            missing, unexpected = net.load_state_dict(tensors, strict=False)
            missing = [name for name in missing if not name.endswith("num_batches_tracked")]
        except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise UserError(f"{weights} is not the mini feature network ({error})") from error
        if missing or unexpected:
            raise UserError(f"{weights}: missing {missing}, unexpected {unexpected}")
        self.net = net.eval()
        self.identity = f"mini-features sha256:{sha256_of(weights)[:16]}"

    @torch.inference_mode()
    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """(N, 3, 64, 64) float32 pixels in 0..255 -> (N, 64) float32."""
        x = torch.from_numpy(np.ascontiguousarray(pixels))
        return alike(self.net, (x - 128) / 128).numpy()


@lru_cache
def open_instrument() -> MiniFeatures:
    """The bundled network, loaded once."""
    return MiniFeatures()
