"""Read the named tensors of one weight file, whatever trainer wrote it.

Nothing from a file is ever executed: files are read as safetensors or with
``torch.load(weights_only=True)``. Objects of known trainers beside the tensors are replaced by
inert stand-ins.
"""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

LFS = b"version https://git-lfs"
# Far larger than any real header or configuration, but far too small to fill the memory.
LONGEST_HEADER, LONGEST_JSON = 100 << 20, 64 << 20
# The names under which trainers store the weights in their files.
WRAPPERS = ("state_dict", "module", "model")
AVERAGES = ("ema", "model_ema", "ema_model", "ema_state_dict", "state_dict_ema")
DEEPEST = 3  # how deeply wrappers may be nested
# What torch.compile, FSDP and activation checkpointing insert into names, at any position.
INNER = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")
# Prefixes that DataParallel and trainers add to all names.
OUTER = ("module.", "model.")
# Packages whose objects trainers store beside the weights.
KNOWN_PACKAGES = (
    *("argparse", "collections", "datetime", "enum", "numpy", "omegaconf", "pathlib", "typing"),
    *("accelerate", "deepspeed", "lightning", "mmcv", "mmengine", "pytorch_lightning"),
    *("torch", "transformers", "xtuner"),
)
# How a pickle names methods and plain types. They get inert stand-ins like all others here.
KNOWN_NAMES = {
    f"{module}.{name}"
    for module in ("builtins", "__builtin__")
    for name in ("getattr", "int", "float", "bool", "str", "list", "dict", "tuple", "slice")
}


class CheckpointError(ValueError):
    """The weights cannot be used; the message names what is wrong and what to do."""


class Inert:
    """A stand-in for an object of any kind that is not read."""

    def __new__(cls, *given: object, **named: object) -> Inert:
        return super().__new__(cls)

    def __setstate__(self, state: object) -> None:
        pass


# -- files -----------------------------------------------------------------------------------


def check_file(file: Path) -> None:
    """Raises CheckpointError if the file is missing, empty, a Git LFS pointer or truncated."""
    if file.is_symlink() and not file.exists():
        raise CheckpointError(f"{file} is a link to nothing: download it again")
    if not file.is_file():
        raise CheckpointError(f"{file} is missing: copy it there or pass another --model")
    try:
        with file.open("rb") as opened:
            head = opened.read(64)
    except OSError as error:
        raise CheckpointError(f"{file} cannot be read ({error.strerror})") from None
    if not head:
        raise CheckpointError(f"{file} is empty: download it again")
    if head.startswith(LFS):
        raise CheckpointError(
            f"{file} is a Git LFS pointer, not the file itself: run `git lfs pull` in "
            f"{file.parent}, or download it with `hf download`"
        )
    if head.lstrip().lower().startswith((b"<!doctype", b"<html")):
        raise CheckpointError(f"{file} is a web page, not the file itself: download it again")
    if file.suffix == ".safetensors":
        safetensors_names(file)


def safetensors_names(file: Path) -> tuple[str, ...]:
    """The names of a file's tensors, from its header. Raises CheckpointError if it is truncated."""
    size = file.stat().st_size
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        cut = length > size - 8
        header = b"" if cut or length > LONGEST_HEADER else opened.read(length)
    if cut:
        raise CheckpointError(f"{file} is truncated or no safetensors file: download it again")
    try:
        values = json.loads(header)
        values.pop("__metadata__", None)
        end = 8 + length + max((each["data_offsets"][1] for each in values.values()), default=0)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        raise CheckpointError(f"{file} is damaged (its header): download it again") from None
    if size < end:
        raise CheckpointError(
            f"{file} is truncated: {size:,} of {end:,} bytes are there: download it again"
        )
    return tuple(values)


