"""Convert text and images to the network's ids and tensors, and back.

Prompts, padding and pixel rules follow the Harmon release.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tokenizers import Regex, pre_tokenizers
from tokenizers import Tokenizer as Backend
from tokenizers.models import WordLevel
from torch import Tensor

from harmon_eval.model.harmon import IGNORED_LABEL, IMAGE_PLACE
from harmon_eval.model.tokenizer import Tokenizer

TURN_START, TURN_END, TEXT_END = "<|im_start|>", "<|im_end|>", "<|endoftext|>"
UNCONDITIONAL = "Generate an image."
REPEAT = "Repeat this image."  # what guidance of an edit points away from
GREY = (127, 127, 127)


def build_word_tokenizer(words: Sequence[str]) -> Tokenizer:
    """A closed vocabulary of words and punctuation marks; anything else is ``<unk>``."""
    specials = [TEXT_END, TURN_START, TURN_END, "<unk>"]
    return _word_tokenizer({w: i for i, w in enumerate([*specials, *sorted(set(words))])})


def _word_tokenizer(vocabulary: dict[str, int]) -> Tokenizer:
    backend = Backend(WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Split(Regex(r"[.,:;?!'()]"), behavior="isolated"),
        ]
    )
    named = {"eos_token": TURN_END, "pad_token": TEXT_END, "unk_token": "<unk>"}
    return Tokenizer.build(backend, [TURN_START], **named)


def with_words(tokenizer: Tokenizer, words: Sequence[str]) -> Tokenizer:
    """A word tokenizer with more words: new ids follow the old ones, which stay as they are.

    Raises ValueError for a tokenizer of another kind and for words that it has."""
    if not tokenizer.of_words:
        raise ValueError("words can be appended to a word tokenizer only")
    old = tokenizer.vocabulary()
    if known := sorted(set(words) & set(old)):
        raise ValueError(f"the tokenizer has {', '.join(known)} already")
    vocabulary = old | {word: len(old) + i for i, word in enumerate(words)}
    return _word_tokenizer(vocabulary)


def pad_right(rows: Sequence[Sequence[int]], value: int, multiple: int = 1) -> Tensor:
    """Rows of ids -> one tensor (B, T), padded on the right. T is a multiple of ``multiple``."""
    width = max(len(row) for row in rows)
    width += -width % multiple
    return torch.tensor([[*row, *[value] * (width - len(row))] for row in rows])


def rgb(image: Image.Image) -> Image.Image:
    """The image in RGB; alpha is dropped, as in the release.

    Raises ValueError for what is no image, and for values of more than 8 bit, which Pillow would
    cut off at 255."""
    if not isinstance(image, Image.Image):
        raise ValueError(f"give a PIL image, such as Image.open(FILE), not {type(image).__name__}")
    if image.mode == "F" or image.mode.startswith("I"):
        raise ValueError(f"an image of mode {image.mode}: scale its values to 8 bit first")
    return image.convert("RGB")


@dataclass(frozen=True)
class Processor:
    """Text to ids and back, images to tensors and back.

    ``full_stop`` ends generation prompts with a full stop, as the authors' batch script does. Their
    single-prompt script and training data do not. It is part of a score's provenance."""

    tokenizer: Tokenizer
    full_stop: bool = False

    @classmethod
    def from_folder(cls, folder: Path) -> Processor:
        """Read the tokenizer files of a model folder. Runs no code from the folder."""
        return cls(Tokenizer.from_folder(folder))

    @classmethod
    def from_name(cls, name: str) -> Processor:
        """Load a published tokenizer from the hub's cache, or download it from the hub."""
        return cls(Tokenizer.from_name(name))

    def save(self, folder: Path) -> None:
        self.tokenizer.save(folder)

    # -- text --------------------------------------------------------------------------------

    @property
    def stop_ids(self) -> frozenset[int]:
        found = {self.tokenizer.id(token) for token in (TURN_END, TEXT_END)}
        return frozenset(i for i in found if i is not None and i != self._unknown)

    @property
    def pad_id(self) -> int:
        pad = self.tokenizer.named_id("pad_token")
        return pad if pad is not None else self._special(TURN_END)

    @property
    def _unknown(self) -> int | None:
        return self.tokenizer.named_id("unk_token")

    def _special(self, token: str) -> int:
        if (found := self.tokenizer.id(token)) is None and (found := self._unknown) is None:
            raise ValueError(f"the tokenizer has no {token}: take that of the model's LLM")
        return found

    def _plain(self, text: str) -> list[int]:
        """Ids of text from users: control tokens in it are treated as ordinary characters."""
        ids = self.tokenizer.read(text).ids
        if (unknown := self._unknown) is None:
            return ids
        control = self.tokenizer.special_ids
        return [unknown if i in control else i for i in ids]

    def unknown_words(self, text: str) -> list[str]:
        """The parts of a text that this tokenizer reads as its unknown token, each once.

        Tokenizers of bytes, such as Qwen's, know every text."""
        if (unknown := self._unknown) is None:
            return []
        read = self.tokenizer.read(text)
        places = zip(read.ids, read.offsets, strict=True)
        return list(dict.fromkeys(text[a:b] for i, (a, b) in places if i == unknown))

    def _turn(self, content: list[int]) -> list[int]:
        start, end = self._special(TURN_START), self._special(TURN_END)
        return [start, *content, end, *self._plain("\n"), start, *self._plain("assistant\n")]

    def generation_text(self, prompt: str) -> str:
        prompt = prompt.strip()
        stop = "." if self.full_stop and not prompt.endswith(".") else ""
        return f"Generate an image: {prompt}{stop}"

    def generation_ids(self, prompt: str) -> list[int]:
        return self._turn(self._plain(f"user\n{self.generation_text(prompt)}"))

    def unconditional_ids(self) -> list[int]:
        return self._turn(self._plain(f"user\n{UNCONDITIONAL}"))

    def question_ids(self, question: str, image_places: int) -> list[int]:
        """Ids of a question about one image, or without an image (``image_places`` 0)."""
        if image_places == 0:
            return self._turn(self._plain(f"user\n{question}"))
        places = [IMAGE_PLACE] * image_places
        return self._turn([*self._plain("user\n"), *places, *self._plain(f"\n{question}")])

    def edit_ids(self, instruction: str, image_places: int) -> list[int]:
        """Ids of an instruction to change one image (UniPic-1): the image, then the instruction."""
        return self.question_ids(instruction.strip(), image_places)

    def reply_ids(self, text: str) -> list[int]:
        """Ids of a whole reply and of the token that ends it."""
        return [*self._plain(text), self._special(TURN_END)]

    def first_id(self, text: str) -> int:
        """The first token of a reply that begins with this text. Raises ValueError for none."""
        if not (ids := self._plain(text)):
            raise ValueError(f"{text!r} is no token of this model")
        return ids[0]

    def token(self, token: int) -> str:
        """The text of one token."""
        return self.tokenizer.write([token])

    def training_turn(
        self, question: str, answer: str, image_places: int
    ) -> tuple[list[int], list[int]]:
        """Ids and labels of a question and its answer. Only the answer and its end token have
        labels."""
        prompt = self.question_ids(question, image_places)
        reply = self.reply_ids(answer)
        return prompt + reply, [IGNORED_LABEL] * len(prompt) + reply

    def batch(self, rows: Sequence[Sequence[int]], multiple: int = 1) -> tuple[Tensor, Tensor]:
        """Right-padded ids and attention mask, each (B, T); T is a multiple of ``multiple``."""
        mask = pad_right([[1] * len(row) for row in rows], 0, multiple)
        return pad_right(rows, self.pad_id, multiple), mask

    def decode(self, ids: Sequence[int]) -> str:
        text = self.tokenizer.write(ids, special=False)
        if self.tokenizer.of_words:
            for mark in ".,:;?!":
                text = text.replace(f" {mark}", mark)
        return text.strip()

    # -- images ------------------------------------------------------------------------------

    @staticmethod
    def pad_to_square(image: Image.Image) -> Image.Image:
        """Centre on a grey (127, 127, 127) square. An odd pixel goes to the right or bottom."""
        image = rgb(image)
        width, height = image.size
        side = max(width, height)
        square = Image.new("RGB", (side, side), GREY)
        square.paste(image, ((side - width) // 2, (side - height) // 2))
        return square

    def pixels(self, images: Sequence[Image.Image], size: int) -> Tensor:
        """Images padded to squares and resized (bicubic): (B, 3, size, size) in [-1, 1]."""
        return self._scaled([self.pad_to_square(image).resize((size, size)) for image in images])

    def cropped_pixels(self, images: Sequence[Image.Image], height: int, width: int) -> Tensor:
        """Images to edit, cropped at the centre to that shape and resized (bicubic):
        (B, 3, height, width) in [-1, 1]."""
        cropped = [self.centre_crop(image, height, width) for image in images]
        return self._scaled([image.resize((width, height)) for image in cropped])

    @staticmethod
    def _scaled(images: Sequence[Image.Image]) -> Tensor:
        """RGB images of one size -> (B, 3, H, W) in [-1, 1]."""
        array = np.stack([np.asarray(image) for image in images])
        # Contiguous, because convolutions and norms on channels-last CPU tensors take longer and
        # round ten times worse.
        return torch.from_numpy(array).permute(0, 3, 1, 2).contiguous().float() * 2 / 255 - 1

    @staticmethod
    def centre_crop(image: Image.Image, height: int, width: int) -> Image.Image:
        """The largest part of the shape height : width around the centre. An odd pixel is cut off
        at the right or bottom."""
        image = rgb(image)
        w, h = image.size
        # Whole numbers: a square is cut to exactly its shorter side.
        wide, high = (
            (h * width // height, h) if w * height > h * width else (w, w * height // width)
        )
        wide, high = max(1, wide), max(1, high)
        left, top = (w - wide) // 2, (h - high) // 2
        return image.crop((left, top, left + wide, top + high))

    @staticmethod
    def to_images(pixels: Tensor) -> list[Image.Image]:
        """(B, 3, H, W) in [-1, 1] -> 8-bit images: clamp(127.5 x + 128, 0, 255), truncated.

        Raises ValueError for NaN or infinity, which would otherwise silently become noise."""
        if not bool(pixels.isfinite().all()):
            raise ValueError("the decoded image is not finite (it contains NaN or infinity)")
        array = (127.5 * pixels.float() + 128).clamp(0, 255).to(torch.uint8)
        return [Image.fromarray(image) for image in array.permute(0, 2, 3, 1).cpu().numpy()]
