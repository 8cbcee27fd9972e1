"""The GPU path in one command of at most eight minutes: equality first, then speed.

    python -m benchmarks.gpu
    python -m benchmarks.gpu --rehearse    (on the CPU, with a tiny model; tells no speed)

Captured and compiled passes must draw what plain ones draw. Then each published size draws at 512
pixels in bfloat16 with random weights, with and without ``--compile``, and the plain loop of
``benchmarks.release`` at small batches. The share of the limit is the arithmetic of a drawing
(counted by PyTorch, without captured graphs) over the time, against the fastest large matrix
product measured here. When the minutes are over, what is left is named and not run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import parsing, record
from benchmarks.release import in_transformers, release_draw
from benchmarks.sampling import random_model
from harmon_eval.adapters._torch import best_device
from harmon_eval.core import UserError
from harmon_eval.model.config import HARMON_0_5B, HARMON_1_5B, HARMON_MINI
from harmon_eval.model.fast.drawing import mar_iterations
from harmon_eval.model.fast.graphs import CapturedPasses, compile_blocks
from harmon_eval.model.fast.passes import Passes
from harmon_eval.model.harmon import Harmon
from harmon_eval.model.pipeline import HarmonPipeline
from harmon_eval.model.processor import Processor, build_word_tokenizer
from harmon_eval.model.sampling import DrawSettings, draw_orders_and_noise

SIZES = {"0.5b": HARMON_0_5B, "1.5b": HARMON_1_5B}
BATCHES, PLAIN_BATCHES = (1, 4, 16, 32), (1, 4)
COMPARED = (1, 3, 32)  # batches of which captured and plain passes are compared
TOLERANCE = 1e-3  # of captured against plain passes in float32, in deviations of the latents
PROMPT = 24  # tokens
Report = dict[str, Any]


class Clock:
    """Wall time of what the device has finished, and whether there is time for more."""

    def __init__(self, device: torch.device, minutes: float) -> None:
        self.device, self.end = device, time.perf_counter() + 60 * minutes
        self.left_out: list[str] = []
        self.failed: dict[str, str] = {}

    def seconds(self, function: Callable[[], object]) -> float:
        self.wait()
        start = time.perf_counter()
        function()
        self.wait()
        return time.perf_counter() - start

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def allows(self, name: str, seconds: float = 0.0) -> bool:
        """Whether so many seconds are left; if not, ``name`` is noted."""
        if time.perf_counter() + seconds < self.end:
            return True
        self.left_out.append(name)
        return False

    @contextmanager
    def trying(self, name: str) -> Iterator[None]:
        """What does not fit or cannot be compiled is noted with ``name``; the rest goes on."""
        try:
            yield
        except RuntimeError as error:
            self.failed[name] = (str(error).splitlines() or [type(error).__name__])[0][:200]
            print(f"{name}: {self.failed[name]}", flush=True)
            if self.device.type == "cuda":
                torch.cuda.empty_cache()


def drawing(
    model: Harmon, passes: Passes, how: DrawSettings, batch: int, plain: bool = False
) -> Callable[[], Tensor]:
    """A function that draws ``batch`` latents and decodes them; ``plain``: as the release does."""
    grid, device = how.grid(model), model.device
    generator = torch.Generator().manual_seed(1)
    most = min(200, model.config.llm.vocab_size)
    ids = torch.randint(3, most, (batch, PROMPT), generator=generator).to(device)
    ids = torch.cat([ids, ids[:1].expand(batch, -1)])
    mask, channels = torch.ones_like(ids), model.config.vae.channels
    if plain:
        in_transformers(model.llm)

    @torch.inference_mode()
    def draw() -> Tensor:
        orders, noise = draw_orders_and_noise(range(batch), grid, channels, how, device)
        given = (model, ids, mask, orders, noise, grid, how)
        if plain:
            return release_draw(*given)
        *_, last = mar_iterations(*given, passes)
        latents = last.tokens.unflatten(1, grid)
        model.vae.decode(latents.to(model.dtype))
        return latents

    return draw


def equality(device: torch.device) -> float:
    """The largest difference of captured, compiled passes from plain ones, in deviations: of one
    image, of a few, and of more rows than the largest graph has."""
    model = random_model(HARMON_MINI, device)
    how = DrawSettings(iterations=4, diffusion_steps=10, image_size=64)
    passes = Passes(model, how, how.grid(model))
    expected = {batch: drawing(model, passes, how, batch)() for batch in COMPARED}
    captured = CapturedPasses(model, how, how.grid(model))
    if device.type == "cuda":
        compile_blocks(model)
    worst = 0.0
    for batch, plain in expected.items():
        draw = drawing(model, captured, how, batch)
        for _ in range(3):  # as it is, captured, replayed
            worst = max(worst, float((draw() - plain).abs().max() / plain.std()))
    return worst


def limit(device: torch.device, clock: Clock) -> float:
    """Operations a second of the fastest large product in bfloat16."""
    side = 8192 if device.type == "cuda" else 512
    a = torch.randn(side, side, device=device, dtype=torch.bfloat16)
    return 2 * side**3 / min(clock.seconds(lambda: a @ a) for _ in range(5))


def one_size(name: str, how: DrawSettings, top: float, clock: Clock, tiny: bool) -> Report:
    config = HARMON_MINI if tiny else SIZES[name]
    model = random_model(config, clock.device).to(torch.bfloat16)
    grid = how.grid(model)
    plain = Passes(model, how, grid)
    with FlopCounterMode(display=False) as counter:
        drawing(model, plain, how, 1)()
    own: Report = {"operations an image": counter.get_total_flops()}
    for batch in PLAIN_BATCHES:
        part = f"plain loop, batch {batch}"
        if clock.allows(f"{name}, {part}", 40 * (not tiny)):
            with clock.trying(f"{name}, {part}"):
                seconds = clock.seconds(drawing(model, plain, how, batch, plain=True))
                own[part] = {"seconds an image": seconds / batch}
    captured = CapturedPasses(model, how, grid)
    for kind, passes in (("fast", plain), ("fast --compile", captured)):
        if passes is captured and clock.device.type == "cuda":
            compile_blocks(model)
        for batch in BATCHES:
            part = f"{kind}, batch {batch}"
            if not clock.allows(f"{name}, {part}", 20 * (not tiny)):
                continue
            with clock.trying(f"{name}, {part}"):
                draw = drawing(model, passes, how, batch)
                for _ in range(2 if passes is captured else 0):
                    draw()
                each = clock.seconds(draw) / batch
                share = own["operations an image"] / each / top
                own[part] = {"seconds an image": each, "of the limit": share}
    if clock.allows(f"{name}, answering", 20 * (not tiny)):
        with clock.trying(f"{name}, answering"):
            own["answering"] = answering(model, clock, tiny)
    return own


def answering(model: Harmon, clock: Clock, tiny: bool) -> Report:
    """Replies a second about one image each, one by one and in a batch."""
    processor = Processor(build_word_tokenizer(["what", "is", "this"]))
    pipeline, side = HarmonPipeline(model, processor), model.config.image_size
    images = [Image.new("RGB", (side, side), (8 * i, 90, 30)) for i in range(2 if tiny else 16)]
    asked = ["what is this?"] * len(images)

    def singly() -> None:
        for image, question in zip(images, asked, strict=True):
            pipeline.replies([image], [question], 16)

    pipeline.replies(images[:1], asked[:1], 16)
    one, many = (clock.seconds(f) for f in (singly, lambda: pipeline.replies(images, asked, 16)))
    return {"one by one": len(images) / one, "in a batch": len(images) / many}


def features(clock: Clock, count: int) -> Report:
    """Images a second from files to FID's features, with random Inception weights."""
    needed = {"cleanfid": "clean-fid", "torch_fidelity": "torch-fidelity"}
    if lacking := [package for name, package in needed.items() if not find_spec(name)]:
        return {"not measured": f"pip install {' '.join(lacking)}"}
    from benchmarks.fid import Published, random_extractor, write_images
    from harmon_eval.instruments.features.inception import INCEPTION_FILE, InceptionFeatures
    from harmon_eval.instruments.weights import torchscript
    from harmon_eval.metrics.fid_images import feature_batches, find_images
    from harmon_eval.store.digests import sha256_of

    with TemporaryDirectory() as place:
        folder = Path(place)
        file = folder / INCEPTION_FILE
        with torchscript():
            torch.jit.save(torch.jit.script(Published(random_extractor(folder)).eval()), str(file))
        net = InceptionFeatures(file, str(clock.device), sha256_of(file))
        paths = find_images(write_images(folder / "images", 512, count))

        def marked() -> np.ndarray:
            return np.concatenate([*feature_batches(paths, net, "playground", 16)])

        marked()
        return {"images a second": count / clock.seconds(marked)}


