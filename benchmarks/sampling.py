"""Our sampler against a plain one: same weights, seeds, noise and machine, in one run.

    python -m benchmarks.sampling --size mini --batch 1,4,16
    python -m benchmarks.sampling --size 0.5b --batch 1 --name sampling-0.5b

Asserts that both generate the same, and prints seconds, images per second, the ratio, and each
part's share. Then it prints how much faster the preset ``--fast`` is, whose images differ. On the
CPU it uses one thread and processor time, runs everything in turn and takes medians, so that other
work on the machine has little effect. On a GPU it uses wall time between synchronisations.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn

from benchmarks import parsing, record
from benchmarks.release import Clock, Shares, diffuse, in_transformers, release_draw
from harmon_eval.model.config import HARMON_0_5B, HARMON_MINI, HarmonConfig
from harmon_eval.model.fast import head, mar, passes
from harmon_eval.model.fast.drawing import mar_iterations
from harmon_eval.model.fast.graphs import CapturedPasses, compile_blocks
from harmon_eval.model.fast.passes import Passes
from harmon_eval.model.fast.rows import Linear, SiLU, fill_rows, row_block
from harmon_eval.model.harmon import Harmon
from harmon_eval.model.sampling import FAST, DrawSettings, draw_orders_and_noise

SIZES = {"mini": HARMON_MINI, "0.5b": HARMON_0_5B}
PRESET = "--fast"
PARTS = ("encoder", "LLM", "decoder", "head", "VAE")
HEAD_ROWS = (2, 8, 32, 64, 256)
TOLERANCE = 1e-3  # largest difference, in units of the latents' standard deviation


def random_model(config: HarmonConfig, device: torch.device) -> Harmon:
    """A model with random weights. The head predicts velocity and its modulations are not zero, so
    that latents stay of order one and equality is meaningful. The arithmetic is that of the
    published model."""
    torch.manual_seed(0)
    model = Harmon(replace(config, head=replace(config.head, prediction="velocity")))
    for name, parameter in model.head.named_parameters():
        if "adaLN_modulation" in name or "final_layer.linear" in name:
            nn.init.normal_(parameter, std=0.02)
    return model.eval().requires_grad_(False).to(device)


def clock_of(device: torch.device) -> Clock:
    if device.type == "cpu":
        return time.process_time

    def now() -> float:
        torch.accelerator.synchronize()
        return time.perf_counter()

    return now


def leave_rows(model: Harmon) -> None:
    """Undo ``fill_rows``, in place: the plain sampler must not pay for what only ours needs."""
    plain: dict[type[nn.Module], type[nn.Module]] = {Linear: nn.Linear, SiLU: nn.SiLU}
    for module in model.modules():
        module.__class__ = plain.get(type(module), type(module))


@contextmanager
def watched(model: Harmon, shares: Shares) -> Iterator[None]:
    """Also measure the seconds of the fast sampler's parts."""
    places: dict[str, tuple[object, str]] = {
        "encoder": (model, "see"),
        "LLM": (passes, "join"),
        "decoder": (mar, "decode_at"),
        "head": (head, "sample"),
        "VAE": (model.vae, "decode"),
    }

    def timed(part: str, function: Callable[..., Any], *args: Any, **named: Any) -> Any:
        with shares.of(part):
            return function(*args, **named)

    with ExitStack() as stack:
        for part, (owner, name) in places.items():
            watch = partial(timed, part, getattr(owner, name))
            stack.enter_context(patch.object(owner, name, watch))
        yield


def one_batch(
    model: Harmon, batch: int, settings: DrawSettings, repeats: int, captured: bool
) -> dict[str, Any]:
    """Seconds and shares of both samplers and of the preset, and the largest difference between the
    outputs of both samplers. Ours fills rows, as in every pipeline; the plain one does not."""
    device, grid = model.device, settings.grid(model)
    generator = torch.Generator().manual_seed(1)
    most = min(200, model.config.llm.vocab_size)
    ids = torch.randint(3, most, (batch, 24), generator=generator).to(device)
    if settings.cfg_scale != 1:
        ids = torch.cat([ids, ids[:1].expand(batch, -1)])
    mask = torch.ones_like(ids)
    channels = model.config.vae.channels
    kinds = {"fast": settings, PRESET: FAST.than(settings)}
    made = {
        name: (CapturedPasses if captured else Passes)(model, how, grid)
        for name, how in kinds.items()
    }
    clock = clock_of(device)
    in_transformers(model.llm)

    def ours(shares: Shares, name: str = "fast") -> Tensor:
        how = kinds[name]
        fill_rows(model)
        orders, noise = draw_orders_and_noise(range(batch), grid, channels, how, device)
        with torch.inference_mode(), nullcontext() if captured else watched(model, shares):
            loop = mar_iterations(model, ids, mask, orders, noise, grid, how, made[name])
            *_, last = loop
            model.vae.decode(last.tokens.unflatten(1, grid))
        return last.tokens.unflatten(1, grid)

    def plain(shares: Shares) -> Tensor:
        leave_rows(model)
        orders, noise = draw_orders_and_noise(range(batch), grid, channels, settings, device)
        return release_draw(model, ids, mask, orders, noise, grid, settings, shares)

    samplers: dict[str, Callable[[Shares], Tensor]] = {
        "plain": plain,
        "fast": ours,
        PRESET: partial(ours, name=PRESET),
    }
    for _ in range(2 if captured else 0):
        for name in kinds:
            ours(Shares(clock), name)
    runs, difference = timed_in_turn(samplers, repeats, clock)
    seconds = {name: median(total for total, _ in timings) for name, timings in runs.items()}
    return {
        "batch": batch,
        "difference": difference,
        "seconds": seconds,
        "ratio": seconds["plain"] / seconds["fast"],
        "bought": seconds["fast"] / seconds[PRESET],
        "parts": {
            name: {part: median(s.seconds[part] for _, s in timings) for part in PARTS}
            for name, timings in runs.items()
        },
    }


