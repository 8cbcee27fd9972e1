"""Which files of a folder are the weights: what an index or a trainer says, or none; what is no
Harmon, or not whole, is named as what it is."""

from __future__ import annotations

import json
import pickle
import shutil
import sys
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from harmon_eval.model import keys
from harmon_eval.model.checkpoint import BUNDLED, load
from harmon_eval.model.fingerprint import hash_weights
from harmon_eval.model.weights import CheckpointError, read

MINI = BUNDLED / "harmon-mini"
Tensors = dict[str, Tensor]
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n"


@pytest.fixture(scope="module")
def good() -> Tensors:
    """The bundled model's tensors in the authors' names."""
    return {keys.to_authors(name): tensor for name, tensor in read(MINI)[1].items()}


@pytest.fixture(scope="module")
def stale(good: Tensors) -> Tensors:
    return {name: torch.zeros_like(tensor) for name, tensor in good.items()}


def assert_good(place: Path) -> None:
    assert hash_weights(read(place)[1]) == hash_weights(read(MINI)[1])


def write_shards(
    folder: Path, tensors: Mapping[str, Tensor], count: int, stem: str = "model"
) -> dict[str, str]:
    folder.mkdir(parents=True, exist_ok=True)
    where, names = {}, sorted(tensors)
    for part in range(count):
        file = f"{stem}-{part + 1:05d}-of-{count:05d}.safetensors"
        own = names[part::count]
        save_file({name: tensors[name].contiguous() for name in own}, folder / file)
        where |= dict.fromkeys(own, file)
    return where


def write_index(folder: Path, where: Mapping[str, str], stem: str = "model") -> Path:
    file = folder / f"{stem}.safetensors.index.json"
    file.write_text(json.dumps({"metadata": {}, "weight_map": where}))
    return file


# -- safetensors -----------------------------------------------------------------------------


@pytest.mark.parametrize(("old", "new"), [(3, 2), (2, 3), (2, 2)])
def test_the_index_decides_between_two_saves(
    tmp_path: Path, good: Tensors, stale: Tensors, old: int, new: int
) -> None:
    write_shards(tmp_path, stale, old)
    write_index(tmp_path, write_shards(tmp_path, good, new))
    assert_good(tmp_path)
    assert_good(tmp_path / "model.safetensors.index.json")


def test_the_index_decides_for_a_tensor_that_two_of_its_shards_hold(
    tmp_path: Path, good: Tensors, stale: Tensors
) -> None:
    where = write_shards(tmp_path, good, 2)
    first, second = sorted(set(where.values()))
    twice = next(name for name, file in where.items() if file == first)
    own = {name: good[name].contiguous() for name, file in where.items() if file == second}
    save_file({**own, twice: stale[twice]}, tmp_path / second)
    write_index(tmp_path, where)
    assert_good(tmp_path)


def test_shards_that_are_not_of_the_indexs_save_are_named(tmp_path: Path, good: Tensors) -> None:
    where = write_shards(tmp_path, good, 2)
    name = next(iter(where))
    write_index(tmp_path, {**where, "mar.gone": where[name]})
    with pytest.raises(CheckpointError, match=r"00001-of-00002.*lacks mar\.gone"):
        read(tmp_path)
    write_index(tmp_path, {k: file for k, file in where.items() if k != name})
    with pytest.raises(CheckpointError, match=r"00001-of-00002.*also holds"):
        read(tmp_path)


