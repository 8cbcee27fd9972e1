"""Images that came over the wire, as files in a folder that lives as long as the server."""

from __future__ import annotations

import base64
import binascii
import hashlib
import shutil
import tempfile
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from harmon_eval.core import Unscorable, UserError
from harmon_eval.files.images import MAX_PIXELS, decode_image
from harmon_eval.files.in_memory import InMemory
from harmon_eval.store.lock import only_writer

PREFIX = "harmon-eval-serve-"
MEMORY = 2**28  # bytes of pictures that wait decoded; beyond it they wait as files


@dataclass(frozen=True, eq=False, slots=True, weakref_slot=True)
class Picture:
    """An image that was decoded once. Its file is deleted when nothing refers to the picture."""

    file: Path
    sha256: str
    format: str
    size: tuple[int, int]


class Album:
    """Makes pictures from the bytes that clients send, of at most ``most`` pixels each."""

    def __init__(self, folder: Path, most: int = MAX_PIXELS) -> None:
        self.folder, self.most = folder, most
        self._numbers = count()
        self._lock = threading.RLock()  # a picture may go while another's room is taken
        self._held = 0  # bytes

    def picture(self, given: bytes | str) -> Picture:
        """Of the bytes of an image file, or their base64. Raises Unscorable for what is no sound
        image, and its TooLarge."""
        data = from_base64(given) if isinstance(given, str) else given
        image = decode_image(data, "the image", self.most)
        form = str(image.format).lower()
        file = self.folder / f"{next(self._numbers):08d}.{form}"
        held = self._room(4 * image.width * image.height + len(data))
        if held:
            file = InMemory.of(file, data, image)
        else:
            file.write_bytes(data)
        made = Picture(file, hashlib.sha256(data).hexdigest(), form, image.size)
        weakref.finalize(made, self._gone, self.folder / file.name, held)
        return made

    def _room(self, size: int) -> int:
        """``size`` if so many bytes more may stay in memory, else 0."""
        with self._lock:
            size = size if self._held + size <= MEMORY else 0
            self._held += size
        return size

    def _gone(self, file: Path, held: int) -> None:
        file.unlink(missing_ok=True)
        with self._lock:
            self._held -= held


def from_base64(text: str) -> bytes:
    """The bytes of base64 text, also of a ``data:`` URL. Raises Unscorable."""
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        found = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        try:  # lines of 76 characters, as MIME writes them
            found = base64.b64decode("".join(text.split()), validate=True)
        except (binascii.Error, ValueError) as error:
            raise Unscorable(f"the image is no base64 text ({error})") from None
    if not found:
        raise Unscorable("the image is empty")
    return found


@contextmanager
def folder() -> Iterator[Path]:
    """A folder of this server; those that killed servers left are removed."""
    place = Path(tempfile.gettempdir())
    for left in place.glob(f"{PREFIX}*"):
        if left.is_symlink() or not left.is_dir():
            continue
        try:
            with only_writer(left):
                shutil.rmtree(left, ignore_errors=True)
        except UserError:  # another server works there
            continue
    # It gets its name when it is locked, so that no other server takes it for one that was left.
    own = Path(tempfile.mkdtemp(prefix=f".{PREFIX}"))
    try:
        with only_writer(own):
            own = own.rename(own.with_name(own.name.removeprefix(".")))
            yield own
    finally:
        shutil.rmtree(own, ignore_errors=True)
