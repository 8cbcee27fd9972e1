"""The recorded release: loading it through the users' conversion, and comparing with it."""

from __future__ import annotations

import functools
import io
import lzma
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Regex, Tokenizer, pre_tokenizers
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast

from harmon_eval.model.config import HarmonConfig, HeadConfig, LLMConfig, MARConfig, VAEConfig
from harmon_eval.model.harmon import IMAGE_PLACE, Harmon
from harmon_eval.model.processor import Processor
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
        self.config = reference_config(self.sizes)
        # Everything but the number of attention heads is read off the weights.
        # Weights may be stored as float16, exactly.
        self.state = {name: tensor.float() for name, tensor in recorded["state_dict"].items()}
        vae = {name: tensor.float() for name, tensor in recorded["vae_state_dict"].items()}
        inferred, weights = from_authors(
            self.state,
            lambda: vae,
            self.config.llm,
            self.config.mar.heads,
        )
        self.inferred = inferred
        self.model = build(self.config, weights, str(path)).eval()

    @functools.cached_property
    def processor(self) -> Processor:
        """With the words of the recorded prompts, and the ids that they have there."""
        return Processor(recorded_tokenizer(self))

    def text(self, ids: list[int]) -> str:
        """What ids say, with one ``<image>`` for the run of an image."""
        known = self.processor.tokenizer.convert_ids_to_tokens([max(i, 0) for i in ids])
        pieces = ["<image>" if i < 0 else word for i, word in zip(ids, known, strict=True)]
        return re.sub("(<image>)+", "<image>", "".join(pieces))

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
        self.reference = reference
        self.file = reference.name
        self.model = reference.model
        self.config = reference.config
        self.sizes = reference.sizes
        self.inputs: dict[str, Any] = reference.parts[name]["inputs"]
        self.outputs: dict[str, Any] = self._ours(reference.parts[name]["outputs"])
        self.tolerance: dict[str, Any] = reference.parts[name]["tolerance"]

    def _ours(self, outputs: dict[str, Any]) -> dict[str, Any]:
        """With our placeholder for images, where the recorded release has a token of its own."""
        image = self.sizes["tokens"].get("image_token_id")
        if image is None or "input_ids" not in outputs:
            return outputs
        ids = outputs["input_ids"]
        rows = [row.masked_fill(row == image, IMAGE_PLACE) for row in ids]
        return {**outputs, "input_ids": rows if isinstance(ids, list) else torch.stack(rows)}

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
        traced = "sample" in self.name  # whole loops, which carry rounding on
        factor, floor = (30.0, 1e-5) if traced else (10.0, 1e-6)
        pairs = list(_leaves(got, self.outputs[output], self.tolerance[output]))
        error, worst = max((error, allowed) for error, allowed in pairs)
        MEASURED.append(Measurement(self.file, self.name, output, worst, error))
        for error, allowed in pairs:
            assert error <= factor * allowed + floor, f"{self.name} {output}: {error} > {allowed}"


def _leaves(got: Any, expected: Any, tolerance: Any) -> Iterator[tuple[float, float]]:
    """(largest absolute difference, recorded tolerance) of every tensor or number."""
    if isinstance(expected, str):
        assert got == expected
        yield 0.0, 0.0
    elif isinstance(expected, dict):
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


PIECE = r"<\|\w+\|>|<image>|\n| ?\w+|[^\w\s]"


def recorded_tokenizer(reference: Reference) -> PreTrainedTokenizerFast:
    """A tokenizer of words that gives the recorded ids to the recorded texts of prompts."""
    vocabulary: dict[str, int] = {}
    image = reference.sizes["tokens"]["image_token_id"]
    for part in reference.parts.values():
        outputs = part["outputs"]
        texts = outputs.get("prompt_texts", [outputs.get("prompt_text")])
        if "input_ids" not in outputs or texts == [None]:
            continue
        for text, row in zip(texts, outputs["input_ids"], strict=True):
            # The run of an image's token is one ``<image>``.
            ids = [i for k, i in enumerate(row.tolist()) if i != image or row[k - 1] != image]
            vocabulary |= dict(zip(re.findall(PIECE, text), ids, strict=True))
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="<image>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(PIECE), behavior="isolated")
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        additional_special_tokens=["<|im_start|>"],
    )


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
            max_beta=sizes["diffusion"].get("max_beta", 0.999),
        ),
        llm=LLMConfig(**{k: v for k, v in llm.items() if k in LLMConfig.__dataclass_fields__}),
        image_size=sizes.get("image_size", mar["img_size"]),
        visual_grad_scale=sizes["grad_scale"],
    )


@functools.cache
def load_reference(path: Path) -> Reference:
    return Reference(path)


def recordings(name: str = "harmon_reference") -> list[Path]:
    """The committed recording, and the full one where there is one."""
    variable = RECORDINGS[name]
    full = Path(os.environ.get(variable, SHARED / f"{name}.pt"))
    if variable in os.environ and not full.exists():
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
    """Those that a file of tests lists, or those of the recording that it can compare."""
    if not hasattr(module, "compared_by"):
        return list(module.PARTS)
    return [name for name in load_reference(path).parts if module.compared_by(name)]


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
