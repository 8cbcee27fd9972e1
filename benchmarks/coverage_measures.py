"""Simulated runs of tasks that measure images by a network or by pixels, for ``coverage``.

``strong`` and ``sizes`` are those of ``coverage_models``.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np
import pandas as pd

from benchmarks.coverage_edits import Draw, Drawn, Rng, Sizes, named
from harmon_eval.metrics.rendered_text import oneig_score
from harmon_eval.tasks.reconstruction.measures import MOST

NETWORKS = {"clip_network": "c", "dino_network": "d"}
DIMENSIONS = 8  # of an image's vector


def cosines(rng: Rng, mean: np.ndarray | float, alike: float, count: int) -> np.ndarray:
    """Numbers from 0 to 1: a beta distribution, whose variance goes with 1 / ``alike``."""
    share = np.broadcast_to(mean, count)
    return rng.beta(share * alike, (1 - share) * alike)


def pictures(sizes: Sizes, images: int = 1) -> pd.DataFrame:
    """Rows with stratum and group: so many images of each prompt."""
    strata = np.repeat(list(sizes), list(sizes.values())).repeat(images)
    groups = np.repeat(np.arange(sum(sizes.values())), images).astype(str)
    return pd.DataFrame({"stratum": strata, "group": groups})


def emu_edit(rng: Rng, sizes: Sizes, strong: bool) -> Drawn:
    """Every second picture is edited twice. Few results follow the captions' direction."""
    rows = pictures(sizes).assign(**NETWORKS)
    groups = np.arange(len(rows)) - (np.arange(len(rows)) % 3 == 2)
    own = rng.normal(size=len(rows))[groups]  # what the edits of a picture have in common
    low, high = (0.3, 0.97) if strong else (0.1, 0.8)
    rows = rows.assign(group=groups.astype(str))
    rows["clip_dir"] = low + 0.06 * own + 0.08 * rng.normal(size=len(rows))
    rows["clip_out"] = low + 0.02 * own + 0.02 * rng.normal(size=len(rows))
    for name in ("clip_im", "dino"):
        rows[name] = cosines(rng, high, 12, len(rows))
    rows["l1"] = cosines(rng, 1 - high, 12, len(rows))
    return rows, {"clip_dir[c]": low, "dino_to_source[d]": high, "l1_to_source": 1 - high}


def magicbrush(rng: Rng, sizes: Sizes, strong: bool) -> Drawn:
    """One to three turns a session, which are about equally hard."""
    mean, sessions = (0.96 if strong else 0.8), sizes[""]
    turns = rng.integers(1, 4, sessions)
    own = np.repeat(np.clip(cosines(rng, mean, 10, sessions), 1e-3, 1 - 1e-3), turns)
    rows = pd.DataFrame({"stratum": "", "counted": True, **NETWORKS}, index=range(len(own)))
    rows["group"] = np.repeat(np.arange(sessions), turns).astype(str)
    for name in ("dino", "clip_i", "clip_t"):
        rows[name] = cosines(rng, own, 10, len(own))
    for name in ("l1", "l2"):
        rows[name] = cosines(rng, 1 - own, 10, len(own))
    return rows, {
        "dino_to_target[d]": mean,
        "clip_i_to_target[c]": mean,
        "l1_to_target": 1 - mean,
    }


def pie(rng: Rng, sizes: Sizes, strong: bool) -> Drawn:
    """The types are not equally hard; all edits count alike."""
    ends = (0.94, 0.995) if strong else (0.5, 0.85)
    means = dict(zip(sizes, np.linspace(*ends, len(sizes)), strict=True))
    rows = pictures(sizes)
    own = rows["stratum"].map(means).to_numpy()
    rows["ssim"] = cosines(rng, own, 10, len(rows))
    rows["mse"] = cosines(rng, (1 - own) / 5, 20, len(rows))
    rows["lpips"] = cosines(rng, 1 - own, 10, len(rows))
    rows = rows.assign(psnr=20.0, psnr_kept=20.0, lpips_network="l", type_id=rows["stratum"])
    mean = float(own.mean())
    return rows, {
        "ssim_unedited[pie]": mean,
        "mse_unedited[pie]": (1 - mean) / 5,
        "lpips_unedited[pie,l]": 1 - mean,
    }


def reconstruction(rng: Rng, sizes: Sizes, strong: bool) -> Drawn:
    """PSNR in decibels. rFID's interval is that of ``coverage_fid``."""
    share = 0.93 if strong else 0.6
    rows = pictures(sizes)
    rows["ssim"] = cosines(rng, share, 12, len(rows))
    rows["psnr"] = MOST * cosines(rng, share / 3, 120, len(rows))
    rows["lpips"] = cosines(rng, 1 - share, 12, len(rows))
    vectors = rng.normal(size=(2, len(rows), 2)).astype(np.float32)
    rows = rows.assign(id=rows["group"], lpips_network="l", setting="s")
    rows = rows.assign(features=list(vectors[0]), reference_features=list(vectors[1]))
    return rows, {"psnr": MOST * share / 3, "ssim": share, "lpips[l]": 1 - share}


@cache
def distance(prompt: float, own: float) -> float:
    """The mean of 1 - cos of two images of a prompt: vectors of one prompt's and one image's."""
    rng = np.random.default_rng(0)
    common = prompt * rng.normal(size=(400_000, 1, DIMENSIONS))
    pair = common + own * rng.normal(size=(400_000, 2, DIMENSIONS))
    pair /= np.linalg.norm(pair, axis=2, keepdims=True)
    return float(1 - (pair[:, 0] * pair[:, 1]).sum(1).mean())


