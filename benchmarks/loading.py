"""What opening a checkpoint costs beside reading its file once.

    python -m benchmarks.loading --size 0.5b --folder /tmp/loading

Writes a checkpoint of random weights in bfloat16 (1.5 GB at 0.5b, 5.1 GB at 1.5b), opens it in
fresh processes and deletes it. Reading once is reading and hashing the file, as the fingerprint
needs every byte. ``new memory`` only touches as many bytes as the weights have in float32: what
a conversion from bfloat16 cannot do without. ``plain`` is the usual way: a model with fresh
weights, which are then overwritten and converted. Times are of the processor, on one thread; memory
is the peak beyond what the imports take (Linux).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from benchmarks import parsing, record
from harmon_eval.model.checkpoint import load
from harmon_eval.model.config import HARMON_0_5B, HARMON_1_5B, HARMON_MINI, HarmonConfig
from harmon_eval.model.families import FORMAT
from harmon_eval.model.harmon import Harmon
from harmon_eval.model.processor import build_word_tokenizer
from harmon_eval.model.weights import CONFIG, WEIGHTS, read

SIZES = {"0.5b": HARMON_0_5B, "1.5b": HARMON_1_5B, "mini": HARMON_MINI}
TYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}
CHUNK, PAGE = 8 << 20, 4 << 10  # bytes
OPENING = (f"{way} {kind}" for kind in TYPES for way in ("ours", "plain"))
WAYS = ("read", "read and hash", "new memory", *OPENING)


def random_weights(config: HarmonConfig) -> dict[str, Tensor]:
    """In bfloat16, by our names; the same four million numbers again and again, to be quick."""
    block = 0.02 * torch.randn(2**22, generator=torch.Generator().manual_seed(0))
    block = block.to(torch.bfloat16)
    with torch.device("meta"):
        state = Harmon(config).state_dict()
    return {
        name: block.repeat(-(-t.numel() // len(block)))[: t.numel()].view(t.shape).clone()
        for name, t in state.items()
        if name != "llm.lm_head.weight"
    }


def write_random(config: HarmonConfig, folder: Path) -> int:
    """A folder of ours with random weights. Gives their number."""
    folder.mkdir(parents=True)
    weights = random_weights(config)
    save_file(weights, folder / WEIGHTS)
    (folder / CONFIG).write_text(json.dumps({"format": FORMAT, **config.to_dict()}))
    build_word_tokenizer(["a"]).save(folder)
    return sum(tensor.numel() for tensor in weights.values())


def read_once(file: Path, each: Callable[[memoryview], object]) -> None:
    buffer = memoryview(bytearray(CHUNK))
    with file.open("rb", buffering=0) as opened:
        while count := opened.readinto(buffer):
            each(buffer[:count])


def new_memory(count: int) -> Tensor:
    """As many zeros in float32, of which each page is written once."""
    fresh = torch.empty(count)
    fresh[:: PAGE // fresh.itemsize] = 0
    return fresh


def plain(folder: Path, dtype: torch.dtype) -> Harmon:
    config, weights = read(folder)
    weights["llm.lm_head.weight"] = weights["llm.model.embed_tokens.weight"]
    model = Harmon(config)
    model.load_state_dict(weights)
    return model.to(dtype)


def measured(way: str, folder: Path) -> dict[str, float]:
    """Seconds and peak of one way, in this process."""
    file = folder / WEIGHTS
    kind = way.partition(" ")[2]
    ways: dict[str, Callable[[], object]] = {
        "read": lambda: read_once(file, len),
        "new memory": lambda: new_memory(file.stat().st_size // torch.bfloat16.itemsize),
        "read and hash": lambda: read_once(file, hashlib.sha256().update),
        f"ours {kind}": lambda: load(str(folder), dtype=TYPES[kind]),
        f"plain {kind}": lambda: plain(folder, TYPES[kind]),
    }
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak of the imports
    before = memory("VmRSS")
    start, wall = time.process_time(), time.perf_counter()
    ways[way]()
    seconds, wall = time.process_time() - start, time.perf_counter() - wall
    return {
        "seconds": seconds,
        "wall seconds": wall,
        "peak bytes": memory("VmHWM") - before,
        "own memory": memory("RssAnon"),
    }


def memory(name: str) -> int:
    """Bytes of this process, as Linux counts them."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(name))


