"""A judge of edits by fixed rules: what was to change did, and what was not to change did not.

It reads the instruction and both images with the mini suite's detector and colour namer, and knows
nothing else of the scenes. Places are centres of boxes and distances are in pixels of a 64 x 64
image; ``harmon_eval.suites.mini.edits`` makes the world that it can judge.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from harmon_eval.suites.mini.colors import ColorNamer
from harmon_eval.suites.mini.detector import ShapeDetector, background_color
from harmon_eval.suites.mini.edits import quadrant
from harmon_eval.suites.mini.instructions import Demand, Named, read
from harmon_eval.suites.mini.scenes import SIDE

IDENTITY = f"edit-rules-1 {ShapeDetector.identity} {ColorNamer.identity}"
COUNTS, CLEAR = 0.3, 0.9  # detector scores: what counts as an object, and a clear one
SAME_PLACE = 3.0  # pixels between centres
SAME_AREA = (0.6, 1.5)
RESIZED = 1.35  # least ratio of areas, either way
GROWN = 3  # pixels around objects that do not count as background
BACKGROUND_MAE = 6.0  # levels, mean over the background
BACKGROUND_COLOR = 10.0  # levels in each channel
RETONED = 14.0  # least change of the background's mean level
SAME_TINT = 12.0  # largest difference between the changes of two channels


class NotJudged(ValueError):
    """The rules cannot tell: unknown words, or an object that the source does not show."""


@dataclass(frozen=True)
class Found:
    """An object in an image: (colour, shape), centre, mask (H, W) bool and detector's score."""

    kind: Named
    x: float
    y: float
    mask: np.ndarray
    score: float

    @property
    def area(self) -> float:
        return float(self.mask.sum())

    def at(self, other: Found) -> bool:
        return bool(np.hypot(self.x - other.x, self.y - other.y) <= SAME_PLACE)

    def as_large(self, other: Found) -> bool:
        low, high = SAME_AREA
        return low <= self.area / other.area <= high

    def same(self, other: Found) -> bool:
        return self.kind == other.kind and self.at(other) and self.as_large(other)


@dataclass(frozen=True)
class EditVerdict:
    """Which demanded facts hold, and which of those to be kept.

    ``background_mae`` is the mean absolute difference in levels, and ``psnr_kept`` the PSNR in dB
    (infinite for equal pixels), over the pixels outside all objects of both images. ``resized``
    says that the result had another size and was brought to the source's. ``unclear`` counts
    objects of a doubtful shape and ``smudges`` regions that are no shape, both in the result."""

    demanded: tuple[bool, ...]
    kept: tuple[bool, ...]
    background_mae: float
    psnr_kept: float
    resized: bool
    unclear: int
    smudges: int

    @property
    def followed(self) -> bool:
        return all(self.demanded)

    @property
    def preserved(self) -> bool:
        return all(self.kept)

    @property
    def passed(self) -> bool:
        return self.followed and self.preserved

    @property
    def semantic(self) -> tuple[float, float]:
        """Success of the edit and faithfulness to the source, each from 0 to 10 (VIEScore's SC)."""
        return _share(self.demanded, 10.0), _share(self.kept, 10.0)

    @property
    def perceptual(self) -> float:
        """10, less 2 for each unclear object and 3 for each region of no shape, at least 0."""
        return max(0.0, 10.0 - 2.0 * self.unclear - 3.0 * self.smudges)

    @property
    def scores(self) -> tuple[int, int, int]:
        """Compliance, faithfulness and quality from 1 to 5, the last two not above the first (as
        ImgEdit asks its judge to mark)."""
        first = round(1 + _share(self.demanded, 4.0))
        second = round(1 + _share(self.kept, 4.0))
        third = max(1, round(self.perceptual / 2))
        return first, min(first, second), min(first, third)


def _share(facts: Sequence[bool], of: float) -> float:
    return of * sum(facts) / len(facts)


def judge_edit(source: np.ndarray, result: np.ndarray, instruction: str) -> EditVerdict:
    """Judge the result (H, W, 3) uint8 of editing the source (H, W, 3) uint8.

    Sizes may differ: both are judged at 64 x 64. Raises NotJudged for an instruction it cannot read
    and for one about an object that the source does not show."""
    demands = read(instruction)
    if not demands:
        raise NotJudged(f"not one of the mini suite's instructions: {instruction[:100]!r}")
    resized = source.shape != result.shape
    source, result = _at_side(source), _at_side(result)
    before, after = see(source), see(result)
    seen = [found for found in before if found.score > COUNTS]
    drawn = [found for found in after if found.score > COUNTS]
    change = _Change(source, result, seen, drawn)
    named = [found for found in seen if any(found.kind == d.old for d in demands)]
    for demand in demands:
        if demand.old and not any(found.kind == demand.old for found in named):
            raise NotJudged(f"the source shows no {' '.join(demand.old)}: {instruction[:100]!r}")
    bystanders, left = _match([found for found in seen if found not in named], drawn)
    demanded: list[bool] = []
    kept: list[bool] = list(bystanders)
    explained: list[Found] = []
    for demand in demands:
        targets = [found for found in named if found.kind == demand.old]
        facts, keeps, wanted = _fulfilled(demand, targets, left, change)
        demanded += facts
        kept += keeps
        explained += wanted
    explained += [found for found in left if any(found.same(old) for old in named)]
    smudges = len(after) - len(drawn)
    kept.append(all(found in explained for found in left) and not smudges)
    kept.append(change.kept_background(any(d.action == "background" for d in demands)))
    return EditVerdict(
        tuple(demanded),
        tuple(kept),
        change.mae,
        change.psnr,
        resized,
        sum(found.score < CLEAR for found in drawn),
        smudges,
    )


