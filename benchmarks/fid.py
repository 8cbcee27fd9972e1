"""FID features from our code, clean-fid and torch-fidelity: same network, same images, one run.

    python -m benchmarks.fid --images 48
    python -m benchmarks.fid --images 48 --cores 1

Each tool runs its own code from files to features, as it would for a user. Our code and clean-fid
open the same TorchScript file, which has the form of the published one; torch-fidelity builds its
own network. All have the same random weights, so the arithmetic equals that of the published
network. Some images are 299 x 299, so that no tool resizes and all features must be equal. Others
are 512 x 512, where our features must equal those of clean-fid.

All tools get the same number of cores, with as many network threads and as many decoding threads or
processes. (On one core the other tools use no extra processes, which would only slow them down.)
The tools run in turn, and medians of two clocks are printed: wall time, and processor time
including child processes, which is more reliable on a busy machine.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch
from PIL import Image
from torch import nn

from benchmarks import parsing, record
from harmon_eval.instruments.features.inception import INCEPTION_FILE, InceptionFeatures
from harmon_eval.instruments.weights import torchscript
from harmon_eval.metrics.fid_images import feature_batches, find_images, usable_cores
from harmon_eval.store.digests import sha256_of

try:
    from cleanfid.fid import get_folder_features
    from cleanfid.inception_torchscript import InceptionV3W
    from torch_fidelity.datasets import ImagesPathDataset
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    from torch_fidelity.utils import get_featuresdict_from_dataset
except ModuleNotFoundError as error:
    raise SystemExit(f"error: {error}: pip install clean-fid torch-fidelity") from None

BATCH = 16
TOLERANCE = 1e-3  # of the features' standard deviation
Tool = Callable[[Path], np.ndarray]


class Published(nn.Module):
    """A module shaped like the published TorchScript file: ``layers`` gives the features."""

    def __init__(self, extractor: FeatureExtractorInceptionV3) -> None:
        super().__init__()
        parts = extractor.named_children()
        self.layers = nn.Sequential(*(part for name, part in parts if name != "fc"))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 3, 299, 299) in [-1, 1] -> (N, 2048, 1, 1)."""
        features: torch.Tensor = self.layers(x)
        return features


def random_extractor(folder: Path) -> FeatureExtractorInceptionV3:
    """torch-fidelity's network with random weights, scaled so that features stay of order one, and
    random statistics, so that no batch norm is the identity."""
    torch.manual_seed(0)

    class Unfilled(FeatureExtractorInceptionV3):  # type: ignore[misc]  # its package has no types
        """Builds the modules without weights, to write the weights file the base class needs."""

        def load_state_dict(self, *_: object, **__: object) -> None:
            """Nothing to load yet."""

    path = folder / "random.pth"
    torch.save({}, path)
    made = Unfilled("made", ["2048"], feature_extractor_weights_path=str(path))
    for module in made.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            module.bias.normal_(0, 0.1)
    torch.save(made.state_dict(), path)
    return FeatureExtractorInceptionV3(
        "inception-v3-compat", ["2048"], feature_extractor_weights_path=str(path)
    ).eval()


def tools(folder: Path, cores: int) -> dict[str, Tool]:
    """The tools, ready to run. Each turns a folder of images into features (n, 2048)."""
    extractor = random_extractor(folder)
    file = folder / INCEPTION_FILE
    with torchscript():
        torch.jit.save(torch.jit.script(Published(extractor).eval()), str(file))
        network = InceptionFeatures(file, "cpu", sha256_of(file))
        clean_fid_network = InceptionV3W(str(folder), download=False)

    def ours(images: Path) -> np.ndarray:
        return np.concatenate([*feature_batches(find_images(images), network, "playground", BATCH)])

    def clean_fid(images: Path) -> np.ndarray:
        return get_folder_features(
            str(images),
            clean_fid_network,
            num_workers=cores if cores > 1 else 0,
            batch_size=BATCH,
            device=torch.device("cpu"),
            mode="clean",
            verbose=False,
        )

    def torch_fidelity(images: Path) -> np.ndarray:
        files = [str(path) for path in find_images(images)]
        features = get_featuresdict_from_dataset(
            ImagesPathDataset(files),
            extractor,
            BATCH,
            cuda=False,
            save_cpu_ram=cores == 1,
            verbose=False,
        )
        return features["2048"].numpy()

    return {"ours": ours, "clean-fid": clean_fid, "torch-fidelity": torch_fidelity}


def write_images(folder: Path, side: int, count: int) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(count):
        small = Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8))
        small.resize((side, side), Image.Resampling.BICUBIC).save(folder / f"{i:04}.png")
    return folder


def clocks() -> np.ndarray:
    """Wall seconds, and processor seconds of this process and its finished children."""
    spent = os.times()
    processor = spent.user + spent.system + spent.children_user + spent.children_system
    return np.array([time.perf_counter(), processor])


def main() -> None:
    parser = parsing.Parser("fid", __doc__)
    parser.add_argument("--images", type=parsing.number, default=48, metavar="N")
    parser.add_argument("--repeats", type=parsing.number, default=3, metavar="N")
    parser.add_argument("--cores", type=parsing.number, default=usable_cores(), metavar="N")
    parser.add_argument("--results", type=Path, default=record.RESULTS)
    arguments = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-arguments.cores :])
    torch.set_num_threads(arguments.cores)
    ratios, measured = {}, {}
    with tempfile.TemporaryDirectory() as name:
        run = tools(Path(name), arguments.cores)
        for side in (299, 512):
            images = write_images(Path(name) / str(side), side, arguments.images)
            found = {tool: features(images) for tool, features in run.items()}  # also a warm-up
            # torch-fidelity resizes differently, so its features differ at other sizes.
            for tool in ("clean-fid", "torch-fidelity")[: 2 if side == 299 else 1]:
                difference = np.abs(found[tool] - found["ours"]).max() / found["ours"].std()
                assert difference <= TOLERANCE, f"{tool} differs by {difference:g} deviations"
                print(f"{side} px: {tool} and ours differ by {difference:.1e} deviations at most")
            spent: dict[str, list[np.ndarray]] = {tool: [] for tool in run}
            for _ in range(arguments.repeats):
                for tool, features in run.items():
                    start = clocks()
                    features(images)
                    spent[tool].append(clocks() - start)
            for clock, number in (("wall", 0), ("processor", 1)):
                seconds = {t: float(median(s[number] for s in all_)) for t, all_ in spent.items()}
                measured[f"{side}, {clock}"] = seconds
                for tool in ("clean-fid", "torch-fidelity"):
                    ratios[f"{tool}, {side} px, {clock}"] = seconds[tool] / seconds["ours"]
                print(f"{side} px, {clock}:", {t: round(s, 2) for t, s in seconds.items()})
    print({name: round(ratio, 3) for name, ratio in ratios.items()})
    kept = {"settings": record.settings(arguments), "seconds": measured}
    record.write("fid", ratios, kept, arguments.results)


if __name__ == "__main__":
    main()