def held(folder: Path, kind: str) -> None:
    """Open the checkpoint, read each page of each weight, say so, and wait to be let go."""
    model = load(str(folder), dtype=TYPES[kind]).pipeline.model
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.detach().flatten()[:: PAGE // tensor.itemsize].float().sum()
    print("open", flush=True)
    sys.stdin.readline()


def pages_of(file: Path, process: int) -> tuple[int, int]:
    """Bytes of a file that a process sees in memory, and its share of them."""
    seen, share, inside = 0, 0, False
    for line in Path(f"/proc/{process}/smaps").read_text().splitlines():
        name, _, rest = line.partition(":")
        if "-" in name.partition(" ")[0]:  # a mapping begins: addresses, rights, ..., path
            inside = line.endswith(str(file.resolve()))
        elif inside and name in ("Rss", "Pss"):
            size = 1024 * int(rest.split()[0])
            seen, share = (seen + size, share) if name == "Rss" else (seen, share + size)
    return seen, share


def of_workers(count: int, folder: Path) -> dict[str, float]:
    """What ``count`` processes hold of one checkpoint in bfloat16, all open at once."""
    command = [sys.executable, "-m", "benchmarks.loading", "--folder", str(folder)]
    pipe = subprocess.PIPE
    workers = [
        subprocess.Popen([*command, "--way", "hold bfloat16"], stdin=pipe, stdout=pipe, text=True)
        for _ in range(count)
    ]
    try:
        for worker in workers:
            assert worker.stdout is not None
            if worker.stdout.readline() != "open\n":
                raise SystemExit("a worker could not open the checkpoint")
        pages = [pages_of(folder / WEIGHTS, worker.pid) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()
    return {
        "workers": count,
        "bytes each sees": min(seen for seen, _ in pages),
        "bytes held": sum(share for _, share in pages),
    }


def in_fresh_process(way: str, folder: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.loading", "--folder", str(folder), "--way", way]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = parsing.Parser("loading", __doc__)
    parser.add_argument("--size", choices=SIZES, default="0.5b")
    parser.add_argument("--folder", type=Path, default=Path("/tmp/harmon_eval_loading"))
    parser.add_argument("--repeats", type=parsing.number, default=1)
    parser.add_argument(
        "--workers", type=parsing.count, default=8, help="0: none (default: %(default)s)"
    )
    parser.add_argument("--no-plain", action="store_true", help="1.5b: 16 GB of memory otherwise")
    parser.add_argument("--results", type=Path, default=record.RESULTS)
    parser.add_argument("--way", choices=(*WAYS, "hold bfloat16"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.way == "hold bfloat16":
        held(arguments.folder, "bfloat16")
        return
    if arguments.way:
        print(json.dumps(measured(arguments.way, arguments.folder)))
        return
    if arguments.folder.exists():  # it is deleted at the end
        parser.error(f"{arguments.folder} exists: delete it, or name a --folder that does not")
    try:
        count = write_random(SIZES[arguments.size], arguments.folder)
        ways = [w for w in WAYS if not (arguments.no_plain and w.startswith("plain"))]
        runs = [
            {way: in_fresh_process(way, arguments.folder) for way in ways}
            for _ in range(arguments.repeats)
        ]
        size = (arguments.folder / WEIGHTS).stat().st_size
        shared = of_workers(arguments.workers, arguments.folder) if arguments.workers else None
    finally:
        shutil.rmtree(arguments.folder, ignore_errors=True)
    best = {way: min((run[way] for run in runs), key=lambda r: r["seconds"]) for way in ways}
    ratios = times(count, best)
    if shared:
        each, held_bytes = shared["bytes each sees"], shared["bytes held"]
        print(
            f"{arguments.workers} workers, bfloat16: each sees {each / size:.2f} of the file, "
            f"all hold {held_bytes / size:.2f} of it together"
        )
        ratios[f"{arguments.workers} workers: file / bytes held"] = size / held_bytes
    result: dict[str, Any] = {
        "weights": count,
        "load average": os.getloadavg(),
        "ways": best,
        "workers": shared,
    }
    record.write(f"loading-{arguments.size}", ratios, result, arguments.results)


def times(count: int, best: dict[str, dict[str, float]]) -> dict[str, float]:
    """Print a line for each way. Gives the ratios."""
    once, ratios = best["read and hash"]["seconds"], dict[str, float]()
    fresh = best["new memory"]["seconds"]
    for way, found in best.items():
        kind = way.partition(" ")[2]
        line = f"{way:16} {found['seconds']:6.2f} s, {found['seconds'] / once:5.2f} x reading once"
        if kind in TYPES:
            own = count * TYPES[kind].itemsize
            line += f", {found['peak bytes'] / 1e9:5.2f} GB = {found['peak bytes'] / own:.2f} x own"
            if way.startswith("ours"):
                ratios[f"{kind}: reading once / ours"] = once / found["seconds"]
                if kind == "float32":
                    least = (once + fresh) / found["seconds"]
                    ratios[f"{kind}: reading once and new memory / ours"] = least
                ratios[f"{kind}: own bytes / peak"] = own / found["peak bytes"]
        print(line)
    return ratios


if __name__ == "__main__":
    main()
