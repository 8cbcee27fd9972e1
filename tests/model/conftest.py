"""The recorded release: loading it through the users' conversion, and comparing with it."""

from __future__ import annotations

import functools
import inspect
import io
import lzma
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Regex, pre_tokenizers
from tokenizers import Tokenizer as Backend
from tokenizers.models import WordLevel

from harmon_eval.model.config import HarmonConfig, HeadConfig, LLMConfig, MARConfig, VAEConfig
from harmon_eval.model.harmon import IMAGE_PLACE, Harmon
from harmon_eval.model.keys import UNIPIC, UNIPIC_MAX_BETA
from harmon_eval.model.processor import Processor
from harmon_eval.model.tokenizer import Tokenizer
from harmon_eval.model.weights import build, from_authors

TESTS = Path(__file__).resolve().parents[1]
TRIMMED = TESTS / "fixtures" / "harmon_reference_trimmed.pt.xz"
SHARED = TESTS.parents[1] / "shared" / "fixtures"
# By the name of a recording: what names another one of the same form.
RECORDINGS = {"harmon_reference": "HARMON_FIXTURE", "unipic_edit_reference": "UNIPIC_FIXTURE"}


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
        # Weights may be stored as float16, exactly.
        self.state = {name: tensor.float() for name, tensor in recorded["state_dict"].items()}
        vae = {name: tensor.float() for name, tensor in recorded["vae_state_dict"].items()}
        unipic = any(name.startswith(UNIPIC) for name in self.state)
        self.config = reference_config(self.sizes, UNIPIC_MAX_BETA if unipic else 0.999)
        # Everything but the number of attention heads is read off the weights.
        self.inferred, weights = from_authors(
            self.state, lambda: vae, self.config.llm, self.config.mar.heads
        )
        self.model = build(self.config, weights, str(path)).eval()

    @functools.cached_property
    def processor(self) -> Processor:
        """With the words of the recorded prompts, and the ids that they have there."""
        return Processor(recorded_tokenizer(self))

    def needs_ids_of(self, text: str, row: list[int]) -> None:
        """Skip the test if the recording does not show the ids of all words of a prompt."""
        if self.processor.tokenizer.id("<image>") in row:
            pytest.skip(f"{self.name} holds no ids of the words of {text!r}")

    def text(self, ids: list[int]) -> str:
        """What ids say, with one ``<image>`` for the run of an image."""
        known = [self.processor.token(max(i, 0)) for i in ids]
        pieces = ["<image>" if i < 0 else word for i, word in zip(ids, known, strict=True)]
        return re.sub("(<image>)+", "<image>", "".join(pieces))

    def part(self, name: str) -> Part:
        if name not in self.parts:
            pytest.skip(f"{self.name} holds no {name}")
        return Part(self, name)


# What we compute for a part, by how the names of such parts begin.
Kinds = Mapping[str, Callable[..., Iterator[tuple[str, Any]]]]


def kind_of(part: str, kinds: Kinds) -> Callable[..., Iterator[tuple[str, Any]]] | None:
    return next((ours for start, ours in kinds.items() if part.startswith(start)), None)


# Recorded to explain the release's behaviour, not to be repeated.
NOT_OURS = {
    "latents_after_decode",  # the release divides its argument in place
    "discarded_half",  # a diffusion state that is never read
}