@pytest.mark.parametrize("indexed", [True, False])
def test_missing_shards_are_named(tmp_path: Path, good: Tensors, indexed: bool) -> None:
    where = write_shards(tmp_path, good, 3)
    if indexed:
        write_index(tmp_path, where)
    (tmp_path / "model-00002-of-00003.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"lacks model-00002-of-00003.safetensors"):
        read(tmp_path)


def test_several_saves_are_refused_with_their_names(
    tmp_path: Path, good: Tensors, stale: Tensors
) -> None:
    def refused(*names: str) -> None:
        with pytest.raises(CheckpointError, match="holds several saves of weights") as caught:
            read(tmp_path)
        for name in names:
            assert name in str(caught.value)

    write_shards(tmp_path, stale, 3)
    write_shards(tmp_path, good, 2)
    refused("model-00001-of-00003", "model-00001-of-00002")
    write_index(tmp_path, write_shards(tmp_path, good, 2))
    save_file(stale, tmp_path / "model.safetensors")
    refused("model.safetensors,", "model.safetensors.index.json")
    assert_good(tmp_path / "model.safetensors.index.json")
    (tmp_path / "model.safetensors").unlink()
    write_index(tmp_path, write_shards(tmp_path, stale, 2, "other"), "other")
    refused("model.safetensors.index.json", "other.safetensors.index.json")


def test_our_own_folder_is_no_exception(tmp_path: Path, good: Tensors) -> None:
    folder = tmp_path / "ours"
    shutil.copytree(MINI, folder)
    assert_good(folder)
    assert read(folder / "model.safetensors")[0] == read(folder)[0]
    write_index(folder, write_shards(folder, good, 2))
    with pytest.raises(CheckpointError, match="several saves"):
        read(folder)


def test_adapters_are_not_left_out(tmp_path: Path, good: Tensors) -> None:
    save_file(good, tmp_path / "model.safetensors")
    save_file({"x": torch.zeros(1)}, tmp_path / "adapter_model.safetensors")
    with pytest.raises(CheckpointError, match=r"adapter_model\.safetensors.*merge"):
        read(tmp_path)


def test_dot_files_are_no_weights(tmp_path: Path, good: Tensors, stale: Tensors) -> None:
    save_file(good, tmp_path / "model.safetensors")
    (tmp_path / "._model.safetensors").write_bytes(b"\0\5\26\7")
    save_file(stale, tmp_path / ".backup.safetensors")
    assert_good(tmp_path)


def test_an_index_names_files_of_its_own_folder_only(tmp_path: Path, good: Tensors) -> None:
    save_file(good, tmp_path / "other.safetensors")
    inside = tmp_path / "model"
    inside.mkdir()
    write_index(inside, dict.fromkeys(good, "../other.safetensors"))
    with pytest.raises(CheckpointError, match="no file of its folder"):
        read(inside)


# -- files that are not whole ----------------------------------------------------------------


@pytest.mark.parametrize("name", ["model.safetensors", "harmon.pth", "pytorch_model.bin"])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (LFS, "is a Git LFS pointer.*git lfs pull"),
        (b"", "is empty"),
        (b"<!DOCTYPE html><html>login</html>", "is a web page"),
        (b"half a file", "truncated"),
    ],
)
def test_what_is_no_weights_file_is_named(
    tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    (tmp_path / name).write_bytes(content)
    for place in (tmp_path, tmp_path / name):
        with pytest.raises(CheckpointError, match=f"{name}.*{words}"):
            read(place)


def test_a_shard_that_is_cut_off_or_a_pointer_is_named(tmp_path: Path, good: Tensors) -> None:
    write_index(tmp_path, write_shards(tmp_path, good, 2))
    shard = tmp_path / "model-00002-of-00002.safetensors"
    shard.write_bytes(shard.read_bytes()[:-5])
    with pytest.raises(
        CheckpointError, match=r"00002-of-00002\.safetensors is truncated: .* bytes"
    ):
        read(tmp_path)
    shard.write_bytes(LFS)
    with pytest.raises(CheckpointError, match=r"00002-of-00002.*LFS pointer"):
        read(tmp_path)
    shard.unlink()
    shard.symlink_to(tmp_path / "blobs" / "gone")
    with pytest.raises(CheckpointError, match="link to nothing"):
        read(tmp_path)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "generation_config.json"])