def see(image: np.ndarray) -> list[Found]:
    """All regions of an image (64, 64, 3) uint8 that differ from its background."""
    namer, found = ColorNamer(), []
    for shape, (boxes, masks) in ShapeDetector()([image])[0].items():
        colors = namer(image, boxes, masks, shape)
        for (x0, y0, x1, y1, score), mask, color in zip(boxes.tolist(), masks, colors, strict=True):
            found.append(Found((color, shape), (x0 + x1) / 2, (y0 + y1) / 2, mask, score))
    return found


def _at_side(image: np.ndarray) -> np.ndarray:
    """The image at 64 x 64: every n-th pixel of a whole multiple, else means over areas."""
    if image.shape[:2] == (SIDE, SIDE):
        return image
    height, width = image.shape[:2]
    whole = height % SIDE == 0 and width % SIDE == 0
    how = Image.Resampling.NEAREST if whole else Image.Resampling.BOX
    return np.asarray(Image.fromarray(image).resize((SIDE, SIDE), how))


def _match(old: Sequence[Found], new: Sequence[Found]) -> tuple[list[bool], list[Found]]:
    """Which old objects have a new one that is the same (the nearest, one to one); what is left."""
    left, kept = list(new), []
    for before in old:
        same = [found for found in left if found.same(before)]
        kept.append(bool(same))
        if same:
            left.remove(min(same, key=lambda f: float(np.hypot(f.x - before.x, f.y - before.y))))
    return kept, left


def background_change(
    source: np.ndarray, result: np.ndarray, seen: Sequence[Found], drawn: Sequence[Found]
) -> float:
    """Mean absolute difference in levels outside all objects of both images (H, W, 3) uint8."""
    return _Change(source, result, seen, drawn).mae


class _Change:
    """What happened to the background between two images, outside all objects of both."""

    def __init__(
        self, source: np.ndarray, result: np.ndarray, seen: Sequence[Found], drawn: Sequence[Found]
    ) -> None:
        from scipy import ndimage

        objects = np.zeros(source.shape[:2], dtype=bool)
        for found in (*seen, *drawn):
            objects |= found.mask
        outside = ~ndimage.binary_dilation(objects, np.ones((3, 3), bool), iterations=GROWN)
        difference = result[outside].astype(np.float64) - source[outside]
        square = float(np.square(difference).mean()) if difference.size else 0.0
        self.mae = float(np.abs(difference).mean()) if difference.size else 0.0
        self.psnr = 10 * float(np.log10(255.0**2 / square)) if square else float("inf")
        self.colors = background_color(result.astype(np.float32)) - background_color(
            source.astype(np.float32)
        )

    def lighter(self) -> float:
        return float(self.colors.mean())

    def kept_background(self, retoned: bool) -> bool:
        """Where the tone is to change, the tint stays; else every pixel does."""
        if retoned:
            return bool(np.ptp(self.colors) <= SAME_TINT)
        return self.mae <= BACKGROUND_MAE and bool(np.abs(self.colors).max() <= BACKGROUND_COLOR)


def _fulfilled(
    demand: Demand, targets: Sequence[Found], left: Sequence[Found], change: _Change
) -> tuple[list[bool], list[bool], list[Found]]:
    """Facts demanded, facts to keep about what was named, and the result's objects that the demand
    accounts for. ``left`` is what no bystander took."""
    if demand.action == "background":
        return [change.lighter() * (1 if demand.up else -1) >= RETONED], [], []
    if demand.action == "add":
        there = list(_in_corner(left, demand.new, demand.corner))
        return [bool(there)], [], there[:1]
    (target, *_) = targets
    same_kind = [found for found in left if found.kind == demand.old]
    if demand.action == "number":
        keeps = sum(any(found.at(old) for found in same_kind) for old in targets)
        enough = keeps >= min(len(targets), demand.count or 0)
        return [len(same_kind) == demand.count], [enough], same_kind
    if demand.action == "remove":
        return [not same_kind], [], []
    stayed = any(found.at(target) for found in same_kind)
    if demand.action == "resize":
        least = RESIZED if demand.up else 1 / RESIZED
        done = [
            found
            for found in same_kind
            if found.at(target) and (found.area / target.area >= least) == demand.up
        ]
        return [bool(done)], [], done
    if demand.action == "move":
        there = [f for f in _in_corner(left, demand.old, demand.corner) if not f.at(target)]
    else:
        there = [found for found in left if found.kind == demand.new and found.at(target)]
    # A copy fulfils nothing: that the old one is gone counts only as a second fact.
    sized = demand.action == "move" or (demand.new or ("", ""))[1] == target.kind[1]
    keeps_size = all(found.as_large(target) for found in there[:1]) if sized else True
    return [bool(there), not stayed], [keeps_size] if sized else [], there[:1]


def _in_corner(found: Sequence[Found], kind: Named | None, corner: int | None) -> Iterator[Found]:
    return (f for f in found if f.kind == kind and quadrant(f.x, f.y) == corner)