class Part:
    """One part of a recording, under its own name, and the model with the recording's weights."""

    def __init__(self, reference: Reference, name: str) -> None:
        self.name = name
        self.reference = reference
        self.file = reference.name
        self.model = reference.model
        self.config = reference.config
        self.sizes = reference.sizes
        recorded = reference.parts[name]
        self.inputs = {key: _loaded(value) for key, value in recorded.get("inputs", {}).items()}
        self.outputs: dict[str, Any] = self._ours(recorded.get("outputs", {}))
        self.tolerance: dict[str, Any] = recorded.get("tolerance", {})

    def _ours(self, outputs: dict[str, Any]) -> dict[str, Any]:
        """With our placeholder for images, where the recorded release has a token of its own."""
        image = self.sizes.get("tokens", {}).get("image_token_id")
        if image is None or "input_ids" not in outputs:
            return outputs
        ids = outputs["input_ids"]
        rows = [row.masked_fill(row == image, IMAGE_PLACE) for row in ids]
        return {**outputs, "input_ids": rows if isinstance(ids, list) else torch.stack(rows)}

    def compare(self, kinds: Kinds) -> None:
        """Check all that we compute from the inputs, by output, against what is recorded.

        A part whose outputs or needed inputs are absent is skipped. Inputs that our computation
        does not take say how the recording was drawn (its seed)."""
        compute = kind_of(self.name, kinds)
        assert compute is not None
        if not self.outputs:
            pytest.skip(f"{self.name} of {self.file} holds no outputs")
        taken = inspect.signature(compute).parameters
        needed = {n for n, p in taken.items() if p.default is p.empty and n != "ref"}
        if missing := needed - self.inputs.keys():
            pytest.skip(f"{self.name} of {self.file} holds no {', '.join(sorted(missing))}")
        left = self.outputs.keys() - NOT_OURS
        given = {name: value for name, value in self.inputs.items() if name in taken}
        for output, got in compute(self, **given):
            if output in self.outputs:
                self.check(output, got)
                left.discard(output)
        assert not left, f"nothing was compared with {left}"

    def check(self, output: str, got: object) -> None:
        """Assert that an output equals the recorded one within what float32 rounding explains."""
        traced = "sample" in self.name  # whole loops, which carry rounding on
        factor, floor = (30.0, 1e-5) if traced else (10.0, 1e-6)
        pairs = list(_leaves(got, self.outputs[output], self.tolerance.get(output)))
        error, worst = max(pairs, default=(0.0, 0.0))
        MEASURED.append(Measurement(self.file, self.name, output, worst, error))
        for error, allowed in pairs:
            assert error <= factor * allowed + floor, f"{self.name} {output}: {error} > {allowed}"


def _loaded(value: Any) -> Any:
    """An input as the model takes it, whatever numbers the file stores it as."""
    if isinstance(value, list):
        return [_loaded(each) for each in value]
    if not isinstance(value, torch.Tensor) or value.dtype in (torch.bool, torch.uint8):
        return value
    if not value.dim():
        return value.item()
    return value.float() if value.is_floating_point() else value.long()


def _leaves(got: Any, expected: Any, tolerance: Any) -> Iterator[tuple[float, float]]:
    """(largest absolute difference, recorded tolerance) of every tensor or number.

    Where no tolerance is recorded it is a millionth of the largest value."""
    if isinstance(expected, str):
        assert got == expected
        yield 0.0, 0.0
    elif isinstance(expected, dict):
        assert got.keys() == expected.keys()
        for key in expected:
            within = tolerance.get(key) if isinstance(tolerance, dict) else tolerance
            yield from _leaves(got[key], expected[key], within)
    elif isinstance(expected, list):
        assert len(got) == len(expected)
        for ours, theirs in zip(got, expected, strict=True):
            yield from _leaves(ours, theirs, tolerance)
    else:
        ours, theirs = torch.as_tensor(got), torch.as_tensor(expected)
        assert ours.shape == theirs.shape
        if not theirs.is_floating_point():
            assert torch.equal(ours.to(theirs.dtype), theirs)
        error = (ours.double() - theirs.double()).abs()
        if tolerance is None:
            tolerance = 1e-6 * max(1.0, float(theirs.double().abs().max()))
        yield float(error.max()), float(tolerance)


PIECE = r"<\|\w+\|>|<image>|\n| ?\w+|[^\w\s]"


