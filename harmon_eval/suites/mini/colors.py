"""The mini suite's colour namer: the palette colour nearest to an object's pixels."""

from __future__ import annotations

import numpy as np

from harmon_eval.suites.mini.scenes import COLORS


class ColorNamer:
    """Names the colour of each box from the median of the pixels under its mask."""

    identity = "palette-median-1"

    def __call__(
        self, image: np.ndarray, boxes: np.ndarray, masks: np.ndarray | None, class_name: str
    ) -> list[str]:
        """Image (H, W, 3) uint8, boxes (n, 4+), masks (n, H, W) or None -> n names."""
        names = list(COLORS)
        palette = np.array(list(COLORS.values()), dtype=np.float32)
        found = []
        for i, box in enumerate(boxes):
            x0, y0, x1, y1 = (round(float(value)) for value in box[:4])
            patch = image[y0:y1, x0:x1].astype(np.float32)
            if masks is not None:
                patch = patch[masks[i][y0:y1, x0:x1]]
            median = np.median(patch.reshape(-1, 3), axis=0)
            found.append(names[int(np.square(palette - median).sum(-1).argmin())])
        return found
