"""FID features: ours against clean-fid and torch-fidelity: one network, the same images, one run.

    python -m benchmarks.fid --images 48

The Inception network of all three is torch-fidelity's, with random weights: the arithmetic is the
published one. Images are 299 x 299, so that no tool resizes and all features must be equal, and
512 x 512, where clean-fid's must. Files to features; the process's own time (decoding threads
included) on one network thread, in turn, medians.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch
from cleanfid.fid import get_folder_features
from PIL import Image
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from benchmarks import record
from harmon_eval.scoring.fid_images import feature_batches, find_images

BATCH = 16
TOLERANCE = 1e-3  # of the features' standard deviation


class Network:
    """torch-fidelity's Inception as our tools and clean-fid call it: float pixels in 0..255."""

    name, identity, side = "inception", "random", 299

    def __init__(self, extractor: FeatureExtractorInceptionV3) -> None:
        self.extractor = extractor

    @torch.inference_mode()
    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        return self.features(torch.from_numpy(pixels)).numpy()

    @torch.inference_mode()
    def features(self, pixels: torch.Tensor) -> torch.Tensor:
        """(N, 3, 299, 299) in 0..255 to (N, 2048)."""
        net = self.extractor
        x = (pixels.float() - 128) / 128
        for name in ("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "MaxPool_1"):
            x = getattr(net, name)(x)
        for name in ("Conv2d_3b_1x1", "Conv2d_4a_3x3", "MaxPool_2"):
            x = getattr(net, name)(x)
        for name in ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c"):
            x = getattr(net, f"Mixed_{name}")(x)
        return net.AvgPool(x).flatten(1)


def random_extractor(folder: Path) -> FeatureExtractorInceptionV3:
    """Random weights, of the scale that keeps features of order one."""
    torch.manual_seed(0)

    class Unfilled(FeatureExtractorInceptionV3):
        """To make a weights file for: the base class reads one, this one makes the modules."""

        def load_state_dict(self, *_: object, **__: object) -> None:
            """Nothing to load yet."""

    path = folder / "random.pth"
    torch.save({}, path)
    made = Unfilled("made", ["2048"], feature_extractor_weights_path=str(path))
    for module in made.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
    torch.save(made.state_dict(), path)
    return FeatureExtractorInceptionV3(
        "inception-v3-compat", ["2048"], feature_extractor_weights_path=str(path)
    ).eval()


def torch_fidelity_features(extractor: torch.nn.Module, folder: Path) -> np.ndarray:
    """As torch-fidelity's own loop: its dataset, a loader, its extractor."""
    from torch_fidelity.datasets import ImagesPathDataset
    from torch_fidelity.utils import get_featuresdict_from_dataset

    files = [str(path) for path in find_images(folder)]
    features = get_featuresdict_from_dataset(
        ImagesPathDataset(files), extractor, BATCH, cuda=False, save_cpu_ram=True, verbose=False
    )
    return features["2048"].numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, default=48, metavar="N")
    parser.add_argument("--repeats", type=int, default=3, metavar="N")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    ratios, measured = {}, {}
    with tempfile.TemporaryDirectory() as name:
        extractor = random_extractor(Path(name))
        network = Network(extractor)
        for side in (299, 512):
            folder = Path(name) / str(side)
            folder.mkdir()
            rng = np.random.default_rng(0)
            for i in range(arguments.images):
                small = Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8))
                small.resize((side, side), Image.Resampling.BICUBIC).save(folder / f"{i:04}.png")

            def ours(folder: Path = folder) -> np.ndarray:
                files = find_images(folder)
                return np.concatenate([*feature_batches(files, network, "playground", BATCH)])

            def clean_fid(folder: Path = folder) -> np.ndarray:
                return get_folder_features(
                    str(folder), network.features, num_workers=0, batch_size=BATCH,
                    device=torch.device("cpu"), mode="clean", verbose=False,
                )  # fmt: skip

            def torch_fidelity(folder: Path = folder) -> np.ndarray:
                return torch_fidelity_features(extractor, folder)

            tools: dict[str, Callable[[], np.ndarray]] = {
                "ours": ours, "clean-fid": clean_fid, "torch-fidelity": torch_fidelity
            }  # fmt: skip
            spent: dict[str, list[float]] = {tool: [] for tool in tools}
            found = {}
            ours()  # warm
            for _ in range(arguments.repeats):
                for tool, features in tools.items():
                    start = time.process_time()
                    found[tool] = features()
                    spent[tool].append(time.process_time() - start)
            # torch-fidelity resizes in its own way, so other sizes have other features.
            for tool in ("clean-fid", "torch-fidelity")[: 2 if side == 299 else 1]:
                difference = np.abs(found[tool] - found["ours"]).max() / found["ours"].std()
                assert difference <= TOLERANCE, f"{tool} differs by {difference:g} deviations"
            seconds = {tool: median(values) for tool, values in spent.items()}
            measured[str(side)] = seconds
            for tool in ("clean-fid", "torch-fidelity"):
                ratios[f"{tool}, {side} px"] = seconds[tool] / seconds["ours"]
            print(f"{side} px:", {tool: round(s, 2) for tool, s in seconds.items()}, flush=True)
    print({name: round(ratio, 3) for name, ratio in ratios.items()})
    record.write("fid", ratios, {"settings": vars(arguments), "seconds": measured})


if __name__ == "__main__":
    main()