def test_a_pointer_among_the_texts_is_named(tmp_path: Path, name: str) -> None:
    shutil.copytree(MINI, tmp_path / "m")
    (tmp_path / "m" / name).write_bytes(LFS)
    with pytest.raises(CheckpointError, match=f"{name} is a Git LFS pointer"):
        load(str(tmp_path / "m"))


# -- trainers --------------------------------------------------------------------------------


def test_two_pth_are_refused_in_the_order_of_their_steps(
    tmp_path: Path, good: Tensors, stale: Tensors
) -> None:
    torch.save(stale, tmp_path / "iter_5000.pth")
    torch.save(good, tmp_path / "iter_10000.pth")
    newest = tmp_path / "iter_10000.pth"
    with pytest.raises(CheckpointError, match=r"\(iter_5000.pth, iter_10000.pth\)") as caught:
        read(tmp_path)
    assert f"--model {newest}" in str(caught.value)
    assert_good(newest)


def test_mmengines_last_checkpoint_decides(tmp_path: Path, good: Tensors, stale: Tensors) -> None:
    torch.save({"state_dict": stale}, tmp_path / "iter_5000.pth")
    torch.save({"state_dict": good}, tmp_path / "iter_10000.pth")
    (tmp_path / "last_checkpoint").write_text("/elsewhere/work_dir/iter_10000.pth\n")
    assert_good(tmp_path)
    (tmp_path / "last_checkpoint").write_text("/elsewhere/work_dir/iter_20000.pth")
    with pytest.raises(CheckpointError, match=r"iter_20000\.pth.*not there.*iter_10000\.pth"):
        read(tmp_path)


def deepspeed(folder: Path, tensors: Tensors) -> None:
    folder.mkdir(parents=True)
    torch.save({"module": tensors, "ds_version": "0"}, folder / "mp_rank_00_model_states.pt")
    zero = {"optimizer_state_dict": {"fp32_flat_groups": [torch.zeros(3)]}}
    torch.save(zero, folder / "bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt")


def test_deepspeeds_folders(tmp_path: Path, good: Tensors, stale: Tensors) -> None:
    deepspeed(tmp_path / "global_step5000", stale)
    deepspeed(tmp_path / "global_step10000", good)
    with pytest.raises(CheckpointError, match=r"\(global_step5000, global_step10000\)"):
        read(tmp_path)
    (tmp_path / "latest").write_text("global_step10000")
    assert_good(tmp_path)
    assert_good(tmp_path / "global_step10000")
    (tmp_path / "latest").write_text("global_step7")
    with pytest.raises(CheckpointError, match=r"latest names 'global_step7'.*not there"):
        read(tmp_path)
    (tmp_path / "latest").write_text("../x")
    with pytest.raises(CheckpointError, match="not there"):
        read(tmp_path)


def test_mmengine_with_deepspeed_writes_folders(
    tmp_path: Path, good: Tensors, stale: Tensors
) -> None:
    deepspeed(tmp_path / "iter_3000.pth", stale)
    deepspeed(tmp_path / "iter_5000.pth", {f"module.{n}": t for n, t in good.items()})
    with pytest.raises(CheckpointError, match="several saves"):
        read(tmp_path)
    (tmp_path / "last_checkpoint").write_text("work_dirs/iter_5000.pth")
    assert_good(tmp_path)


def test_parts_of_deepspeed_and_fsdp_are_named_with_the_way_out(tmp_path: Path) -> None:
    zero = tmp_path / "zero" / "global_step1"
    zero.mkdir(parents=True)
    torch.save({"module": {}}, zero / "zero_pp_rank_0_mp_rank_00_model_states.pt")
    with pytest.raises(CheckpointError, match=r"ZeRO 3.*zero_to_fp32\.py"):
        read(tmp_path / "zero")
    fsdp = tmp_path / "fsdp" / "pytorch_model_fsdp_0"
    fsdp.mkdir(parents=True)
    (fsdp / "__0_0.distcp").write_bytes(b"x")
    with pytest.raises(CheckpointError, match=r"FSDP.*dcp_to_torch"):
        read(tmp_path / "fsdp")


