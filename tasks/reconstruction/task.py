"""Reconstruction: how much of a picture is left when the model draws it again.

The model is asked to "Repeat this image.", which is what guidance of an edit points away from
(UniPic-1) and what reconstruction alignment trains (RecA). ``--model vae:PLACE`` gives the same
figures of Harmon's autoencoder alone: the most that its model can reach.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from harmon_eval.core import (
    About,
    Answer,
    Data,
    Edit,
    Instruments,
    Interval,
    Metric,
    Row,
    Sample,
    Source,
    Task,
    UserError,
)
from harmon_eval.files.sizes import sizes
from harmon_eval.instruments.optional import optional, present
from harmon_eval.metrics import fid_task
from harmon_eval.metrics.fid_pairs import fid, fid_replicates
from harmon_eval.metrics.frechet import TooFewSamples
from harmon_eval.metrics.shares import share
from harmon_eval.metrics.statistics import jackknife_interval, mean_span
from harmon_eval.tasks.reconstruction import mini, real
from harmon_eval.tasks.reconstruction.measures import MOST, alike, fitted

if TYPE_CHECKING:
    import pandas as pd

REPEAT = "Repeat this image."
PROTOCOL = "gigagan256"  # centre crop to 256 pixels, as published rFIDs on ImageNet
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
PATTERNS = tuple(f"images/*{suffix}" for suffix in SUFFIXES)


def samples(data: Data) -> Iterator[Sample]:
    """One request a picture of ``images/``; ids are the names of the files.

    Raises UserError for two files of one name."""
    folder = data.folder / "images"
    files = sorted(f for f in folder.iterdir() if f.suffix.lower() in SUFFIXES)
    seen: set[str] = set()
    for file in files:
        if file.stem in seen:
            raise UserError(f"{folder} holds two pictures of the name {file.stem}: rename one")
        seen.add(file.stem)
        yield Sample(
            id=file.stem,
            request=Edit((file,), REPEAT),
            target={"reference": file},
            group=file.stem,
        )


def mark(answers: Sequence[Answer], instruments: Instruments) -> list[Row]:
    """Measures of each picture beside its source, and the features of both for rFID."""
    rows = fid_task.mark(answers, instruments, PROTOCOL)
    return [row | _measured(answer, instruments) for row, answer in zip(rows, answers, strict=True)]


def _measured(answer: Answer, instruments: Instruments) -> Row:
    source = answer.sample.target["reference"]
    pair = fitted(source, answer.image)
    return {**alike(pair), **_lpips(*pair, instruments), **sizes(source, answer.image)}


def _lpips(made: Image.Image, given: Image.Image, instruments: Instruments) -> Row:
    """Nothing without the network, or of a picture that it cannot measure."""
    if (network := present(instruments["lpips"])) is None:
        return {}
    (value,) = network.compare([made], [given])
    return {"lpips_network": network.name, "lpips": None if isinstance(value, Exception) else value}


def summarize(rows: pd.DataFrame) -> dict[str, float]:
    metrics = {name: float(rows[name].mean()) for name in ("psnr", "ssim")}
    if "lpips" in rows and rows["lpips"].notna().any():
        (network,) = rows["lpips_network"].dropna().unique()
        metrics[f"lpips[{network}]"] = float(rows["lpips"].mean())
    (setting,) = rows["setting"].unique()
    with suppress(TooFewSamples):
        metrics[f"rfid[{setting}]"] = fid(*_features(rows))
    return metrics


def _features(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Of what was drawn and of the sources, both (n, d)."""
    drawn, given = (np.stack(rows[n].to_list()) for n in ("features", "reference_features"))
    return drawn.astype(np.float32, copy=False), given.astype(np.float32, copy=False)


def _spread(rows: pd.DataFrame, name: str) -> Interval | None:
    """t interval of rFID, by leaving out a twentieth of the pictures and sources at a time."""
    drawn, given = _features(rows)
    try:
        value = fid(drawn, given)
        parts = fid_replicates(drawn, given, rows["id"].to_numpy(str))
    except TooFewSamples:
        return None
    low, high = jackknife_interval(value, parts.values.tolist(), 0.0)
    return max(0.0, low), high


def _with_lpips(rows: pd.DataFrame, name: str) -> pd.Series:
    return rows["lpips"].notna()


TASK = Task(
    samples=samples,
    mark=mark,
    summarize=summarize,
    metrics=(
        Metric("psnr", maximum=MOST, headline=True, of=share("psnr", MOST)),
        Metric("ssim"),
        Metric(
            "lpips[*]",
            higher_is_better=False,
            maximum=None,
            rows=_with_lpips,
            span=mean_span("lpips", None),
        ),
        Metric("rfid[*]", higher_is_better=False, maximum=None, span=_spread),
    ),
    about=About(
        paper="arXiv 2509.07295",
        version="1",
        protocol="PSNR, SSIM and LPIPS (AlexNet) of torchmetrics; rFID as FID of results and "
        f"sources, prepared as {PROTOCOL}",
        differs="The source is cropped around its centre to the shape of the result and resized to "
        "its size. PSNR of equal pictures counts as 100 dB. LPIPS is left out without the weights "
        "of torchvision's AlexNet; `--instrument lpips=vgg` takes VGG16. FID uses symmetric "
        "eigenvalues in float64.",
        compares="Papers measure autoencoders on ImageNet's validation images at 256 x 256; give "
        "those as images/ for figures like theirs. A model that was never trained to repeat a "
        "picture scores low whatever its autoencoder can do.",
        licence="that of your pictures; scikit-image's are free to use, see its data/README.txt",
        size="as many pictures as images/ holds",
        cost="one generated image for each picture",
    ),
    sources={
        "official": Source(files=PATTERNS, text="images/ with the pictures to repeat"),
        "mini": Source(make=mini.make),
        "real": Source(make=real.make),
    },
    instruments={"features": "inception", "lpips": optional("lpips", "alex")},
)
