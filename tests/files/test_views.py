"""MAE's random crops and ADM's centre crop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from harmon_eval.core import Embed, Unscorable
from harmon_eval.files.images import viewed
from harmon_eval.files.views import centre_crop, crop_box, random_view

SIDES = st.integers(1, 400)


@given(SIDES, SIDES, st.integers(0, 2**32))
def test_a_crop_lies_inside_the_image_and_is_never_empty(
    width: Any, height: Any, seed: Any
) -> None:
    left, top, right, bottom = crop_box(width, height, np.random.default_rng(seed))
    assert 0 <= left < right <= width and 0 <= top < bottom <= height


def test_of_a_large_square_areas_and_ratios_are_maes() -> None:
    """Area uniform from 8 to 100 %, log ratio uniform within 3/4 and 4/3, sides clipped."""
    rng = np.random.default_rng(0)
    boxes = np.array([crop_box(1000, 1000, rng) for _ in range(4000)], float)
    wide, high = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    area, ratio = wide * high / 1e6, wide / high
    assert area.min() == pytest.approx(0.08, abs=0.01)
    assert np.median(area) == pytest.approx(0.54, abs=0.02)
    assert (ratio.min(), ratio.max()) == pytest.approx((3 / 4, 4 / 3), abs=0.01)
    assert np.mean(np.log(ratio)) == pytest.approx(0, abs=0.01)
    free = wide < 1000
    assert np.mean(boxes[free, 0] / (1000 - wide[free])) == pytest.approx(0.5, abs=0.03)


def test_a_view_depends_on_name_and_number_only_and_half_are_flipped(tmp_path: Path) -> None:
    """Red to the left and blue to the right: a flip changes sides."""
    image = Image.new("RGB", (80, 60), "red")
    image.paste("blue", (40, 0, 80, 60))
    image.save(tmp_path / "a.png")
    views = [viewed(Embed(tmp_path / "a.png", view)) for view in range(1, 60)]
    assert views[0].tobytes() == random_view(image, "a.png", 1).tobytes()
    assert all(view.width == view.height for view in views)
    assert len({view.tobytes() for view in views}) > 30
    both = [v for v in views if len({v.getpixel((0, 0)), v.getpixel((v.width - 1, 0))}) == 2]
    turned = sum(view.getpixel((0, 0))[2] > 128 for view in both)
    assert 0.2 < turned / len(both) < 0.8
    assert viewed(Embed(tmp_path / "a.png")).tobytes() == image.tobytes()


def test_the_centre_crop_leaves_a_square_of_the_size_as_it_is() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert np.array_equal(np.asarray(centre_crop(Image.fromarray(pixels), 64)), pixels)


def test_the_centre_crop_halves_by_mean_and_takes_the_middle() -> None:
    """A wide picture of three squares: the middle one; four pixels become their mean."""
    wide = Image.new("L", (24, 8), 0)
    wide.paste(Image.fromarray(np.tile(np.uint8([[0, 100], [100, 200]]), (4, 4))), (8, 0))
    found = np.asarray(centre_crop(wide, 4))
    assert found.shape == (4, 4, 3) and (found == 100).all()


def test_what_is_no_picture_has_no_view(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(Unscorable, match="cannot be read"):
        viewed(Embed(tmp_path / "a.png", 1))
