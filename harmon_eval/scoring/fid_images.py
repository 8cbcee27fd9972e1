"""From image files or arrays to what a feature network sees, by the protocol asked for.

A protocol is a function (image (H, W, 3) uint8, side) -> (side, side, 3) float32 in 0..255:

- ``playground``: clean-fid's ``clean`` mode (Parmar et al. 2022, arXiv 2104.11222), each channel
  as a float image, antialiased bicubic, clipped, never rounded. The default of the MJHQ-30K card.
- ``gigagan256``: centre crop, Lanczos to 256 in 8 bit, then as above (so enlarged to 299).
- ``pytorch-fid``: bilinear without antialiasing, and input 2x/255 - 1 instead of (x - 128)/128.

Numbers of different protocols are not comparable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import batched
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from harmon_eval.core import UserError
from harmon_eval.scoring.frechet import FrechetStatistics