def read_json(file: Path) -> dict[str, Any]:
    """Read a JSON object. Raises CheckpointError if the file holds no valid one."""
    check_file(file)
    if file.stat().st_size > LONGEST_JSON:
        raise CheckpointError(f"{file} has {file.stat().st_size:,} bytes: that is no such file")
    try:
        values = json.loads(file.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{file} is damaged ({error}): download it again") from None
    if not isinstance(values, dict):
        raise CheckpointError(f"{file} is damaged (no JSON object): download it again")
    return values


# -- tensors ---------------------------------------------------------------------------------


def read_tensors(file: Path, prefer: str = "") -> dict[str, Tensor]:
    """Read the tensors of a file by name.

    Raises CheckpointError if it is damaged, holds code, or holds several sets of weights of which
    none is named ``prefer``."""
    check_file(file)
    values = _guarded(file, lambda: load_file(file)) if _is_safe(file) else torch_values(file)
    if not isinstance(values, Mapping):
        raise CheckpointError(f"{file} holds a {type(values).__name__}, not named tensors")
    values = _unwrapped(values, file, prefer)
    tensors = {
        name: tensor
        for name, tensor in values.items()
        if isinstance(tensor, Tensor) and isinstance(name, str)
    }
    if not tensors:
        raise CheckpointError(f"{file} holds no named tensors: {_some(map(str, values))}")
    return tensors


def _is_safe(file: Path) -> bool:
    return file.suffix == ".safetensors"


def _guarded(file: Path, load: Callable[[], Any]) -> Any:
    try:
        return load()
    except (
        SafetensorError,
        pickle.UnpicklingError,
        RuntimeError,
        EOFError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        IndexError,
        AssertionError,
        OSError,
    ) as error:
        reason = str(error).splitlines()[0][:160] if str(error) else type(error).__name__
        raise CheckpointError(
            f"{file} is truncated, damaged or no weights file ({reason}): download it again"
        ) from None


def torch_values(file: Path, mapped: bool = True) -> Any:
    """What ``torch.save`` wrote, mapped where its format allows, with stand-ins for objects of
    known trainers.

    A mapped file must not be written to while its values are in use. Raises CheckpointError if the
    file is damaged or holds other objects."""
    check_file(file)
    stand_ins: list[Any] = [(Inert, name) for name in _objects(file)]
    with torch.serialization.safe_globals(stand_ins):
        return _guarded(
            file,
            lambda: torch.load(
                file,
                map_location="cpu",
                weights_only=True,
                mmap=mapped and zipfile.is_zipfile(file),
            ),
        )


def _objects(file: Path) -> list[str]:
    """The classes and functions of known trainers in a file. Raises CheckpointError for others."""
    try:
        found = torch.serialization.get_unsafe_globals_in_checkpoint(str(file))
    except (ValueError, RuntimeError, KeyError, IndexError, OSError, pickle.UnpicklingError):
        return []  # not a torch zip file; loading it will report what is wrong
    if strange := sorted(name for name in found if not _known(name)):
        raise CheckpointError(
            f"{file} holds Python objects beside its tensors ({_some(strange)}), and nothing from "
            "weights is run: save its tensors alone, as in torch.save(model.state_dict(), FILE)"
        )
    return found


def _known(name: str) -> bool:
    return name in KNOWN_NAMES or name.split(".")[0] in KNOWN_PACKAGES


def _unwrapped(values: Mapping[str, Any], file: Path, prefer: str) -> Mapping[str, Any]:
    """The weights without the wrappers that a trainer wrote around them."""
    for _ in range(DEEPEST):
        # mmengine's state_dict holds what it evaluates: the averaged weights, if there are any.
        averages = () if "message_hub" in values else AVERAGES
        found = [name for name in (*WRAPPERS, *averages) if _has_tensors(values.get(name))]
        if not found:
            break
        if len(found) > 1 and prefer not in found:
            raise CheckpointError(
                f"{file} holds several sets of weights ({', '.join(found)}): save the one you mean "
                "into a file of its own"
            )
        values = values[prefer if prefer in found else found[0]]
    return values


def _has_tensors(values: Any, depth: int = DEEPEST) -> bool:
    """Whether there are tensors here, or inside nested wrappers."""
    if not isinstance(values, Mapping) or not depth:
        return False
    if any(isinstance(value, Tensor) for value in values.values()):
        return True
    return any(_has_tensors(values[name], depth - 1) for name in WRAPPERS if name in values)


def plain_names(tensors: Mapping[str, Tensor], expected: tuple[str, ...]) -> dict[str, Tensor]:
    """Remove what wrappers added to the names. ``expected`` lists prefixes of the real names.

    Raises CheckpointError if two names become equal."""
    names = {name: name for name in tensors}
    for part in INNER:
        names = {name: plain.replace(part, "") for name, plain in names.items()}
    while prefix := next((p for p in OUTER if _all_begin(names.values(), p)), None):
        shorter = {name: plain.removeprefix(prefix) for name, plain in names.items()}
        if not any(plain.startswith((*expected, *OUTER)) for plain in shorter.values()):
            break
        names = shorter
    if len(set(names.values())) < len(names):
        raise CheckpointError("two tensors have one name without module. and _orig_mod.")
    return {plain: tensors[name] for name, plain in names.items()}


def _all_begin(names: Iterable[str], prefix: str) -> bool:
    return all(name.startswith(prefix) for name in names)


def _some(names: Iterable[str], most: int = 5) -> str:
    listed = list(names)
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(name[:100] for name in listed[:most]) + more
