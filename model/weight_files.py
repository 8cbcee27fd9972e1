"""Find which files in a folder are the weights.

An index or a trainer's own note decides, never the order of names. If neither does, the error names
the candidates and none is used.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from harmon_eval.model.tensors import (
    CheckpointError,
    check_file,
    read_json,
    read_tensors,
    safetensors_names,
)

INDEX = (".safetensors.index.json", ".bin.index.json")
WEIGHTS = re.compile(r".+\.safetensors|pytorch_model.*\.bin")
SHARD = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.(safetensors|bin)")
ADAPTERS = ("adapter_model.safetensors", "adapter_model.bin", "pytorch_lora_weights.safetensors")
# Files beside the weights in a trainer's folder that are not weights.
STATES = re.compile(r"(rng_state|random_states|optim|scheduler|scaler|training_args)[^.]*\..*")
MODEL_STATES = "mp_rank_00_model_states.pt"  # DeepSpeed's


@dataclass(frozen=True)
class Weights:
    """The files that together hold the weights. ``listed`` maps tensors to files, from an index.

    ``said`` is their name in messages."""

    said: Path
    files: tuple[Path, ...]
    listed: Mapping[str, str] | None = None

    def check(self) -> None:
        """Raises CheckpointError for missing or incomplete files, without reading all of them."""
        missing = [file for file in self.files if not (file.exists() or file.is_symlink())]
        if missing:
            raise CheckpointError(
                f"{self.said} lacks {_names(missing)}: download what is missing again"
            )
        for file in self.files:
            check_file(file)

    def read(self) -> dict[str, Tensor]:
        """All tensors, each from the file that the index names. Raises CheckpointError."""
        self.check()
        tensors: dict[str, Tensor] = {}
        for file in self.files:
            found = read_tensors(file)
            if self.listed is not None:
                self.compare(file, found)
                found = {n: t for n, t in found.items() if self.listed[n] == file.name}
            if twice := [name for name in found if name in tensors]:
                raise CheckpointError(f"{file} holds {twice[0]}, which another shard has too")
            tensors |= found
        return tensors

    def compare(self, file: Path, found: Iterable[str], exactly: bool = True) -> None:
        """Raises CheckpointError if a shard does not belong to the same save as the index."""
        listed, names = self.listed or {}, set(found)
        lacking = [n for n, place in listed.items() if place == file.name and n not in names]
        surplus = sorted(name for name in names if name not in listed) if exactly else []
        if lacking or surplus:
            what = f"lacks {lacking[0]}" if lacking else f"also holds {surplus[0]}"
            raise CheckpointError(
                f"{file} is not of the save that {self.said.name} lists: it {what}. Download the "
                "folder again, or save it into an empty one"
            )


def choose(place: Path) -> Weights:
    """The weights at a file, an index or a folder. Raises CheckpointError."""
    if not place.is_dir():
        if place.name.endswith(INDEX):
            return read_index(place)
        return Weights(place, (place,))
    files = _visible(place)
    refuse_adapters(place)
    found = [*_indexed(files), *_unlisted(files), *_pth(place, files)]
    if len(found) > 1:
        _refuse_several(place, found)
    return found[0] if found else _of_a_trainer(place, files)


def of_library(folder: Path, stem: str = "model") -> Weights | None:
    """What transformers (``model``) and diffusers (``diffusion_pytorch_model``) load from a folder:
    a single safetensors file, or the files in its index. None if there is neither.

    Raises CheckpointError if there are both, or if files are incomplete."""
    refuse_adapters(folder)
    single = folder / f"{stem}.safetensors"
    index = folder / f"{stem}{INDEX[0]}"
    if _there(single) and _there(index):
        listed = read_index(index)
        if single not in listed.files:
            _refuse_several(folder, [Weights(single, (single,)), listed])
    if not _there(single) and not _there(index):
        return None
    weights = read_index(index) if _there(index) else Weights(single, (single,))
    weights.check()
    for file in weights.files:
        if weights.listed is not None:
            weights.compare(file, safetensors_names(file), exactly=False)
    return weights


def read_index(index: Path) -> Weights:
    """The files that an index lists, sorted by name. Raises CheckpointError for a bad index."""
    listed = read_json(index).get("weight_map")
    if not isinstance(listed, dict) or not listed:
        raise CheckpointError(f"{index} lists no tensors (weight_map): download it again")
    for file in listed.values():
        if not isinstance(file, str) or Path(file).name != file or file.startswith("."):
            raise CheckpointError(f"{index} names {file!r}, which is no file of its folder")
    files = tuple(index.parent / name for name in sorted(set(listed.values())))
    return Weights(index, files, listed)


def refuse_adapters(folder: Path) -> None:
    """Raises CheckpointError if the folder holds an adapter, whose weights would be ignored."""
    for name in (*ADAPTERS, "adapter_config.json"):
        if _there(folder / name):
            raise CheckpointError(
                f"{folder / name} belongs to an adapter (LoRA), which is not applied: merge it "
                "into the weights (peft: merge_and_unload), or move it out of the folder"
            )


def step(path: Path) -> int:
    """The last number in a name, which trainers use to count steps; -1 if there is none."""
    numbers = re.findall(r"\d+", path.name.split(".")[0])
    return int(numbers[-1]) if numbers else -1


# -- candidates ------------------------------------------------------------------------------


def _visible(folder: Path) -> list[Path]:
    """Files without dot files: macOS writes ``._model.safetensors`` beside the real file."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _there(path: Path) -> bool:
    return path.exists() or path.is_symlink()


def _names(files: Sequence[Path], most: int = 6) -> str:
    more = f" and {len(files) - most} more" if len(files) > most else ""
    return ", ".join(file.name for file in files[:most]) + more


