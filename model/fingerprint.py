"""The fingerprint of weights. Imports nothing from Harmon, so that other models can use it too."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor


def hash_weights(weights: Mapping[str, Tensor]) -> str:
    """SHA-256 over the names, shapes, dtypes and bytes of all tensors, sorted by name."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name].detach().contiguous().cpu()
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        digest.update(
            tensor.view(torch.uint8).numpy().tobytes()
            if tensor.ndim
            else tensor.reshape(1).view(torch.uint8).numpy().tobytes()
        )
    return digest.hexdigest()
