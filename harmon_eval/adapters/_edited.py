"""Results of edits that something else made: which of them answers a request.

A layout or a run names the sample. A list names the source (a file, or its SHA-256) and the
instruction; the n-th result for the same two answers the n-th request. A turn that edits an earlier
result is known by its sample alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from harmon_eval.core import Drawn, Edit, Sample, Unscorable
from harmon_eval.files.drawn import folded
from harmon_eval.files.found import check_one
from harmon_eval.files.images import open_image
from harmon_eval.store.digests import sha256_of

# Digest of the sources, seed, instruction and index of a request.
Key = tuple[str, int, str, int]
LATER = ""  # in place of the digest, for a turn whose source is not there yet


class Edited:
    """The results in ``found``. Raises UserError where one sample has two."""

    def __init__(self, found: Sequence[Drawn]) -> None:
        self._by_sample: dict[str, Path] = {}
        listed: dict[tuple[str, str], dict[Path, None]] = defaultdict(dict)
        for drawn in found:
            if drawn.sample:
                check_one([self._by_sample.setdefault(drawn.sample, drawn.file), drawn.file])
            if drawn.source:
                listed[drawn.source, folded(drawn.prompt)][drawn.file] = None
        self._listed = {key: list(files) for key, files in listed.items()}
        self._known: dict[Key, Path] = {}
        self._digests: dict[Path, str] = {}

    def match(self, samples: Sequence[Sample]) -> int:
        """Find the results of samples that ask for edits; how many have one."""
        self._known = {}
        for sample in samples:
            request = sample.request
            if not isinstance(request, Edit):
                continue
            file = self._by_sample.get(sample.id)
            if file is None and not sample.after:
                file = self._of_source(request)
            if file is not None:
                self._known[self._key(request, later=bool(sample.after))] = file
        return len(self._known)

    def file_of(self, request: Edit) -> Path | str:
        """The file with the result, or why there is none."""
        known = self._known.get(self._key(request)) or self._known.get(self._key(request, True))
        known = known or self._of_source(request)
        return known or "the folder has no result of this sample, or of its source and instruction"

    def open(self, request: Edit) -> Image.Image | Exception:
        found = self.file_of(request)
        if isinstance(found, str):
            return Unscorable(found)
        try:
            return open_image(found)
        except Unscorable as error:
            return error

    def _of_source(self, request: Edit) -> Path | None:
        if not self._listed:
            return None
        files = self._listed.get((self._sources(request), folded(request.instruction)), [])
        return files[request.index] if request.index < len(files) else None

    def _key(self, request: Edit, later: bool = False) -> Key:
        """What a sample and its request share. Each sample of a run has a seed of its own."""
        sources = LATER if later else self._sources(request)
        return sources, request.seed, folded(request.instruction), request.index

    def _sources(self, request: Edit) -> str:
        return "+".join(map(self._digest, request.images))

    def _digest(self, path: Path) -> str:
        """SHA-256 of a source; of what cannot be read, or is no file of its own, its path."""
        if path not in self._digests:
            try:
                self._digests[path] = sha256_of(path)
            except OSError:
                self._digests[path] = str(path)
        return self._digests[path]
