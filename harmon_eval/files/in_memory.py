"""Pictures that are in memory, and become files only for those who ask for a file."""

from __future__ import annotations

import threading
from pathlib import Path, PosixPath
from typing import Any

from PIL import Image

_writing = threading.Lock()


class InMemory(PosixPath):
    """The path of an image file that is decoded already, and on the disk once its name is asked
    for: creating a file can take longer than decoding a small picture.

    ``files.images`` reads it without the disk. Whoever opens it, or sends it to another process,
    finds a file there. Paths that are made from it are ordinary ones."""

    picture: Image.Image | None = None
    data: bytes | None = None  # until it is written

    @classmethod
    def of(cls, path: Path, data: bytes, picture: Image.Image) -> InMemory:
        """``picture`` is what ``images.decode_image`` gives for ``data``."""
        made = cls(path)
        made.picture, made.data = picture, data
        return made

    def __str__(self) -> str:
        name = super().__str__()
        if self.data is not None:
            with _writing:
                if self.data is not None:
                    with open(name, "wb") as file:
                        file.write(self.data)
                    self.data = None
        return name

    def __fspath__(self) -> str:
        return str(self)

    def __reduce__(self) -> Any:
        return PosixPath, (str(self),)

    def __hash__(self) -> int:
        return hash(self.name)