def test_a_folder_of_checkpoints_names_them_the_newest_first(tmp_path: Path, good: Tensors) -> None:
    for step in (900, 1000):
        write_shards(tmp_path / f"checkpoint-{step}", good, 1)
    with pytest.raises(CheckpointError, match="checkpoint-1000, checkpoint-900: say which"):
        read(tmp_path)


def test_a_training_of_ours_is_told_to_be_exported(tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoints" / "step-0000002"
    checkpoint.mkdir(parents=True)
    (checkpoint / "state.pt").write_bytes(b"x")
    (tmp_path / "recipe.json").write_text("{}")
    for place in (tmp_path, checkpoint):
        with pytest.raises(CheckpointError, match="train export"):
            read(place)


def test_a_trainers_other_files_are_no_weights(tmp_path: Path, good: Tensors) -> None:
    save_file(good, tmp_path / "model.safetensors")
    for name in ("rng_state.pth", "rng_state_0.pth", "optimizer.pt", "training_args.bin"):
        (tmp_path / name).write_bytes(b"x")
    deepspeed(tmp_path / "global_step9", {})
    (tmp_path / "latest").write_text("global_step9")
    assert_good(tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        lambda name: f"module.{name}",
        lambda name: f"_orig_mod.{name}",
        lambda name: f"module._orig_mod.{name}",
        lambda name: f"model.{name}",
        lambda name: name.replace("llm.", "llm._orig_mod.", 1),
        lambda name: f"_fsdp_wrapped_module.{name}",
    ],
)
def test_names_of_wrappers_go(tmp_path: Path, good: Tensors, name: Callable[[str], str]) -> None:
    torch.save({name(key): tensor for key, tensor in good.items()}, tmp_path / "wrapped.pth")
    assert_good(tmp_path)


def test_two_sets_of_weights_in_a_file_are_refused(
    tmp_path: Path, good: Tensors, stale: Tensors
) -> None:
    torch.save({"model": stale, "model_ema": good, "epoch": 3}, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=r"several sets of weights \(model, model_ema\)"):
        read(tmp_path)


# -- objects in pickles ----------------------------------------------------------------------


class Buffer:
    """Pickled as mmengine's, which is not installed."""

    __module__, __qualname__ = "mmengine.logging.history_buffer", "HistoryBuffer"

    def __init__(self) -> None:
        self.log, self.count = np.ones(3), np.float64(2)


class Code:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('a checkpoint ran code')",)


def test_objects_of_a_trainer_lie_there_unread(
    tmp_path: Path, good: Tensors, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("mmengine", "mmengine.logging", "mmengine.logging.history_buffer"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setattr(sys.modules[Buffer.__module__], "HistoryBuffer", Buffer, raising=False)
    values = {"meta": {"iter": 9}, "message_hub": {"loss": Buffer()}, "state_dict": good}
    torch.save(values, tmp_path / "iter_9.pth")
    monkeypatch.undo()
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / "iter_9.pth", weights_only=True)
    assert_good(tmp_path)


def test_code_and_objects_of_others_are_refused(tmp_path: Path, good: Tensors) -> None:
    torch.save({"state_dict": good, "hook": Code()}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=r"Python objects.*exec.*nothing from weights is run"):
        read(tmp_path / "a.pth")
    (tmp_path / "b.pth").write_bytes(pickle.dumps({"state_dict": Code()}))
    with pytest.raises(CheckpointError):
        read(tmp_path / "b.pth")


def test_a_file_that_holds_itself_ends(tmp_path: Path) -> None:
    loop: dict[str, Any] = {}
    loop["model"] = loop
    torch.save(loop, tmp_path / "loop.pth")
    with pytest.raises(CheckpointError, match="no named tensors"):
        read(tmp_path)
