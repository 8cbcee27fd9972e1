"""Train the mini suite's feature network: ``python -m harmon_eval.suites.mini.train_features``.

From rendered scenes, it learns which coloured shapes there are, how many, where, and how strongly
the image is blurred, noisy or discoloured: a Fréchet distance of its features should react to all
of these. Training takes about three minutes on one CPU core. The bundled weights were made with the
default arguments.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFilter
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from harmon_eval.instruments.features.mini import MINI_WEIGHTS, MiniNet
from harmon_eval.suites.mini.scenes import COLORS, MAX_OBJECTS, SHAPES, SIDE, render, sample_scene

BATCH = 128
LEARNING_RATE = 4e-3
MAX_BLUR = 2.5
MAX_NOISE = 40.0
WIDTH = 64


@dataclass(frozen=True)
class Labels:
    """What an image shows and how it is damaged; the first dimension of each tensor is B."""

    kinds: torch.Tensor  # (B, shapes * colors) 0 or 1: is this coloured shape there
    count: torch.Tensor  # (B,) objects
    shapes: torch.Tensor  # (B, shapes) objects of each shape
    colors: torch.Tensor  # (B, colors) objects of each colour
    where: torch.Tensor  # (B, 4) objects in each quadrant
    harm: torch.Tensor  # (B, 3) root of the strength of blur, noise, discolouring, 0 to 1


class Heads(nn.Module):
    """One linear layer for all predictions, so that the features must hold the information."""

    def __init__(self, width: int) -> None:
        super().__init__()
        s, c = len(SHAPES), len(COLORS)
        self.sizes = (s * c, MAX_OBJECTS + 1, s, c, 4, 3)
        self.linear = nn.Linear(width, sum(self.sizes))
        self.norm = nn.BatchNorm1d(width)

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return self.linear(self.norm(features)).split(self.sizes, dim=1)


def corrupt(image: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, list[float]]:
    """(H, W, 3) uint8 -> the image, damaged in most cases, and how much (blur, noise, tint)."""
    blur, noise, tint = rng.uniform(size=3) * (rng.random(3) < 0.4)
    if blur:
        picture = Image.fromarray(image).filter(ImageFilter.GaussianBlur(float(MAX_BLUR * blur)))
        image = np.asarray(picture)
    pixels = image.astype(np.float32)
    if tint:
        direction = rng.normal(size=3)
        pixels += 60 * tint * direction / np.linalg.norm(direction)
    if noise:
        pixels += rng.normal(0, MAX_NOISE * noise, size=pixels.shape)
    image = pixels.round().clip(0, 255).astype(np.uint8)
    if rng.random() < 0.15:
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=int(rng.integers(30, 95)))
        image = np.asarray(Image.open(file))
    # Square roots make the network notice small amounts of damage as well as large ones.
    return image, [strength**0.5 for strength in (blur, noise, tint)]


def make_data(count: int, rng: np.random.Generator) -> tuple[torch.Tensor, Labels]:
    """``count`` scenes as (count, 3, 64, 64) uint8 with their labels."""
    shapes, colors = list(SHAPES), list(COLORS)
    images = np.empty((count, SIDE, SIDE, 3), np.uint8)
    kinds = np.zeros((count, len(shapes), len(colors)), np.float32)
    where = np.zeros((count, 4), np.float32)
    harm = np.zeros((count, 3), np.float32)
    for i in range(count):
        scene = sample_scene(rng)
        images[i], harm[i] = corrupt(render(scene), rng)
        for item in scene.items:
            kinds[i, shapes.index(item.shape), colors.index(item.color)] += 1
            where[i, 2 * (item.y > SIDE / 2) + (item.x > SIDE / 2)] += 1
    labels = Labels(
        torch.from_numpy((kinds > 0).reshape(count, -1).astype(np.float32)),
        torch.from_numpy(kinds.sum(axis=(1, 2)).astype(np.int64)),
        torch.from_numpy(kinds.sum(axis=2)),
        torch.from_numpy(kinds.sum(axis=1)),
        torch.from_numpy(where),
        torch.from_numpy(harm),
    )
    return torch.from_numpy(images.transpose(0, 3, 1, 2).copy()), labels


def loss_of(outputs: tuple[torch.Tensor, ...], labels: Labels) -> torch.Tensor:
    kinds, count, shapes, colors, where, harm = outputs
    return (
        20 * F.binary_cross_entropy_with_logits(kinds, labels.kinds)
        + F.cross_entropy(count, labels.count)
        + 2 * F.mse_loss(shapes, labels.shapes)
        + 2 * F.mse_loss(colors, labels.colors)
        + F.mse_loss(where, labels.where)
        + 12 * F.mse_loss(harm, labels.harm)
    )


def scale(images: torch.Tensor) -> torch.Tensor:
    return (images.float() - 128) / 128


def epochs(count: int, size: int, generator: torch.Generator) -> Iterator[torch.Tensor]:
    """Batches of indices, reshuffled in every epoch."""
    for _ in range(count):
        yield from torch.randperm(size, generator=generator).split(BATCH)


def train(
    images: torch.Tensor, labels: Labels, rounds: int, generator: torch.Generator
) -> tuple[MiniNet, Heads]:
    net, heads = MiniNet(WIDTH), Heads(WIDTH)
    parameters = [*net.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=LEARNING_RATE, weight_decay=0.01)
    steps = rounds * -(-len(images) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
    for step, index in enumerate(epochs(rounds, len(images), generator)):
        batch = Labels(**{name: value[index] for name, value in vars(labels).items()})
        loss = loss_of(heads(net(scale(images[index]))), batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 100 == 0 or step == steps - 1:
            print(f"step {step:5d} of {steps}  loss {loss.item():.3f}", flush=True)
    return net.eval(), heads.eval()


@torch.no_grad()
def standardize(net: MiniNet, norm: nn.BatchNorm1d) -> None:
    """Fold ``norm`` into the last layer, so that features have zero mean and unit variance over the
    training data.

    The mean over positions is linear, so this is exact. It fixes the scale of the FID."""
    last = net.mix[-1]
    assert isinstance(last, nn.Conv2d) and last.bias is not None
    assert norm.running_mean is not None and norm.running_var is not None
    gain = (norm.running_var + norm.eps).rsqrt()
    last.weight *= gain[:, None, None, None]
    last.bias.copy_((last.bias - norm.running_mean) * gain)


@torch.inference_mode()
def measure(net: MiniNet, heads: Heads, images: torch.Tensor, labels: Labels) -> dict[str, float]:
    """Accuracy on scenes that were not used in training, from the features alone."""
    outputs = [heads(net(scale(part))) for part in images.split(500)]
    kinds, count, shapes, colors, where, harm = (torch.cat(o) for o in zip(*outputs, strict=True))
    seen, there = kinds > 0, labels.kinds > 0
    return {
        "kinds_precision": (seen & there).sum().item() / max(1, seen.sum().item()),
        "kinds_recall": (seen & there).sum().item() / there.sum().item(),
        "count": (count.argmax(1) == labels.count).float().mean().item(),
        "shape_counts": (shapes.round() == labels.shapes).float().mean().item(),
        "color_counts": (colors.round() == labels.colors).float().mean().item(),
        "quadrant_counts": (where.round() == labels.where).float().mean().item(),
        "harm_error": (harm - labels.harm).abs().mean().item(),
    }


def git_commit() -> str:
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scenes", type=int, default=14_000)
    parser.add_argument("--rounds", type=int, default=8, help="epochs over all scenes")
    parser.add_argument("--output", type=Path, default=MINI_WEIGHTS)
    arguments = parser.parse_args()
    start = time.process_time()
    torch.manual_seed(arguments.seed)
    images, labels = make_data(arguments.scenes, np.random.default_rng([arguments.seed, 0]))
    generator = torch.Generator().manual_seed(arguments.seed)
    net, heads = train(images, labels, arguments.rounds, generator)
    accuracy = measure(net, heads, *make_data(2000, np.random.default_rng([arguments.seed, 1])))
    standardize(net, heads.norm)
    provenance = {
        "command": "python -m harmon_eval.suites.mini.train_features "
        f"--seed {arguments.seed} --scenes {arguments.scenes} --rounds {arguments.rounds}",
        "commit": git_commit(),
        "torch": torch.__version__,
        "core_seconds": round(time.process_time() - start),
        "accuracy": {name: round(value, 4) for name, value in accuracy.items()},
    }
    tensors = {k: v for k, v in net.state_dict().items() if not k.endswith("num_batches_tracked")}
    save_file(tensors, arguments.output, metadata={"provenance": json.dumps(provenance)})
    print(json.dumps(provenance, indent=2))


if __name__ == "__main__":
    main()