def _vectors(rng: Rng, count: int, prompt: float, own: float) -> list[np.ndarray]:
    common = prompt * rng.normal(size=(count, 1, DIMENSIONS))
    return list((common + own * rng.normal(size=(count, 4, DIMENSIONS))).reshape(-1, DIMENSIONS))


def prompts(rng: Rng, sizes: Sizes, strong: bool) -> Drawn:
    """Four images a prompt. Scores without a maximum, such as ImageReward's."""
    count, own = sizes[""], (0.3 if strong else 1.0)
    easy = 0.5 * rng.standard_gamma(2, count)  # skewed: a few prompts are much easier
    rows = pictures(sizes, 4).assign(measure="m", network="n")
    rows["score"] = easy.repeat(4) + own * rng.normal(size=len(rows))
    rows["vector"] = _vectors(rng, count, 1.0, own)
    return rows, {"score[m]": 1.0, "diversity[1-cos n]": distance(1.0, own)}


def diversity(rng: Rng, sizes: Sizes, strong: bool) -> Drawn:
    own = 0.3 if strong else 1.0
    rows = pictures(sizes, 4).assign(network="n", vector=_vectors(rng, sizes[""], 1.0, own))
    rows["class"] = np.where(np.arange(len(rows)) // 4 % 2, "a", "b")
    true = distance(1.0, own)
    return rows, {named("oneig:diversity", rows): true, "class/a": true}


def _read(rng: Rng, sizes: Sizes, mean: float, least: int, most: int) -> pd.DataFrame:
    """Four images a prompt, of whose words so many are right."""
    count = sizes[""]
    own = np.clip(cosines(rng, mean, 3, count), 1e-3, 1 - 1e-3).repeat(4)
    words = rng.integers(least, most + 1, count).repeat(4)
    rows = pictures(sizes, 4).assign(reader="r", words=words)
    return rows.assign(matched=rng.binomial(words, cosines(rng, own, 6, len(own))))


def longtext(rng: Rng, sizes: Sizes, strong: bool) -> Drawn:
    """Twenty to eighty words, right or wrong about as the image is."""
    mean = 0.96 if strong else 0.5
    rows = _read(rng, sizes, mean, 20, 80)
    share = rows["matched"] / rows["words"]
    rows = rows.assign(text_accuracy=share, exact=(share == 1).astype(float), length="")
    rows["category"] = np.where(np.arange(len(rows)) // 4 % 2, "a", "b")
    return rows, dict.fromkeys((named("longtext", rows), "text_accuracy[r]", "category/a"), mean)


def ocr(rng: Rng, sizes: Sizes, strong: bool) -> Drawn:
    """Most images have all of their one to six words right, or none."""
    mean = 0.96 if strong else 0.6
    rows = _read(rng, sizes, mean, 1, 6)
    share = rows["matched"] / rows["words"]
    rows = rows.assign(ocr_reward=share, text_accuracy=share, exact=(share == 1).astype(float))
    return rows, {"ocr_reward[r]": mean, "text_accuracy[r]": mean}


@cache
def text_means(mean: float) -> tuple[float, float]:
    """The mean edit distance of an image, and the share of images without an error."""
    rows = _read(np.random.default_rng(0), {"": 200_000}, mean, 3, 12)
    wrong = rows["words"] - rows["matched"]
    return float(5 * wrong.mean()), float((wrong == 0).mean())


def text(rng: Rng, sizes: Sizes, strong: bool) -> Drawn:
    """Five characters a wrong word."""
    mean = 0.96 if strong else 0.6
    rows = _read(rng, sizes, mean, 3, 12)
    wrong = rows["words"] - rows["matched"]
    rows = rows.assign(edit_distance=5.0 * wrong, completed=(wrong == 0).astype(float))
    rows["text_accuracy"] = rows["matched"] / rows["words"]
    far, whole = text_means(mean)
    return rows, {
        named("oneig:text", rows): oneig_score(far, whole, mean, "en"),
        "edit_distance[r]": far,
        "completed[r]": whole,
        "word_accuracy[r]": mean,
    }


def _sizes(official: int, mini: int) -> Mapping[str, Sizes]:
    return {"official": {"": official}, "mini": {"": mini}}


EMU = ("add", "color", "local", "remove")
PIE = tuple("0123456789")
TASKS: Mapping[str, tuple[Mapping[str, Sizes], Draw]] = {
    "emu_edit": ({"official": dict.fromkeys(EMU, 505), "mini": dict.fromkeys(EMU, 12)}, emu_edit),
    "magicbrush": (_sizes(535, 24), magicbrush),
    "pie": ({"official": dict.fromkeys(PIE, 70), "mini": dict.fromkeys(PIE[1:7], 10)}, pie),
    "reconstruction": ({"300 pictures": {"": 300}, "mini": {"": 160}}, reconstruction),
    "prompts": ({"300 prompts": {"": 300}, "mini": {"": 8}}, prompts),
    "longtext": (_sizes(160, 24), longtext),
    "ocr": (_sizes(1000, 24), ocr),
    "oneig:text": (_sizes(200, 8), text),
    "oneig:diversity": (_sizes(1120, 32), diversity),
}
