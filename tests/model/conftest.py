"""The recorded release: loading it through the users' conversion, and comparing with it."""

from __future__ import annotations

import functools
import io
import lzma
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from harmon_eval.model.config import HarmonConfig, HeadConfig, LLMConfig, MARConfig, VAEConfig
from harmon_eval.model.harmon import Harmon
from harmon_eval.model.weights import build, from_authors

TESTS = Path(__file__).resolve().parents[1]
TRIMMED = TESTS / "fixtures" / "harmon_reference_trimmed.pt.xz"
FULL = TESTS.parents[1] / "shared" / "fixtures" / "harmon_reference.pt"


@dataclass(frozen=True)
class Measurement:
    file: str
    part: str
    output: str
    tolerance: float
    error: float


MEASURED: list[Measurement] = []


class Reference:
    """One recording, and the model with its weights."""

    def __init__(self, path: Path) -> None:
        raw = lzma.decompress(path.read_bytes()) if path.suffix == ".xz" else path.read_bytes()
        recorded = torch.load(io.BytesIO(raw), weights_only=True)
        self.name = path.name.partition(".")[0]
        self.parts: dict[str, Any] = recorded["parts"]
        self.sizes: dict[str, Any] = recorded["config"]
        self.config = reference_config(self.sizes)
        # Everything but the number of attention heads is read off the weights.
        inferred, weights = from_authors(
            recorded["state_dict"],
            lambda: recorded["vae_state_dict"],
            self.config.llm,
            self.config.mar.heads,
        )
        self.inferred = inferred
        self.model = build(self.config, weights, str(path)).eval()

    def part(self, name: str) -> Part:
        return Part(self, name)


# Recorded to explain the release's behaviour, not to be repeated.
NOT_OURS = {
    "latents_after_decode",  # the release divides its argument in place
    "discarded_half",  # a diffusion state that is never read
}


class Part:
    """One part of a recording, under its own name, and the model with the recording's weights."""

    def __init__(self, reference: Reference, name: str) -> None:
        self.name = name
        self.file = reference.name
        self.model = reference.model
        self.config = reference.config
        self.sizes = reference.sizes
        self.inputs: dict[str, Any] = reference.parts[name]["inputs"]
        self.outputs: dict[str, Any] = reference.parts[name]["outputs"]
        self.tolerance: dict[str, Any] = reference.parts[name]["tolerance"]

    def compare(self, compute: Callable[..., Iterator[tuple[str, Any]]]) -> None:
        """Check all that ``compute`` gives for the inputs, by output, against what is recorded."""
        left = self.outputs.keys() - NOT_OURS
        for output, got in compute(self, **self.inputs):
            if output in self.outputs:
                self.check(output, got)
                left.discard(output)
        assert not left, f"nothing was compared with {left}"

    def check(self, output: str, got: object) -> None:
        """Assert that an output equals the recorded one within what float32 rounding explains."""
        traced = self.name.startswith(("sample", "diffusion_sample"))
        factor, floor = (30.0, 1e-5) if traced else (10.0, 1e-6)
        pairs = list(_leaves(got, self.outputs[output], self.tolerance[output]))
        error, worst = max((error, allowed) for error, allowed in pairs)
        MEASURED.append(Measurement(self.file, self.name, output, worst, error))
        for error, allowed in pairs:
            assert error <= factor * allowed + floor, f"{self.name} {output}: {error} > {allowed}"


def _leaves(got: Any, expected: Any, tolerance: Any) -> Iterator[tuple[float, float]]:
    """(largest absolute difference, recorded tolerance) of every tensor or number."""
    if isinstance(expected, dict):
        assert got.keys() == expected.keys()
        for key in expected:
            yield from _leaves(got[key], expected[key], tolerance[key])
    elif isinstance(expected, list):
        assert len(got) == len(expected)
        for ours, theirs in zip(got, expected, strict=True):
            yield from _leaves(ours, theirs, tolerance)
    else:
        ours, theirs = torch.as_tensor(got), torch.as_tensor(expected)
        assert ours.shape == theirs.shape
        if not theirs.is_floating_point():
            assert torch.equal(ours.to(theirs.dtype), theirs)
        yield float((ours.double() - theirs.double()).abs().max()), float(tolerance)


def reference_config(sizes: dict[str, Any]) -> HarmonConfig:
    vae, mar, llm = sizes["vae"], sizes["mar"], sizes["llm"]
    return HarmonConfig(
        vae=VAEConfig(
            width=vae["ch"],
            multipliers=tuple(vae["ch_mult"]),
            blocks=vae["num_res_blocks"],
            channels=vae["embed_dim"],
            scale=sizes["vae_scale"],
        ),
        mar=MARConfig(
            width=mar["embed_dim"],
            depth=mar["depth"],
            heads=mar["num_heads"],
            mlp_ratio=mar["mlp_ratio"],
            buffers=mar["buffer_size"],
            grid=mar["img_size"] // mar["vae_stride"],
            classes=mar["class_num"],
            mask_ratio_min=mar["mask_ratio_min"],
        ),
        head=HeadConfig(
            width=mar["diffloss_w"],
            depth=mar["diffloss_d"],
            train_steps=sizes["diffusion"]["train_steps"],
            draws_per_token=mar["diffusion_batch_mul"],
        ),
        llm=LLMConfig(**{k: v for k, v in llm.items() if k in LLMConfig.__dataclass_fields__}),
        image_size=mar["img_size"],
        visual_grad_scale=sizes["grad_scale"],
    )


@functools.cache
def load_reference(path: Path) -> Reference:
    return Reference(path)


def recordings() -> list[Path]:
    """The committed recording, and the full one where there is one."""
    full = Path(os.environ.get("HARMON_FIXTURE", FULL))
    if "HARMON_FIXTURE" in os.environ and not full.exists():
        raise FileNotFoundError(f"HARMON_FIXTURE names {full}, which does not exist")
    return [TRIMMED, full] if full.exists() else [TRIMMED]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every part that a file of tests knows, of every recording."""
    if "part" in metafunc.fixturenames:
        cases = [(path, name) for path in recordings() for name in metafunc.module.PARTS]
        ids = [f"{load_reference(path).name}-{name}" for path, name in cases]
        metafunc.parametrize("part", cases, ids=ids, indirect=True)
    elif "reference" in metafunc.fixturenames:
        paths = recordings()
        ids = [load_reference(path).name for path in paths]
        metafunc.parametrize("reference", paths, ids=ids, indirect=True)


@pytest.fixture
def reference(request: pytest.FixtureRequest) -> Reference:
    return load_reference(request.param)


@pytest.fixture
def part(request: pytest.FixtureRequest) -> Part:
    path, name = request.param
    recorded = load_reference(path)
    if name not in recorded.parts:
        pytest.skip(f"{recorded.name} holds no part {name}")
    return Part(recorded, name)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if not MEASURED or config.get_verbosity() < 1:
        return
    write = terminalreporter.write_line
    for file in dict.fromkeys(m.file for m in MEASURED):
        write("")
        write(f"Largest error of each output, {file}:")
        write("| part | output | tolerance (rounding of the release) | error |")
        write("|---|---|---|---|")
        for m in MEASURED:
            if m.file == file:
                write(f"| {m.part} | {m.output} | {m.tolerance:.1e} | {m.error:.1e} |")


@pytest.fixture(scope="session")
def tiny() -> Harmon:
    """The recorded model: random weights, but a head that was fitted, so that drawings stay of
    order one and rounding is not blown up."""
    return load_reference(TRIMMED).model
