"""A published size at full size, with random weights in bfloat16, in the layout of its release:
opened, then one image drawn, one edited and one question answered. Says time and memory of each.

    python -m benchmarks.full_size unipic-1 --folder /tmp/full

Drawings are short (``--iterations``, ``--steps``): memory does not depend on how many there are.
Times are of the processor, memory is the peak of the process (Linux). The folder takes 5.5 GB.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from benchmarks import parsing, record
from benchmarks.loading import random_weights
from harmon_eval.model.checkpoint import load
from harmon_eval.model.config import PRESETS, HarmonConfig
from harmon_eval.model.fast.memory import bytes_an_edit, free_memory
from harmon_eval.model.harmon import Harmon
from harmon_eval.model.keys import UNIPIC, VAE_PREFIX, to_authors
from harmon_eval.model.processor import build_word_tokenizer

GIB = 2**30
PROMPT, INSTRUCTION, QUESTION = "a red kite over the sea", "make it blue", "what is this"


def write_release(config: HarmonConfig, folder: Path, unipic: bool) -> int:
    """``pytorch_model.bin``, ``kl16.ckpt`` and the LLM's folder. Gives the number of weights."""
    language = folder / "Qwen2.5-1.5B-Instruct"
    language.mkdir(parents=True)
    build_word_tokenizer(["Generate an image", PROMPT, INSTRUCTION, QUESTION]).save(language)
    (language / "config.json").write_text(json.dumps(asdict(config.llm)))
    weights = random_weights(config)
    vae = {n.removeprefix(VAE_PREFIX): t for n, t in weights.items() if n.startswith(VAE_PREFIX)}
    rest = {to_authors(n): t for n, t in weights.items() if not n.startswith(VAE_PREFIX)}
    if unipic:
        rest[UNIPIC + "0.weight"] = torch.zeros(config.llm.hidden_size, 1152).bfloat16()
    torch.save(rest, folder / "pytorch_model.bin")
    torch.save({"model": vae}, folder / "kl16.ckpt")
    return sum(tensor.numel() for tensor in weights.values())


def peak() -> float:
    """GiB that this process held at most since it was last asked."""
    lines = Path("/proc/self/status").read_text().splitlines()
    held = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    Path("/proc/self/clear_refs").write_text("5")
    return held * 1024 / GIB


@contextmanager
def measured(name: str, found: dict[str, Any]) -> Iterator[None]:
    peak()
    start = time.process_time()
    yield
    found[name] = {"seconds": round(time.process_time() - start), "peak GiB": round(peak(), 1)}
    print(name, found[name], flush=True)


def main() -> None:
    parser = parsing.Parser("full_size", __doc__)
    parser.add_argument("model", choices=[name for name in PRESETS if name != "harmon-mini"])
    parser.add_argument("--folder", type=Path, required=True, help="a new folder, deleted again")
    parser.add_argument("--size", type=parsing.number, help="pixels, if not the model's own")
    parser.add_argument("--iterations", type=parsing.number, default=1)
    parser.add_argument("--steps", type=parsing.number, default=2)
    parser.add_argument("--paths", default="draw,edit,answer", help="of draw, edit, answer")
    given = parser.parse_args()
    config, kind = PRESETS[given.model], torch.bfloat16
    size = given.size or config.image_size
    grid = (size // config.vae.stride,) * 2
    with torch.device("meta"):
        weights = 2 * sum(tensor.numel() for tensor in Harmon(config).state_dict().values())
    needed, free = weights + bytes_an_edit(config, grid, kind), free_memory(torch.device("cpu"))
    if free is not None and needed > free:
        parser.error(f"{needed / GIB:.1f} GiB are needed and {free / GIB:.1f} GiB are free")
    found: dict[str, Any] = {"computed GiB": round(needed / GIB, 1)}
    try:
        numbers = write_release(config, given.folder, given.model == "unipic-1")
        found["weights"] = numbers
        with measured("open", found):
            loaded = load(str(given.folder), dtype=kind)
        # Answers read images at the model's own size.
        loaded.pipeline.model.config = replace(config, image_size=size)
        pipeline, source = loaded.pipeline, Image.linear_gradient("L").convert("RGB")
        how = replace(
            loaded.draw_settings,
            iterations=given.iterations,
            diffusion_steps=given.steps,
            image_size=size,
        )
        paths: dict[str, Callable[[], Any]] = {
            "draw": lambda: pipeline.draw([PROMPT], [1], how),
            "edit": lambda: pipeline.edit([source], [INSTRUCTION], [1], how),
            "answer": lambda: pipeline.answer([source], [QUESTION], 2),
        }
        for name in given.paths.split(","):
            with measured(name, found):
                (result,) = paths[name]()
            if isinstance(result, Image.Image):
                assert result.size == (size, size)
    finally:
        shutil.rmtree(given.folder, ignore_errors=True)
    found |= {"pixels": size, "iterations": given.iterations, "steps": given.steps}
    record.write(f"full-size-{given.model}-{size}", {}, found)


if __name__ == "__main__":
    main()