def recorded_tokenizer(reference: Reference) -> Tokenizer:
    """A tokenizer of words that gives the recorded ids to the recorded texts of prompts."""
    vocabulary: dict[str, int] = {}
    image = reference.sizes.get("tokens", {}).get("image_token_id")
    for part in reference.parts.values():
        outputs = part.get("outputs", {})
        texts = outputs.get("prompt_texts", [outputs.get("prompt_text")])
        if "input_ids" not in outputs or texts == [None]:
            continue
        for text, row in zip(texts, outputs["input_ids"], strict=True):
            # The run of an image's token is one ``<image>``.
            ids = [i for k, i in enumerate(row.tolist()) if i != image or row[k - 1] != image]
            vocabulary |= dict(zip(re.findall(PIECE, text), ids, strict=True))
    # Any ids will do for words that are not compared, if the model has them.
    free = iter(set(range(reference.sizes["llm"]["vocab_size"])) - set(vocabulary.values()))
    for word in ("<|im_start|>", "<|im_end|>", "<image>"):
        vocabulary.setdefault(word, next(free))
    backend = Backend(WordLevel(vocabulary, unk_token="<image>"))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(PIECE), behavior="isolated")
    named = {"eos_token": "<|im_end|>", "pad_token": "<|im_end|>"}
    return Tokenizer.build(backend, ["<|im_start|>"], **named)


def reference_config(sizes: dict[str, Any], max_beta: float) -> HarmonConfig:
    """Sizes as recorded; what a recording need not state is as published."""
    vae, mar, llm = sizes["vae"], sizes["mar"], sizes["llm"]
    steps = sizes.get("diffusion", {})
    return HarmonConfig(
        vae=VAEConfig(
            width=vae["ch"],
            multipliers=tuple(vae["ch_mult"]),
            blocks=vae["num_res_blocks"],
            channels=vae["embed_dim"],
            scale=sizes.get("vae_scale", VAEConfig.scale),
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
            train_steps=steps.get("train_steps", HeadConfig.train_steps),
            draws_per_token=mar["diffusion_batch_mul"],
            max_beta=steps.get("max_beta", max_beta),
        ),
        llm=LLMConfig(**{k: v for k, v in llm.items() if k in LLMConfig.__dataclass_fields__}),
        image_size=sizes.get("image_size", mar["img_size"]),
        visual_grad_scale=sizes.get("grad_scale", HarmonConfig.visual_grad_scale),
    )


@functools.cache
def load_reference(path: Path) -> Reference:
    return Reference(path)


def recordings(name: str = "harmon_reference") -> list[Path]:
    """The committed recording, and the full one where there is one."""
    variable = RECORDINGS[name]
    full = Path(os.environ.get(variable) or SHARED / f"{name}.pt")
    if os.environ.get(variable) and not full.exists():
        raise FileNotFoundError(f"{variable} names {full}, which does not exist")
    trimmed = TESTS / "fixtures" / f"{name}_trimmed.pt.xz"
    return [trimmed, full] if full.exists() else [trimmed]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every part that a file of tests knows, of every recording (``RECORDING`` names which)."""
    paths = recordings(getattr(metafunc.module, "RECORDING", "harmon_reference"))
    if "part" in metafunc.fixturenames:
        cases = [(path, name) for path in paths for name in part_names(metafunc.module, path)]
        ids = [f"{load_reference(path).name}-{name}" for path, name in cases]
        metafunc.parametrize("part", cases, ids=ids, indirect=True)
    elif "reference" in metafunc.fixturenames:
        ids = [load_reference(path).name for path in paths]
        metafunc.parametrize("reference", paths, ids=ids, indirect=True)


def part_names(module: Any, path: Path) -> list[str]:
    """Those of the recording that a file of tests can compare."""
    return [name for name in load_reference(path).parts if kind_of(name, module.PARTS)]


@pytest.fixture
def reference(request: pytest.FixtureRequest) -> Reference:
    return load_reference(request.param)


@pytest.fixture
def part(request: pytest.FixtureRequest) -> Part:
    path, name = request.param
    return load_reference(path).part(name)


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
