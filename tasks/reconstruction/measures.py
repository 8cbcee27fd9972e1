"""How alike two pictures are: PSNR, SSIM and, where its weights are at hand, LPIPS."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from harmon_eval.core import Row
from harmon_eval.metrics.fid_images import read_image
from harmon_eval.store.digests import sha256_of

if TYPE_CHECKING:
    from torch import Tensor

MOST = 100.0  # dB of equal pictures, whose PSNR is infinite
SMALLEST = 11  # pixels of SSIM's window
# What torchvision fetches for LPIPS; nothing is fetched here.
ALEXNET = "alexnet-owt-7be5be79.pth"


class Lpips:
    """LPIPS with AlexNet (Zhang et al. 2018, arXiv 1801.03924) from torch.hub's folder.

    Without the weights there, it gives no numbers, and ``identity`` says so."""

    def __init__(self) -> None:
        import torch

        place = Path(torch.hub.get_dir()) / "checkpoints" / ALEXNET
        self.there = place.is_file()
        self.identity = f"alex {sha256_of(place)[:12]}" if self.there else f"no {ALEXNET}"

    def __call__(self, pair: tuple[Tensor, Tensor]) -> Row:
        """Of two pictures (1, 3, H, W) from 0 to 1."""
        if not self.there or min(pair[0].shape[-2:]) < 64:  # AlexNet's pooling needs as many
            return {}
        import torch
        from torchmetrics.functional import image as measures

        with torch.inference_mode():
            made, given = (image.float() for image in pair)
            return {
                "lpips": float(
                    measures.learned_perceptual_image_patch_similarity(
                        made, given, "alex", normalize=True
                    )
                )
            }


def tensors(source: Path, result: Path) -> tuple[Tensor, Tensor]:
    """Result and source (1, 3, H, W) float64 from 0 to 1, both of the result's size: of the source
    the largest part of the result's shape around its centre, resized by the bicubic filter.

    Raises Unscorable for what is no picture."""
    made = Image.fromarray(read_image(result))
    given = Image.fromarray(read_image(source))
    width = min(given.width, max(1, given.height * made.width // made.height))
    height = min(given.height, max(1, given.width * made.height // made.width))
    left, top = (given.width - width) // 2, (given.height - height) // 2
    given = given.crop((left, top, left + width, top + height))
    if given.size != made.size:
        given = given.resize(made.size, Image.Resampling.BICUBIC)
    return _tensor(made), _tensor(given)


def _tensor(image: Image.Image) -> Tensor:
    import torch

    flat = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    return (
        flat.view(1, image.height, image.width, 3).permute(0, 3, 1, 2).contiguous().double() / 255
    )


def alike(pair: tuple[Tensor, Tensor]) -> Row:
    """``psnr`` in dB, at most 100, and ``ssim`` of two pictures (1, 3, H, W) from 0 to 1."""
    from torchmetrics.functional import image as measures

    psnr = float(measures.peak_signal_noise_ratio(*pair, data_range=1.0))
    if min(pair[0].shape[-2:]) < SMALLEST:
        return {"unscored": f"a picture with a side below {SMALLEST} pixels has no SSIM"}
    ssim = measures.structural_similarity_index_measure(*pair, data_range=1.0)
    assert not isinstance(ssim, tuple)  # more only if more is asked for
    return {"psnr": min(MOST, psnr), "ssim": float(ssim)}