def timed_in_turn(
    samplers: Mapping[str, Callable[[Shares], Tensor]], repeats: int, clock: Clock
) -> tuple[dict[str, list[tuple[float, Shares]]], float]:
    """Seconds and shares of each run, and how far the fast latents are from the plain ones."""
    runs: dict[str, list[tuple[float, Shares]]] = {name: [] for name in samplers}
    for _ in range(repeats):
        drawn = {}
        for name, sampler in samplers.items():
            shares, start = Shares(clock), clock()
            drawn[name] = sampler(shares)
            runs[name].append((clock() - start, shares))
        difference = float((drawn["plain"] - drawn["fast"]).abs().max() / drawn["plain"].std())
        assert difference <= TOLERANCE, f"the samplers differ by {difference:g} deviations"
    return runs, difference


@torch.inference_mode()
def head_alone(model: Harmon, rows: int, steps: int, repeats: int) -> dict[str, float]:
    """Milliseconds per step with guidance; ``rows`` counts both halves."""
    device, settings = model.device, DrawSettings(diffusion_steps=steps)
    noise = torch.randn(steps + 1, rows // 2, model.config.vae.channels, device=device)
    z = torch.randn(rows, model.config.mar.width, device=device)
    fast_passes, clock = Passes(model, settings, (model.config.mar.grid,) * 2), clock_of(device)
    seconds: dict[str, list[float]] = {"plain": [], "fast": []}
    for _ in range(repeats + 1):
        leave_rows(model)
        start = clock()
        plain = diffuse(model, z, noise[0], noise[1:], 3.0, 1.0)[: rows // 2]
        seconds["plain"].append(clock() - start)
        fill_rows(model)
        start = clock()
        fast = fast_passes.draw(z, noise[0], noise[1:], 3.0)
        seconds["fast"].append(clock() - start)
        assert (plain - fast).abs().max() <= TOLERANCE * plain.std()
    ms = {name: 1000 * median(values[1:]) / steps for name, values in seconds.items()}
    return {"rows": rows, **ms, "ratio": ms["plain"] / ms["fast"]}


def show(size: str, result: dict[str, Any]) -> None:
    batch, seconds = result["batch"], result["seconds"]
    print(f"{size}, batch {batch}: largest difference {result['difference']:.1e} deviations")
    for name, parts in result["parts"].items():
        shares = ", ".join(f"{p} {100 * s / seconds[name]:.0f} %" for p, s in parts.items())
        rate = batch / seconds[name]
        print(f"  {name:<6} {seconds[name]:8.2f} s  {rate:.4f} images/s  ({shares})")
    print(
        f"  ratio {result['ratio']:.2f}; {PRESET} is {result['bought']:.2f} times faster still",
        flush=True,
    )


def main() -> None:
    parser = parsing.Parser("sampling", __doc__)
    parser.add_argument("--size", choices=SIZES, default="mini")
    parser.add_argument("--batch", type=parsing.numbers, default="1,4,16", metavar="A,B")
    parser.add_argument("--image-size", type=parsing.number, default=256, metavar="PX")
    parser.add_argument("--iterations", type=parsing.number, default=16, metavar="K")
    parser.add_argument("--diffusion-steps", type=parsing.number, default=100, metavar="S")
    parser.add_argument("--repeats", type=parsing.number, default=1, metavar="N")
    parser.add_argument("--head", action="store_true", help="also measure the head alone")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--compile", action="store_true", help="use CUDA graphs, compiled blocks")
    parser.add_argument("--name", help="name of the result (default: sampling-SIZE)")
    parser.add_argument("--results", type=Path, default=record.RESULTS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    row_block()  # measured once per process, so do it before timing
    model = random_model(SIZES[arguments.size], torch.device(arguments.device))
    if arguments.compile and model.device.type == "cuda":
        compile_blocks(model)
    settings = DrawSettings(
        iterations=arguments.iterations,
        diffusion_steps=arguments.diffusion_steps,
        image_size=arguments.image_size,
    )
    heads = []
    for rows in HEAD_ROWS if arguments.head else ():
        heads.append(head_alone(model, rows, arguments.diffusion_steps, max(2, arguments.repeats)))
        print(
            "head alone, {rows} rows: {plain:.2f} ms -> {fast:.2f} ms per step, "
            "ratio {ratio:.2f}".format(**heads[-1]),
            flush=True,
        )
    results = []
    for batch in arguments.batch:
        results.append(one_batch(model, batch, settings, arguments.repeats, arguments.compile))
        show(arguments.size, results[-1])
    ratios = {f"batch {result['batch']}": result["ratio"] for result in results}
    ratios |= {f"batch {result['batch']}, {PRESET}": result["bought"] for result in results}
    ratios |= {f"head, {head['rows']:.0f} rows": head["ratio"] for head in heads}
    rates = {result["batch"]: result["batch"] / result["seconds"]["fast"] for result in results}
    if {1, 16} <= rates.keys():
        ratios["images/s, batch 16 to 1"] = rates[16] / rates[1]
        print(f"images per second, batch 16 to batch 1: {rates[16] / rates[1]:.2f}")
    measured = {"settings": record.settings(arguments), "batches": results, "head": heads}
    name = arguments.name or f"sampling-{arguments.size}"
    record.write(name, ratios, measured, arguments.results)


if __name__ == "__main__":
    main()
