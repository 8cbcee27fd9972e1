"""FID of images and references that share prompts: interval, limit at infinity, matched contrast.

FID of n images is too high by about b/n. The bias b depends on the model, so at a few hundred
images it can reverse a ranking (Chong and Forsyth 2020, arXiv 1911.07023). All functions here take
features ``drawn`` and ``reference``, both (n, d), where row i of both belongs to the same prompt.
These two rows are not independent, so prompts are left out, subsampled and split with both rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harmon_eval.metrics.frechet import (
    FrechetStatistics,
    TooFewSamples,
    frechet_distance,
    frechet_distances,
    without_each_group,
)
from harmon_eval.metrics.kid import jackknife_groups
from harmon_eval.metrics.statistics import Replicates
from harmon_eval.metrics.text import counted_are

SIZES = 15
SMALLEST, SHARE = 5000, 10
FEWEST_SIZES = 5
REPEATS = 10
SPLITS = 3
SEED = 0


@dataclass(frozen=True)
class Repeated:
    """Mean of the repeats of a randomised metric, and their standard deviation (``spread``)."""

    value: float
    spread: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Repeated:
        return cls(float(np.mean(values)), float(np.std(values, ddof=1)))


def fid(drawn: np.ndarray, reference: np.ndarray) -> float:
    """FID. Raises TooFewSamples if there are fewer images than features."""
    return frechet_distance(FrechetStatistics.of(drawn), FrechetStatistics.of(reference))


def fid_replicates(
    drawn: np.ndarray, reference: np.ndarray, prompts: np.ndarray | None = None
) -> Replicates:
    """FID with each of at most 20 groups of prompts left out of both sets in turn.

    ``prompts`` (n,) labels rows that share a prompt or a reference. Raises TooFewSamples."""
    _, groups = jackknife_groups(len(drawn), prompts)
    pairs = zip(
        without_each_group(drawn, groups), without_each_group(reference, groups), strict=True
    )
    return Replicates.without_groups([frechet_distance(*pair) for pair in pairs])


# -- the limit of infinitely many images -------------------------------------------------------


def infinity_sizes(count: int) -> list[int]:
    """The 15 subset sizes of dgm-eval @ 74c79f7 for ``count`` images."""
    start = min(SMALLEST, max(count // SHARE, 2))
    return [int(size) for size in np.linspace(start, count, SIZES).astype(int)]


def subset_sizes(count: int, width: int) -> list[int]:
    """The sizes of ``infinity_sizes`` that FID with ``width`` features allows.

    Raises TooFewSamples if fewer than five are left, or none is at most half of ``count``."""
    sizes = [size for size in infinity_sizes(count) if size >= max(2, width)]
    if len(sizes) < FEWEST_SIZES or 2 * sizes[0] > count:
        raise TooFewSamples(
            f"{counted_are(count, 'image')} too few to extrapolate FID with {width} features: use "
            f"at least {3 * width}"
        )
    return sizes


def at_infinity(sizes: Sequence[int], values: Sequence[float]) -> float:
    """Value at 1/n = 0 of the least-squares line through ``values`` against 1/n."""
    inverse = 1 / np.asarray(sizes, np.float64)
    return float(np.polyfit(inverse, np.asarray(values, np.float64), 1)[1])


def fid_infinity(drawn: np.ndarray, reference: np.ndarray) -> Repeated:
    """FID∞ (Chong and Forsyth 2020): FID of random subsets of prompts, extrapolated to 1/n = 0.

    Mean of ten repeats with fixed seeds. The original keeps the references whole and takes subsets
    of generated images. Here a subset holds prompts with both images, so that the bias from the
    references goes too. Sizes with fewer images than features are left out. The value may be below
    0 and is not clipped. Raises TooFewSamples if too few sizes are left (``subset_sizes``)."""
    count = len(drawn)
    sizes = subset_sizes(*drawn.shape)
    whole = fid(drawn, reference)
    found = []
    for repeat in range(REPEATS):
        rng = np.random.default_rng((SEED, repeat))
        values = []
        for size in sizes[:-1]:
            picked = rng.choice(count, size, replace=False)
            values.append(fid(drawn[picked], reference[picked]))
        found.append(at_infinity(sizes, [*values, whole]))
    return Repeated.of(found)


# -- the matched contrast ------------------------------------------------------------------------


def matched_contrast(
    drawn: np.ndarray, reference: np.ndarray, prompts: np.ndarray | None = None
) -> tuple[Repeated, Replicates]:
    """How much farther the drawings are from other prompts' references than references are.

    Prompts are split at random into halves A and B. The contrast is FID(drawn A, reference B), and
    the same with A and B swapped, averaged, minus the floor FID(reference A, reference B). All sets
    have n/2 images and no two share a prompt, so equal distributions give 0 on average. Returns the
    mean and spread over three splits with fixed seeds, and its replicates without each group of
    prompts. Raises TooFewSamples if half of the images are fewer than the features."""
    prompt, groups = jackknife_groups(len(drawn), prompts)
    values, replicates = [], []
    for split in range(SPLITS):
        order = np.random.default_rng((SEED, split)).permutation(int(prompt.max(initial=-1)) + 1)
        in_a = (order % 2 == 0)[prompt]
        halves = [
            _with_and_without_groups(features, groups, half)
            for features in (drawn, reference)
            for half in (in_a, ~in_a)
        ]
        own = [_contrast(*sets) for sets in zip(*halves, strict=True)]
        values.append(own[0])
        replicates.append(own[1:])
    return Repeated.of(values), Replicates.without_groups(np.mean(replicates, axis=0).tolist())


def _contrast(
    drawn_a: FrechetStatistics,
    drawn_b: FrechetStatistics,
    reference_a: FrechetStatistics,
    reference_b: FrechetStatistics,
) -> float:
    one, floor = frechet_distances(reference_b, [drawn_a, reference_a])
    return (one + frechet_distance(drawn_b, reference_a)) / 2 - floor


def _with_and_without_groups(
    features: np.ndarray, groups: np.ndarray, half: np.ndarray
) -> list[FrechetStatistics]:
    """Statistics of one half: of all its rows, then without each group of rows."""
    outside = groups.max() + 1
    left_out = without_each_group(features[half], groups[half])
    whole = FrechetStatistics.of(features[half])
    # A last group may have no row in this half; leaving it out changes nothing.
    return [whole, *left_out, *[whole] * (outside - len(left_out))]
