"""PIE-Bench's masks and its measures of what was not to be edited.

Protocol: cure-lab/PnPInversion @ 07f97f4. Both images are made black where the mask is 1 (edited),
then compared over all pixels, black ones too: a larger mask makes the images more alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image

from harmon_eval.core import Row, UserError


def decode_mask(runs: Sequence[int], size: tuple[int, int]) -> np.ndarray:
    """(H, W) bool of [start, length, ...] over the flattened image, clipped at its end.

    A frame of one pixel counts as edited, as in the original. Raises UserError for runs that are
    no pairs of numbers from 0."""
    flat = np.zeros(size[0] * size[1], dtype=bool)
    if len(runs) % 2 or any(not isinstance(n, int) or n < 0 for n in runs):
        raise UserError("a mask must be pairs of start and length, whole numbers from 0")
    for start, length in zip(runs[::2], runs[1::2], strict=True):
        flat[start : start + length] = True
    mask = flat.reshape(size)
    mask[[0, -1], :] = mask[:, [0, -1]] = True
    return mask


def encode_mask(mask: np.ndarray) -> list[int]:
    """[start, length, ...] of a mask (H, W) bool."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.ravel().astype(np.int8), [0]])))
    runs = ((int(a), int(b - a)) for a, b in zip(edges[::2], edges[1::2], strict=True))
    return [number for run in runs for number in run]


def fitted(result: Image.Image, size: tuple[int, int]) -> Image.Image:
    """A result at the source's size (width, height): of a strip of several images the last one, as
    in the original; any other size is resized by the bicubic filter."""
    width, height = size
    if result.size != size and result.width != result.height and result.height == height:
        return result.crop((result.width - width, 0, result.width, height))
    return result if result.size == size else result.resize(size, Image.Resampling.BICUBIC)


def measures(source: np.ndarray, result: np.ndarray, mask: np.ndarray) -> Row:
    """MSE, PSNR (dB, infinite for equal pixels) and SSIM of two images (H, W, 3) uint8 outside the
    mask (H, W), as the original; and the PSNR over the kept pixels only."""
    import torch
    from torchmetrics.functional.image import structural_similarity_index_measure as ssim

    kept = ~mask[..., None]
    pair = [np.where(kept, image, 0).astype(np.float64) / 255 for image in (source, result)]
    mse = float(np.square(pair[0] - pair[1]).mean(dtype=np.float64))
    tensors = [torch.from_numpy(image).permute(2, 0, 1)[None] for image in pair]
    share = float(kept.mean())
    return {
        "mse": mse,
        "psnr": _psnr(mse),
        "ssim": float(torch.as_tensor(ssim(tensors[1], tensors[0], data_range=1.0))),
        "psnr_kept": _psnr(mse / share) if share else math.nan,
    }


def _psnr(mse: float) -> float:
    return 10 * math.log10(1 / mse) if mse else math.inf
