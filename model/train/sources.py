"""Rows of training data: whatever ``datasets`` reads, made into prompts, turns and pictures."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from harmon_eval.model.train.recipe import RecipeError, Source

if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset


# As harmon_eval.files.images has them, which the model does not import; never EPS.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")


class BrokenRow(Exception):
    """This row cannot be used: another takes its place, and it is counted."""


# What a damaged file, a missing column or a caption of another type comes to.
BROKEN = (
    BrokenRow,
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    IndexError,
    SyntaxError,
    UnidentifiedImageError,
    Image.DecompressionBombError,
)


@dataclass(frozen=True)
class Row:
    """``prompt`` to draw, or ``turns`` of question and answer; ``picture`` opens the image.

    An edit has ``source``, which opens the image to change; ``picture`` is then the target."""

    prompt: str = ""
    turns: tuple[tuple[str, str], ...] = ()
    picture: Callable[[], Image.Image] | None = None
    source: Callable[[], Image.Image] | None = None


class Rows(Protocol):
    """Rows that can be had by number. ``length`` None: without end."""

    length: int | None

    def row(self, index: int, rng: np.random.Generator) -> Row:
        """Raises one of ``BROKEN``."""
        ...


def shuffled(seed: int, number: int, position: int, length: int | None) -> int:
    """Which row the ``position``-th sample of source ``number`` is: every epoch another order."""
    if length is None:
        return position
    epoch, place = divmod(position, length)
    return int(_order(seed, number, epoch, length)[place])


@lru_cache(maxsize=8)  # a permutation of millions is made once an epoch
def _order(seed: int, number: int, epoch: int, length: int) -> np.ndarray:
    return np.random.default_rng((seed, 3, number, epoch)).permutation(length)


class DatasetRows:
    """Rows of a ``datasets.Dataset``, pictures undecoded until they are needed."""

    def __init__(self, source: Source, dataset: Dataset) -> None:
        self.source, self.dataset = source, dataset
        self.length: int | None = len(dataset)
        if not self.length:
            raise RecipeError(f"{source.data} {', '.join(source.files)} holds no rows")

    def row(self, index: int, rng: np.random.Generator) -> Row:
        return make_row(self.dataset[index], self.source, rng)


class StreamedRows:
    """Rows of a ``datasets.IterableDataset``, in its order, epoch after epoch.

    Every process reads the whole stream and uses its own rows, undecoded ones costing little: so
    the order is that of one process on any number of them."""

    def __init__(self, source: Source, dataset: IterableDataset) -> None:
        self.source, self.dataset = source, dataset
        self.epoch, self.position, self.read = 0, 0, 0
        self._rows = self._through()
        self._held: dict[int, Mapping[str, Any]] = {}

    def _through(self) -> Iterator[Mapping[str, Any]]:
        while True:
            self.dataset.set_epoch(self.epoch)
            for row in self.dataset:
                self.read += 1
                yield row
            if not self.read:
                raise RecipeError(f"{self.source.data} {', '.join(self.source.files)} is empty")
            self.epoch, self.read = self.epoch + 1, 0

    def window(self, first: int, count: int) -> Rows:
        """Samples ``first`` ... ``first + count - 1`` of the stream, which only moves forward."""
        while self.position < first:
            next(self._rows)
            self.position += 1
        held = [next(self._rows) for _ in range(count)]
        self.position += count
        return _Window(self.source, held, first)

    def state(self) -> dict[str, Any]:
        return {
            "epoch": self.epoch,
            "position": self.position,
            "read": self.read,
            "dataset": self.dataset.state_dict(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        self.epoch, self.position, self.read = state["epoch"], state["position"], state["read"]
        self.dataset.load_state_dict(state["dataset"])
        self._rows = self._through()


@dataclass
class _Window:
    source: Source
    held: list[Mapping[str, Any]]
    first: int
    length: int | None = None

    def row(self, index: int, rng: np.random.Generator) -> Row:
        return make_row(self.held[(index - self.first) % len(self.held)], self.source, rng)


def open_rows(source: Source, seed: int, size: int = 64) -> Rows | StreamedRows:
    """The rows of a source; scenes are rendered in ``size``.

    Raises RecipeError where ``datasets`` cannot open it."""
    if source.data == "scenes":
        from harmon_eval.model.train.scenes import SceneRows

        return SceneRows(source, seed, size)
    try:
        import datasets
        from datasets.exceptions import DatasetsError
    except ImportError:
        raise RecipeError(
            'training data is read with datasets: pip install "harmon-eval[train]"'
        ) from None
    try:
        files = {source.split: list(source.files)} if source.files else None
        opened = datasets.load_dataset(
            source.data, data_files=files, split=source.split, streaming=source.streaming
        )
    except (DatasetsError, OSError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise RecipeError(f"cannot open the data {source.data!r}: {reason[:300]}") from None
    if isinstance(opened, datasets.IterableDataset):
        return StreamedRows(source, opened.decode(False))
    for name, feature in opened.features.items():
        if isinstance(feature, datasets.Image):
            opened = opened.cast_column(name, datasets.Image(decode=False))
    return DatasetRows(source, opened)


def make_row(values: Mapping[str, Any], source: Source, rng: np.random.Generator) -> Row:
    """A row of a dataset by the source's templates. Raises one of ``BROKEN``."""
    if name := values.get("annotation"):
        text = Path(source.annotations, name).read_text(encoding="utf-8")
        values = {**values, **json.loads(text)}
    row = Row()
    if source.task != "text":
        stored = values[source.image]
        row = replace(row, picture=lambda: open_picture(stored, source.images))
    if source.task == "edit":
        before = _only(values[source.source], source.source)
        row = replace(row, source=lambda: open_picture(before, source.images))
    if source.task in ("text2image", "edit"):
        return replace(row, prompt=_filled(source.prompt, values))
    question = source.questions[rng.integers(len(source.questions))]
    if source.task == "reconstruct":
        return replace(row, prompt=_filled(question, values))
    return replace(row, turns=((_filled(question, values), _filled(source.answer, values)),))


