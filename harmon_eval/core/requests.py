"""What a model is asked. A new kind of request is one class here and one method of a Responder."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, Protocol, runtime_checkable


@runtime_checkable
class Request(Protocol):
    """What a model is asked, as a frozen dataclass.

    ``verb`` is the method of ``Responder`` that answers it. ``gives`` says what that method returns
    for each request: "image" (PIL), "text" (str) or "vector" (a one-dimensional NumPy array). The
    runner sets ``seed`` from (run seed, task, sample id). Reports show ``text`` and ``files`` (the
    input images). To add a kind of request, add a class like this and a method of ``Responder``.
    """

    verb: ClassVar[str]
    gives: ClassVar[str]
    deed: ClassVar[str]  # completes "this model cannot ..."

    @property
    def seed(self) -> int: ...

    @property
    def text(self) -> str: ...

    @property
    def files(self) -> tuple[Path, ...]: ...


@dataclass(frozen=True, slots=True)
class Draw:
    """Generate one image for ``prompt``.

    ``index`` numbers the images of one prompt, so that images made elsewhere can be matched to
    requests."""

    verb: ClassVar[str] = "draw"
    gives: ClassVar[str] = "image"
    deed: ClassVar[str] = "draw images"

    prompt: str
    seed: int = 0
    index: int = 0

    @property
    def text(self) -> str:
        return self.prompt

    @property
    def files(self) -> tuple[Path, ...]:
        return ()


@dataclass(frozen=True, slots=True)
class Edit:
    """Change ``images`` (files, in order) as ``instruction`` says, and give one image.

    ``language`` is that of the instruction, such as "en" or "cn". ``mask`` is a file that shows
    where to edit (white), if the benchmark has one. The model chooses the size of its result.
    ``index`` numbers the results for the same images and instruction."""

    verb: ClassVar[str] = "edit"
    gives: ClassVar[str] = "image"
    deed: ClassVar[str] = "edit images"

    images: tuple[Path, ...]
    instruction: str
    language: str = "en"
    mask: Path | None = None
    seed: int = 0
    index: int = 0

    @property
    def text(self) -> str:
        return self.instruction

    @property
    def files(self) -> tuple[Path, ...]:
        return (*self.images, self.mask) if self.mask else self.images


@dataclass(frozen=True, slots=True)
class Ask:
    """Answer ``question`` about ``images`` (files, in order; empty for a question about text).

    ``system`` is the system message, if a judge's protocol has one."""

    verb: ClassVar[str] = "ask"
    gives: ClassVar[str] = "text"
    deed: ClassVar[str] = "answer questions"

    question: str
    images: tuple[Path, ...] = ()
    max_new_tokens: int = 64
    seed: int = 0
    system: str = ""

    @property
    def text(self) -> str:
        return self.question

    @property
    def files(self) -> tuple[Path, ...]:
        return self.images

    def parts(self) -> list[str | Path]:
        """Texts and images in order, for models that accept them interleaved.

        Images come first. But if the question has a marker for each image, such as ``<image 2>``,
        each image replaces its marker. The marker that appears first stands for the first image
        (MMMU's convention)."""
        texts = re.split(r"(<image \d>)", self.question)
        markers = list(dict.fromkeys(texts[1::2]))
        if not markers or len(markers) != len(self.images):
            return [*self.images, self.question]
        own = dict(zip(markers, self.images, strict=True))
        parts = [own[text] if k % 2 else text for k, text in enumerate(texts)]
        return [part for part in parts if isinstance(part, Path) or part.strip()]


@dataclass(frozen=True, slots=True)
class Score:
    """How likely is each of ``options`` as the reply to ``question`` about ``images``?

    ``kind`` "first": each option is a tuple of forms, and the answer is how likely one of them
    begins the reply. "whole": each option is a tuple of one text, and the answer is how likely it
    is as the whole reply. The response is JSON text (``replies.probabilities``)."""

    verb: ClassVar[str] = "score"
    gives: ClassVar[str] = "text"
    deed: ClassVar[str] = "give probabilities"

    question: str
    options: tuple[tuple[str, ...], ...]
    images: tuple[Path, ...] = ()
    kind: Literal["first", "whole"] = "first"
    seed: int = 0
    system: str = ""

    @property
    def text(self) -> str:
        return "\n".join((self.question, *(f"- {forms[0]}" for forms in self.options)))

    @property
    def files(self) -> tuple[Path, ...]:
        return self.images


@dataclass(frozen=True, slots=True)
class Embed:
    """Compute the feature vector of the image file ``image``.

    ``view`` 0 is the unchanged image, k >= 1 its k-th random crop. ``files.images.viewed`` opens
    both."""

    verb: ClassVar[str] = "embed"
    gives: ClassVar[str] = "vector"
    deed: ClassVar[str] = "embed images"

    image: Path
    view: int = 0
    seed: int = 0

    @property
    def text(self) -> str:
        return ""

    @property
    def files(self) -> tuple[Path, ...]:
        return (self.image,)
