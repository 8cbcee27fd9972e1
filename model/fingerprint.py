"""The fingerprint of weights. Imports nothing from Harmon, so that other models can use it too."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor


class Fingerprint:
    """SHA-256 over the names, shapes, dtypes and bytes of all tensors, added sorted by name."""

    def __init__(self) -> None:
        self.digest = hashlib.sha256()

    def add(self, name: str, tensor: Tensor) -> None:
        tensor = tensor.detach().contiguous().cpu()
        self.digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        self.digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)

    def text(self) -> str:
        return self.digest.hexdigest()


def hash_weights(weights: Mapping[str, Tensor]) -> str:
    """The fingerprint of tensors that are all there."""
    found = Fingerprint()
    for name in sorted(weights):
        found.add(name, weights[name])
    return found.text()
