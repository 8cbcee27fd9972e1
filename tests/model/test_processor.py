"""Prompts as the release writes them; pictures in and out of the network's range."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, pre_tokenizers
from tokenizers.models import BPE

from harmon_eval.model.harmon import IGNORED_LABEL, IMAGE_PLACE
from harmon_eval.model.processor import Processor, build_word_tokenizer
from harmon_eval.model.tokenizer import Tokenizer

WORDS = ["generate", "an", "image", "red", "star", "user", "assistant", "what", "is", "it"]
WORDS += [":", ".", "?", ","]


def byte_level() -> Tokenizer:
    """A tokenizer of Qwen2's class: byte-level BPE (no merges), the same control tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Backend(BPE({c: i for i, c in enumerate(alphabet)}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    named = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
    return Tokenizer.build(backend, ["<|im_start|>"], **named)


QWEN_LIKE = Processor(byte_level())
WORD_LEVEL = Processor(build_word_tokenizer(WORDS))


def read(ids: list[int]) -> str:
    return QWEN_LIKE.tokenizer.write([i for i in ids if i >= 0])


def test_a_generation_prompt_is_one_user_turn_of_the_chat_template() -> None:
    assert read(QWEN_LIKE.generation_ids("  a red star \n")) == (
        "<|im_start|>user\nGenerate an image: a red star<|im_end|>\n<|im_start|>assistant\n"
    )
    assert read(QWEN_LIKE.unconditional_ids()) == (
        "<|im_start|>user\nGenerate an image.<|im_end|>\n<|im_start|>assistant\n"
    )


def test_the_full_stop_of_the_batch_script_is_a_setting() -> None:
    with_stop = Processor(QWEN_LIKE.tokenizer, full_stop=True)
    assert with_stop.generation_text("a star") == "Generate an image: a star."
    assert with_stop.generation_text("a star.") == "Generate an image: a star."
    assert QWEN_LIKE.generation_text("a star") == "Generate an image: a star"


def test_a_question_follows_its_picture_on_a_new_line() -> None:
    ids = QWEN_LIKE.question_ids("What is it?", 5)
    first = ids.index(IMAGE_PLACE)
    assert ids[first : first + 5] == [IMAGE_PLACE] * 5
    assert read(ids[:first]) == "<|im_start|>user\n"
    assert read(ids[first:]) == "\nWhat is it?<|im_end|>\n<|im_start|>assistant\n"
    assert read(QWEN_LIKE.question_ids("Hello", 0)) == (
        "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"
    )


@pytest.mark.parametrize("processor", [QWEN_LIKE, WORD_LEVEL])
@given(text=st.text(max_size=60) | st.sampled_from(["<|im_end|>", "a<|im_start|>system", "<unk>"]))
def test_no_text_can_open_or_close_a_turn(processor: Processor, text: str) -> None:
    ids = processor.generation_ids(text)
    plain = processor.generation_ids("red")
    known = processor.tokenizer.vocabulary()
    control = [known[t] for t in ("<|im_start|>", "<|im_end|>")]
    assert [ids.count(i) for i in control] == [plain.count(i) for i in control] == [2, 1]


@given(text=st.text(max_size=60))
def test_byte_level_replies_come_back_as_they_were(text: str) -> None:
    ids = QWEN_LIKE.tokenizer.read(text).ids
    assert QWEN_LIKE.decode(ids) == text.strip()


def test_the_closed_vocabulary_writes_sentences_and_knows_what_it_does_not_know() -> None:
    ids = WORD_LEVEL.tokenizer.read("red star, is it?").ids
    assert WORD_LEVEL.decode(ids) == "red star, is it?"
    unknown = WORD_LEVEL.tokenizer.named_id("unk_token")
    assert unknown in WORD_LEVEL.generation_ids("a zebra")


def test_only_the_answer_and_its_end_are_learnt() -> None:
    ids, labels = QWEN_LIKE.training_turn("What is it?", "a star", 3)
    learnt = [i for i, label in zip(ids, labels, strict=True) if label != IGNORED_LABEL]
    assert read(learnt) == "a star<|im_end|>"
    assert learnt == [label for label in labels if label != IGNORED_LABEL]


def test_rows_of_different_lengths_are_padded_at_the_right() -> None:
    ids, mask = WORD_LEVEL.batch([[5, 6, 7], [8]])
    assert mask.tolist() == [[1, 1, 1], [1, 0, 0]]
    assert ids[1].tolist() == [8, WORD_LEVEL.pad_id, WORD_LEVEL.pad_id]


def test_a_saved_tokenizer_gives_the_same_ids(tmp_path: Path) -> None:
    WORD_LEVEL.save(tmp_path)
    again = Processor.from_folder(tmp_path)
    prompt = "a red star, is it? <|im_end|> zebra"
    assert again.generation_ids(prompt) == WORD_LEVEL.generation_ids(prompt)
    assert (again.stop_ids, again.pad_id) == (WORD_LEVEL.stop_ids, WORD_LEVEL.pad_id)


@given(st.integers(1, 40), st.integers(1, 40))
def test_a_picture_is_centred_on_grey_127(width: int, height: int) -> None:
    square = np.asarray(Processor.pad_to_square(Image.new("RGB", (width, height), (200, 10, 30))))
    side = max(width, height)
    assert square.shape == (side, side, 3)
    left, top = (side - width) // 2, (side - height) // 2
    inside = np.zeros((side, side), dtype=bool)
    inside[top : top + height, left : left + width] = True
    assert (square[inside] == (200, 10, 30)).all()
    assert (square[~inside] == 127).all()


def test_pixels_are_bicubic_in_minus_one_to_one() -> None:
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (30, 30, 3), dtype=np.uint8))
    pixels = Processor.pixels(WORD_LEVEL, [image], 20)
    expected = np.asarray(image.resize((20, 20), Image.Resampling.BICUBIC)).astype(np.float64)
    np.testing.assert_allclose(pixels[0].permute(1, 2, 0), 2 * expected / 255 - 1, atol=1e-6)


def test_eight_bits_are_truncated_not_rounded() -> None:
    values = torch.tensor([-2.0, -1.0, -0.0039, 0.0, 0.5, 0.996, 1.0, 3.0])
    pixels = values.expand(3, 1, -1)[None]
    drawn = np.asarray(Processor.to_images(pixels)[0])[0, :, 0]
    assert drawn.tolist() == [0, 0, 127, 128, 191, 254, 255, 255]


def test_all_bytes_survive_the_trip_through_the_network_range() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    image = Image.fromarray(np.stack([levels] * 3, axis=-1))
    again = Processor.to_images(WORD_LEVEL.pixels([image], 16))[0]
    difference = np.asarray(again).astype(int) - np.asarray(image)
    assert np.abs(difference).max() <= 1


def test_a_picture_that_is_not_finite_is_an_error() -> None:
    pixels = torch.zeros(1, 3, 2, 2)
    pixels[0, 0, 0, 0] = torch.nan
    with pytest.raises(ValueError, match="not finite"):
        Processor.to_images(pixels)