def _indexed(files: Sequence[Path]) -> list[Weights]:
    return [read_index(file) for file in files if file.name.endswith(INDEX)]


def _unlisted(files: Sequence[Path]) -> list[Weights]:
    """Single files, and shards without an index. Shards beside an index belong to another save."""
    names = {file.name for file in files}
    listed = {file for weights in _indexed(files) for file in weights.files}
    single: list[Weights] = []
    sets: dict[tuple[str, int, str], Path] = {}
    for file in files:
        if file in listed or file.is_dir() or not WEIGHTS.fullmatch(file.name):
            continue
        match = SHARD.fullmatch(file.name)
        if match is None:
            single.append(Weights(file, (file,)))
        elif f"{match[1]}.{match[4]}.index.json" not in names:
            sets.setdefault((match[1], int(match[3]), match[4]), file)
    for (stem, count, suffix), first in sets.items():
        shards = (f"{stem}-{i + 1:05d}-of-{count:05d}.{suffix}" for i in range(min(count, 10_000)))
        single.append(Weights(first.parent, tuple(first.with_name(name) for name in shards)))
    return single


def _pth(folder: Path, files: Sequence[Path]) -> list[Weights]:
    """``.pth`` files, and mmengine's folders with that suffix. Its ``last_checkpoint`` decides."""
    found = [file for file in files if file.suffix == ".pth" and not STATES.fullmatch(file.name)]
    note = folder / "last_checkpoint"
    if found and _there(note):
        last = folder / re.split(r"[/\\]", _first_line(note))[-1]
        if last not in found:
            raise CheckpointError(
                f"{note} names {last.name!r}, which is not there; say which of {_names(found)}, "
                f"such as --model {max(found, key=step)}"
            )
        found = [last]
    return [choose(file) if file.is_dir() else Weights(file, (file,)) for file in found]


def _first_line(note: Path) -> str:
    check_file(note)
    with note.open(encoding="utf-8", errors="replace") as opened:
        return opened.readline(4096).strip()


def _refuse_several(folder: Path, found: Sequence[Weights]) -> None:
    saids = [w.said if w.said != folder else w.files[0] for w in found]
    saids.sort(key=lambda path: (step(path), path.name))
    shards = [w for w in found if len(w.files) > 1 and w.listed is None]
    way = "remove those of the other save" if shards else f"say which, such as --model {saids[-1]}"
    raise CheckpointError(f"{folder} holds several saves of weights ({_names(saids)}): {way}")


# -- folders of trainers ---------------------------------------------------------------------


def _of_a_trainer(folder: Path, files: Sequence[Path]) -> Weights:
    """DeepSpeed's weights. For other trainers, raises CheckpointError that says what to do."""
    names = [file.name for file in files]
    if "state.pt" in names or ("recipe.json" in names and "checkpoints" in names):
        raise CheckpointError(
            f"{folder} is a training of ours, not a model: write one with `python -m "
            f"harmon_eval.model.train export {folder} MODEL` and give --model MODEL"
        )
    if found := _deepspeed(folder, files):
        return found
    for file in files:
        if file.is_dir() and any(inside.suffix == ".distcp" for inside in file.iterdir()):
            files, folder = _visible(file), file
    if any(file.suffix == ".distcp" for file in files):
        raise CheckpointError(
            f"{folder} holds the shards of an FSDP training: write them as one file with `python "
            f"-m torch.distributed.checkpoint.format_utils dcp_to_torch {folder} weights.pth`"
        )
    inside = [d for d in files if d.is_dir() and any(map(_looks_like_weights, _visible(d)))]
    if inside:
        inside.sort(key=lambda path: (step(path), path.name))
        raise CheckpointError(
            f"{folder} itself holds no weights, but {_names(inside[::-1])}: say which, such as "
            f"--model {inside[-1]}"
        )
    kinds = (".pt", ".ckpt", ".bin")
    other = [f for f in files if f.suffix in kinds and f.name != "kl16.ckpt"]
    hint = f"; there is {_names(other)}: name the file itself if it is them" if other else ""
    raise CheckpointError(
        f"{folder} holds no weights: expected model.safetensors, model-*.safetensors with their "
        f"index, pytorch_model*.bin or a .pth file{hint}"
    )


def _looks_like_weights(file: Path) -> bool:
    if STATES.fullmatch(file.name):
        return False
    return file.suffix in (".safetensors", ".bin", ".pth", ".pt", ".distcp")


def _deepspeed(folder: Path, files: Sequence[Path]) -> Weights | None:
    """DeepSpeed's last save with complete weights on each device (ZeRO 1 and 2); None if there is
    no such folder."""
    names = [file.name for file in files]
    tags = [f for f in files if f.is_dir() and re.fullmatch(r"global_step\d+", f.name)]
    zero = any(name.endswith(("_model_states.pt", "_optim_states.pt")) for name in names)
    if not zero and "latest" in names:
        tag = _first_line(folder / "latest")
        if Path(tag).name != tag or not (folder / tag).is_dir():
            raise CheckpointError(
                f"{folder / 'latest'} names {tag!r}, which is not there"
                + (f"; there is {_names(tags)}" if tags else "")
            )
        return choose(folder / tag)
    if not zero and tags:
        if len(tags) > 1:
            _refuse_several(folder, [Weights(tag, ()) for tag in tags])
        return choose(tags[0])
    if not zero:
        return None
    ranks = [name for name in names if re.fullmatch(r"mp_rank_\d+_model_states\.pt", name)]
    if ranks != [MODEL_STATES]:
        raise CheckpointError(
            f"{folder} holds the parts of a DeepSpeed training (ZeRO 3 or several model ranks): "
            "put them together with its zero_to_fp32.py and give the file that it writes"
        )
    return Weights(folder / MODEL_STATES, (folder / MODEL_STATES,))
