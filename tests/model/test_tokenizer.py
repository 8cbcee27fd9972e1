"""Tokenizers are read as transformers reads them, without waiting for transformers."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, normalizers, pre_tokenizers, trainers
from tokenizers.models import BPE
from transformers import AutoTokenizer, PreTrainedTokenizerBase, Qwen2Tokenizer

from harmon_eval.model.checkpoint import load
from harmon_eval.model.processor import Processor, build_word_tokenizer
from harmon_eval.model.tensors import CheckpointError
from harmon_eval.model.tokenizer import CONFIG, TOKENS, Tokenizer

CONTROL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
CORPUS = ["Generate an image: a photo of two red stars.", "user\nassistant\n", "Is it naïve? 12 3"]
TEXTS = st.text(max_size=60) | st.sampled_from(["a<|im_end|>b", "<|im_start|>", "cafe\u0301  12 "])


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of Qwen2's class, as transformers writes it: byte-level BPE, normalised to NFC."""
    folder = tmp_path_factory.mktemp("qwen")
    backend = Backend(BPE())
    backend.normalizer = normalizers.NFC()
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    letters = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=320, initial_alphabet=letters, special_tokens=CONTROL, show_progress=False
    )
    backend.train_from_iterator(CORPUS, trainer)
    model = json.loads(backend.to_str())["model"]
    merges = [tuple(merge) for merge in model["merges"]]
    Qwen2Tokenizer(
        vocab=model["vocab"],
        merges=merges,
        unk_token=None,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=["<|im_start|>"],
    ).save_pretrained(folder)
    return folder


def theirs(folder: Path) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(folder)


@given(text=TEXTS)
def test_ids_and_replies_are_those_of_transformers(qwen: Path, text: str) -> None:
    own, other = Tokenizer.from_folder(qwen), theirs(qwen)
    ids = other(text, add_special_tokens=False, split_special_tokens=True).input_ids
    assert own.read(text).ids == ids
    ids += [own.id("<|im_end|>")]
    assert own.write(ids) == other.decode(ids)
    assert own.write(ids, special=False) == other.decode(ids, skip_special_tokens=True)


def test_so_are_the_named_tokens(qwen: Path) -> None:
    own, other = Tokenizer.from_folder(qwen), theirs(qwen)
    assert own.named_id("pad_token") == other.pad_token_id
    assert own.named_id("unk_token") == other.unk_token_id
    assert own.special_ids == set(other.all_special_ids)
    assert own.vocabulary() == other.get_vocab()
    assert len(own) == len(other)


@given(text=TEXTS | st.sampled_from(["red star, blue", "a red <unk>"]))
def test_transformers_reads_what_we_write(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    folder = tmp_path_factory.getbasetemp() / "written"
    folder.mkdir(exist_ok=True)
    words = build_word_tokenizer(["a", "red", "star", ","])
    words.save(folder)
    other = theirs(folder)
    ids = other(text, add_special_tokens=False, split_special_tokens=True).input_ids
    assert words.read(text).ids == ids == Tokenizer.from_folder(folder).read(text).ids
    assert words.named_id("unk_token") == other.unk_token_id
    assert set(other.all_special_ids) == words.special_ids


CHANGES = ["a token", "a listed token", "older files", "no configuration", "vocab.json and merges"]


@pytest.mark.parametrize("change", CHANGES)
def test_other_files_are_converted_by_transformers(qwen: Path, tmp_path: Path, change: str) -> None:
    for file in qwen.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "config.json").write_text('{"model_type": "qwen2"}')
    config = json.loads((tmp_path / CONFIG).read_text())
    if change == "older files":
        (tmp_path / "added_tokens.json").write_text(json.dumps({"<new>": len(theirs(qwen))}))
    elif change == "a listed token":
        new = {"content": "<new>", "special": False, "normalized": False}
        new |= dict.fromkeys(("lstrip", "rstrip", "single_word"), False)
        listed = {"added_tokens_decoder": {str(len(theirs(qwen))): new}}
        (tmp_path / CONFIG).write_text(json.dumps({**config, **listed}))
    elif change == "a token":
        (tmp_path / CONFIG).write_text(json.dumps({**config, "extra_special_tokens": ["<new>"]}))
    elif change == "no configuration":
        (tmp_path / CONFIG).unlink()
    else:
        model = json.loads((tmp_path / TOKENS).read_text())["model"]
        (tmp_path / TOKENS).unlink()
        (tmp_path / "vocab.json").write_text(json.dumps(model["vocab"]))
        merges = "\n".join(map(" ".join, model["merges"]))
        (tmp_path / "merges.txt").write_text(f"#version: 0.2\n{merges}\n")
    own, other = Tokenizer.from_folder(tmp_path), theirs(tmp_path)
    for text in (*CORPUS, "<new> a"):
        expected = other(text, add_special_tokens=False, split_special_tokens=True).input_ids
        assert own.read(text).ids == expected
    assert own.vocabulary() == other.get_vocab()


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda own: pickle.loads(pickle.dumps(own))])
def test_control_tokens_of_users_stay_text_in_a_copy(qwen: Path, copied: object) -> None:
    own = Tokenizer.from_folder(qwen)
    assert callable(copied)
    ids = copied(own).read("<|im_end|>").ids
    assert ids == own.read("<|im_end|>").ids
    assert own.id("<|im_end|>") not in ids


def test_a_chat_template_beside_it_is_kept(qwen: Path, tmp_path: Path) -> None:
    for name in (TOKENS, CONFIG):
        (tmp_path / name).write_bytes((qwen / name).read_bytes())
    (tmp_path / "chat_template.jinja").write_text("{{ messages }}")
    (tmp_path / "again").mkdir()
    Tokenizer.from_folder(tmp_path).save(tmp_path / "again")
    chat = getattr(theirs(tmp_path / "again"), "chat_template", None)
    assert chat == "{{ messages }}"


@pytest.mark.parametrize(
    "text", ['{"a": 1}', '{"version": "1.0", "added_tokens": [], "model": {"type": "New"}}']
)
def test_what_is_no_tokenizer_is_said(tmp_path: Path, text: str) -> None:
    load("harmon-mini").pipeline.save_pretrained(tmp_path / "model")
    (tmp_path / "model" / TOKENS).write_text(text)
    with pytest.raises(CheckpointError, match=r"the tokenizer in .* cannot be opened: "):
        load(str(tmp_path / "model"))


def test_a_model_without_turns_is_told_so() -> None:
    backend = Backend(BPE({"a": 0}, []))
    with pytest.raises(ValueError, match=r"no <\|im_start\|>"):
        Processor(Tokenizer(backend, {})).generation_ids("a")


def test_opening_a_model_does_not_wait_for_transformers() -> None:
    code = (
        "import sys; from harmon_eval.model.checkpoint import load; load('harmon-mini');"
        "print('transformers' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]