def _filled(template: str, values: Mapping[str, Any]) -> str:
    text = template.format_map(values).strip()
    if not text or text == "None":
        raise BrokenRow(f"{template} is empty")
    return text


def _only(stored: Any, column: str) -> Any:
    """The picture of a column that may hold a list of them. Raises BrokenRow for several."""
    if not isinstance(stored, list):
        return stored
    if len(stored) != 1:
        raise BrokenRow(f"{column} holds {len(stored)} pictures; an edit takes one source")
    return stored[0]


def open_picture(stored: Any, folder: str) -> Image.Image:
    """RGB picture from bytes, a path (below ``folder``) or an open picture."""
    if isinstance(stored, Mapping):
        stored = stored["bytes"] if stored.get("bytes") is not None else stored["path"]
    if isinstance(stored, bytes):
        stored = io.BytesIO(stored)
    elif isinstance(stored, str):
        stored = Path(folder, stored)
    elif isinstance(stored, Image.Image):
        return _seen(stored)
    with Image.open(stored, formats=FORMATS) as image:
        return _seen(image)


def _seen(image: Image.Image) -> Image.Image:
    """RGB of 8 bits, upright, with what is transparent on white."""
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8))
    elif image.mode in ("I", "F"):
        raise BrokenRow(f"a picture of mode {image.mode}: save it in 8 or 16 bit")
    image = ImageOps.exif_transpose(image)
    if image.has_transparency_data:
        over = image.convert("RGBA")
        image = Image.new("RGB", over.size, "white")
        image.paste(over, mask=over.getchannel("A"))
    return image.convert("RGB")


def square_crop(image: Image.Image, size: int, place: float) -> Image.Image:
    """The square at the share ``place`` (0 to 1) along the longer side, resized (bicubic)."""
    side = min(image.size)
    left = round(place * (image.width - side))
    top = round(place * (image.height - side))
    return image.crop((left, top, left + side, top + side)).resize((size, size))
