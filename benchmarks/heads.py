"""How far a head's tokens of few steps are from those of many: a fast head against its teacher.

    python -m benchmarks.heads runs/harmon-mini-fast-head

Scenes that no training shows, ten of their tokens hidden. Both heads draw these from the same noise
and under the same guidance, by DDIM with trailing steps. Prints root mean squares of the difference
to the teacher's tokens of 96 steps, in latents of unit deviation.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from benchmarks import parsing
from harmon_eval.model.checkpoint import Loaded, load
from harmon_eval.model.diffusion import sampling_schedule
from harmon_eval.model.fast.head import denoiser, step_embeddings
from harmon_eval.model.head import DiffusionHead
from harmon_eval.model.solvers import ddim_steps
from harmon_eval.model.train.recipe import Source
from harmon_eval.model.train.scenes import SceneRows, to_pixels

EXACT, HIDDEN = 96, 10


@torch.inference_mode()
def conditions(teacher: Loaded, images: int) -> Tensor:
    """z (2N, D) of the hidden tokens of held-out scenes: with their captions, then without."""
    model, processor = teacher.pipeline.model, teacher.pipeline.processor
    rows = SceneRows(Source("text2image", split="seen", scenes=images), 0, model.config.image_size)
    rng = np.random.default_rng(0)
    made = [rows.row(index, rng) for index in range(images)]
    pixels = to_pixels([np.asarray(row.picture()) for row in made if row.picture is not None])
    latents = model.vae.encode(pixels).float()
    tokens = latents.shape[1] * latents.shape[2]
    order = torch.rand(images, tokens, generator=torch.Generator().manual_seed(0)).argsort(dim=1)
    hidden = order < HIDDEN
    ids, mask = processor.batch([processor.generation_ids(row.prompt) for row in made])
    plain = torch.tensor([processor.unconditional_ids()] * images)
    embed = model.llm.get_input_embeddings()
    prompts = ((ids, mask), (plain, torch.ones_like(plain)))
    return torch.cat([model.conditions(embed(i), m, latents, hidden)[hidden] for i, m in prompts])


@torch.inference_mode()
def drawn(head: DiffusionHead, z: Tensor, scale: float, steps: int) -> Tensor:
    """Tokens (N, C), from the same noise every time."""
    schedule = sampling_schedule(steps, head.config.train_steps, spacing="trailing")
    channels = head.input_proj.in_features
    noise = torch.randn(len(z) // 2, channels, generator=torch.Generator().manual_seed(1))
    denoise = denoiser(head, z, step_embeddings(head, schedule), scale, guided=True)
    *_, (tokens, _) = ddim_steps(denoise, noise, schedule, head.config.prediction)
    return tokens


def distances(
    teacher: Loaded, student: Loaded, steps: Sequence[int], images: int
) -> dict[str, list[float]]:
    """Root mean squares by head, for each number of steps."""
    z, scale = conditions(teacher, images), teacher.draw_settings.cfg_scale
    exact = drawn(teacher.pipeline.model.head, z, scale, EXACT)
    return {
        name: [
            float((drawn(each.pipeline.model.head, z, scale, n) - exact).square().mean().sqrt())
            for n in steps
        ]
        for name, each in (("teacher", teacher), ("student", student))
    }


def main(argv: Sequence[str] | None = None) -> None:
    parser = parsing.Parser("heads", __doc__)
    parser.add_argument("student", help="a model folder, made by the recipe fast-head")
    parser.add_argument("--teacher", default="harmon-mini")
    parser.add_argument("--steps", type=parsing.number, nargs="+", default=[3, 4, 5, 6, 10])
    parser.add_argument("--images", type=parsing.number, default=64)
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    teacher, student = load(arguments.teacher), load(arguments.student)
    found = distances(teacher, student, arguments.steps, arguments.images)
    print("steps  ", *(f"{n:6}" for n in arguments.steps))
    for name, values in found.items():
        print(f"{name:7}", *(f"{value:6.3f}" for value in values))


if __name__ == "__main__":
    main()