def main(argv: Sequence[str] | None = None) -> None:
    parser = parsing.Parser("gpu", __doc__)
    parser.add_argument("--device", default="cuda", help="default: %(default)s")
    parser.add_argument("--sizes", default=",".join(SIZES), metavar="A,B", help="of: %(default)s")
    parser.add_argument("--minutes", type=float, default=7.0, help="default: %(default)s")
    parser.add_argument("--rehearse", action="store_true", help="on the CPU, with a tiny model")
    parser.add_argument("--results", type=Path, default=record.RESULTS, metavar="FOLDER")
    arguments = parser.parse_args(argv)
    tiny, names = arguments.rehearse, arguments.sizes.split(",")
    if unknown := [name for name in names if name not in SIZES]:
        parser.error(f"no size {unknown[0]!r}: choose from {', '.join(SIZES)}")
    try:
        clock = Clock(best_device("cpu" if tiny else arguments.device), arguments.minutes)
    except UserError as error:
        parser.error(f"{error}: --rehearse runs it on the CPU")
    how = DrawSettings(image_size=512)
    if tiny:
        how = replace(how, iterations=4, diffusion_steps=4, image_size=64)
    difference = equality(clock.device)
    print(f"captured against plain passes: {difference:.1e} deviations", flush=True)
    if not difference <= TOLERANCE:
        raise SystemExit(f"captured passes draw other images: {difference:g} deviations")
    top = limit(clock.device, clock)
    measured: Report = {"difference": difference, "limit, operations a second": top}
    measured |= {"left out for want of time": clock.left_out, "failed": clock.failed}
    if clock.allows("FID features", 30 * (not tiny)):
        with clock.trying("FID features"):
            measured["FID features"] = features(clock, 4 if tiny else 64)
    for name in names:
        with clock.trying(name):
            measured[name] = one_size(name, how, top, clock, tiny)
        # After each size: what ends the process early leaves the others.
        file = "gpu-rehearsal" if tiny else "gpu"
        record.write(file, ratios(measured), measured, arguments.results)
    for name, ratio in ratios(measured).items():
        print(f"{name:48} {ratio:8.3f}")
    if clock.failed:
        raise SystemExit(f"failed: {', '.join(clock.failed)}")


def ratios(measured: Report) -> dict[str, float]:
    """Plain loop over ours at equal batches, and shares of the limit."""
    found = {}
    for size, own in measured.items():
        for name, values in own.items() if size in SIZES else ():
            if not name.startswith("fast"):
                continue
            found[f"{size}, {name}: share of the limit"] = values["of the limit"]
            if plain := own.get(f"plain loop, {name.partition(', ')[2]}"):
                ratio = plain["seconds an image"] / values["seconds an image"]
                found[f"{size}, {name}: plain loop / ours"] = ratio
    return found


if __name__ == "__main__":
    main()
