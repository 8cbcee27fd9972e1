"""How alike two pictures are: PSNR and SSIM of a result and its source at one size."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from harmon_eval.core import Row
from harmon_eval.metrics.fid_images import read_image

if TYPE_CHECKING:
    from torch import Tensor

MOST = 100.0  # dB of equal pictures, whose PSNR is infinite
SMALLEST = 11  # pixels of SSIM's window


def fitted(source: Path, result: Path) -> tuple[Image.Image, Image.Image]:
    """Result and source in RGB, both of the result's size: of the source the largest part of the
    result's shape around its centre, resized by the bicubic filter.

    Raises Unscorable for what is no picture."""
    made = Image.fromarray(read_image(result))
    given = Image.fromarray(read_image(source))
    width = min(given.width, max(1, given.height * made.width // made.height))
    height = min(given.height, max(1, given.width * made.height // made.width))
    left, top = (given.width - width) // 2, (given.height - height) // 2
    given = given.crop((left, top, left + width, top + height))
    if given.size != made.size:
        given = given.resize(made.size, Image.Resampling.BICUBIC)
    return made, given


def _tensor(image: Image.Image) -> Tensor:
    import torch

    flat = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    return (
        flat.view(1, image.height, image.width, 3).permute(0, 3, 1, 2).contiguous().double() / 255
    )


def alike(images: tuple[Image.Image, Image.Image]) -> Row:
    """``psnr`` in dB, at most 100, and ``ssim`` of two RGB pictures of one size."""
    from torchmetrics.functional import image as measures

    pair = _tensor(images[0]), _tensor(images[1])
    psnr = float(measures.peak_signal_noise_ratio(*pair, data_range=1.0))
    if min(pair[0].shape[-2:]) < SMALLEST:
        return {"unscored": f"a picture with a side below {SMALLEST} pixels has no SSIM"}
    ssim = measures.structural_similarity_index_measure(*pair, data_range=1.0)
    assert not isinstance(ssim, tuple)  # more only if more is asked for
    return {"psnr": min(MOST, psnr), "ssim": float(ssim)}
