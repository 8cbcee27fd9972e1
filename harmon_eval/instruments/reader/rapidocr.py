"""RapidOCR's PP-OCRv6: ``reader=rapidocr``, whose weights its own wheel holds.

Source: RapidAI/RapidOCR 3.10 (Apache-2.0), with PaddleOCR's PP-OCRv6 small detector and recogniser
(Apache-2.0). It reads Latin letters with their accents, digits and Chinese, and keeps spaces. The
package ``rapidocr-onnxruntime`` holds older weights that lose spaces: it is another reader.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from harmon_eval.core import InstrumentMissing, Unscorable, UserError
from harmon_eval.files.images import read_rgb
from harmon_eval.store.digests import sha256_of

PARTS = {
    "Det": "PP-OCRv6_det_small.onnx",
    "Rec": "PP-OCRv6_rec_small.onnx",
    "Cls": "ch_ppocr_mobile_v2.0_cls_mobile.onnx",
}
TESTED = "Unified 42"


class RapidOcr:
    """Reads one image at a time; RapidOCR's own thresholds hold. Raises InstrumentMissing without
    the packages, or where they hold other weights."""

    name = "rapidocr-PP-OCRv6-small"

    def __init__(self) -> None:
        try:
            import onnxruntime
            import rapidocr
        except ImportError as error:
            raise InstrumentMissing(
                f"reader=rapidocr needs the package {error.name!r}: pip install 'harmon-eval[ocr]'"
            ) from None
        folder = Path(rapidocr.__file__).parent / "models"
        digests = []
        for file in PARTS.values():
            if not (folder / file).is_file():
                raise InstrumentMissing(
                    f"rapidocr {version('rapidocr')} does not hold {file}: pip install "
                    "'rapidocr>=3.10'"
                )
            digests.append(sha256_of(folder / file)[:16])
        self.identity = (
            f"{self.name} {' '.join(digests)} rapidocr {version('rapidocr')} "
            f"onnxruntime {onnxruntime.__version__}"
        )
        # With its paths given, it never looks for weights elsewhere.
        paths: dict[str, Any] = {f"{p}.model_path": str(folder / f) for p, f in PARTS.items()}
        self._engine: Any = rapidocr.RapidOCR(params={"Global.log_level": "critical", **paths})

    def read(self, files: Sequence[Path]) -> list[str | Unscorable]:
        """The text of each image. Unscorable for what is no picture."""
        found: list[str | Unscorable] = []
        for file in files:
            try:
                found.append(self.text(read_rgb(file)))
            except Unscorable as error:
                found.append(error)
        return found

    def text(self, image: np.ndarray) -> str:
        """The text of an image (H, W, 3) uint8, RGB."""
        lines = self._engine(np.ascontiguousarray(image[:, :, ::-1])).txts  # it takes BGR
        return "\n".join(lines or ())


def self_test(reader: RapidOcr) -> None:
    """Refuses a reader that does not read a line that Pillow wrote. Raises UserError."""
    page = Image.new("RGB", (256, 256), "white")
    ImageDraw.Draw(page).text((16, 16), TESTED, "black", ImageFont.load_default(24))
    if (found := reader.text(np.asarray(page))) != TESTED:
        raise UserError(
            f"{reader.name} fails its self-test: it reads {TESTED!r} as {found!r}; nothing is "
            "marked. Install rapidocr and onnxruntime again"
        )


def open_instrument() -> RapidOcr:
    reader = RapidOcr()
    self_test(reader)
    return reader
