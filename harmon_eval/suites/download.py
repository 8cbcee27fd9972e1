"""Fetching published files: resumed where it stopped, checked, whole or absent.

Not by pooch (1.9), which takes a checksum of the whole file or none, where publishers state the
first digits, and deletes what it received when a transfer breaks off: a downloader that goes on
would have to keep the part, the check and the move to itself, which is all that is here.
"""

from __future__ import annotations

import hashlib
import re
import stat
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import replace
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING

from harmon_eval import registry
from harmon_eval.core import Remote, Task, UserError
from harmon_eval.files.cache import alone
from harmon_eval.instruments.weights import FOLDER, Weights
from harmon_eval.store.digests import sha256_of
from harmon_eval.store.durable import write_whole
from harmon_eval.suites.suite import Suite

if TYPE_CHECKING:
    from harmon_eval.running.progress import Progress

BLOCK = 2**20
TIMEOUT = 60  # seconds without a byte
MAX_MEMBER = 2**26
MAX_UNPACKED = 2**36  # all members together: 30,000 pictures take less than a tenth


def needed(name: str, task: Task, suite: Suite) -> list[Remote]:
    """Files that a task needs, by their places in a data folder: weights of its instruments that
    can be fetched, then its own data."""
    found = []
    for role in task.instruments:
        spec = suite.instrument_name(role, task)
        named = spec if isinstance(spec, str) else getattr(spec, "named", "")
        module = registry.instrument_module(role, named) if named else None
        wanted: Weights | None = getattr(module, "WEIGHTS", None)
        if wanted is not None and wanted.source.startswith("http"):
            found.append(Remote(wanted.source, f"{FOLDER}/{wanted.names[0]}", wanted.sha256))
    if (source := task.sources.get(suite.name)) is not None:
        place = source.folder or name.partition(":")[0]
        found += [replace(remote, place=f"{place}/{remote.place}") for remote in source.downloads]
    return found


def _record(target: Path) -> Path:
    return target.with_name(target.name + ".sha256")


def is_sound(remote: Remote, target: Path) -> bool:
    """Is the file there, with its published digest, or the one it had when it was fetched?"""
    if not target.is_file():
        return False
    record = _record(target)
    recorded = record.read_text().strip() if record.is_file() else ""
    return not _flaw(
        remote if remote.sha256 or remote.md5 else replace(remote, sha256=recorded), target
    )


def _flaw(remote: Remote, file: Path) -> str:
    """How the file's digest differs from the published one; empty where it does not."""
    for name, wanted in (("sha256", remote.sha256), ("md5", remote.md5)):
        with file.open("rb") as opened:
            digest = hashlib.file_digest(opened, name).hexdigest() if wanted else ""
        if not digest.startswith(wanted):
            return f"its {name.upper()} is {digest[:16]}..., expected {wanted[:16]}"
    return ""


def fetch(remote: Remote, target: Path, progress: Progress) -> None:
    """The file at ``target``: kept if sound, else fetched, from where an earlier call stopped.

    Raises UserError that says which file goes where when it cannot be had, or is another one."""
    if is_sound(remote, target):
        progress.say(f"{target} is there and sound")
        return
    target.parent.mkdir(parents=True, exist_ok=True)

    def waiting() -> None:
        progress.say(f"another process fetches {target}: waiting for it")

    with alone(target.with_name(f".{target.name}.lock"), waiting):
        if not is_sound(remote, target):  # another may have fetched it just now
            _fetch(remote, target, progress)


def _fetch(remote: Remote, target: Path, progress: Progress) -> None:
    part = target.with_name(target.name + ".part")
    try:
        _receive(remote.url, part, progress)
    except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", "") or str(error) or type(error).__name__
        raise UserError(
            f"cannot fetch {remote.url} ({reason}): give the same command again to go on, or get "
            f"the file elsewhere and put it at {target}"
        ) from None
    if flaw := _flaw(remote, part):
        part.unlink()
        raise UserError(
            f"{remote.url} is not the published file: {flaw}; get it elsewhere and put it at "
            f"{target}"
        )
    _record(target).write_text(sha256_of(part) + "\n")
    part.replace(target)


def _receive(url: str, part: Path, progress: Progress) -> None:
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        answer = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if have and error.code == 416:  # nothing is left to send, or the part belongs to another
            size = error.headers.get("Content-Range", "").rpartition("/")[2]
            if size == str(have):
                return
            part.unlink()
            _receive(url, part, progress)
            return
        raise
    with answer:
        resumed = answer.status == 206
        have = have if resumed else 0
        left = int(answer.headers.get("Content-Length") or 0)
        if resumed:
            progress.say(f"goes on at {have / 1e6:.1f} MB")
        with part.open("ab" if resumed else "wb") as file:
            received = _copy(answer.read, file.write, part.name, left, progress)
    if left and received != left:
        raise ConnectionError(f"cut short after {(have + received) / 1e6:.1f} MB")


def _copy(
    read: Callable[[int], bytes],
    write: Callable[[bytes], int],
    name: str,
    left: int,
    progress: Progress,
) -> int:
    received = 0
    with progress.bar(f"{name.removesuffix('.part')} (MB)", -(-left // BLOCK)) as advance:
        while block := read(BLOCK):
            received += write(block)
            advance(1)
    return received


def unpack(archive: Path, pattern: str, progress: Progress) -> int:
    """Members of an archive that match ``pattern``, each whole or absent; how many were missing.

    The pattern's group is a member's place beside the archive; whatever else the archive holds
    stays in it, and so do links and devices. Raises UserError for an archive that is damaged or a
    bomb."""
    try:
        with zipfile.ZipFile(archive) as packed:
            wanted = [
                (member, archive.parent / named[1])
                for member in packed.infolist()
                if (named := re.fullmatch(pattern, member.filename)) and _is_plain(member)
            ]
            if sum(member.file_size for member, _ in wanted) > MAX_UNPACKED:
                raise UserError(
                    f"{archive} unpacks to {MAX_UNPACKED / 1e9:.0f} GB and more, it is not what it "
                    "should be: delete it and prepare again"
                )
            missing = [(m, target) for m, target in wanted if not _has(target, m.file_size)]
            with progress.bar("unpacking", len(missing)) as advance:
                for member, target in missing:
                    write_whole(target, packed.read(member), archive.parent)
                    advance(1)
    # A member that is encrypted or packed in an unknown way raises a RuntimeError.
    except (zipfile.BadZipFile, EOFError, zlib.error, RuntimeError) as error:
        raise UserError(f"{archive} is damaged ({error}): delete it and prepare again") from None
    return len(missing)


def _is_plain(member: zipfile.ZipInfo) -> bool:
    kind = stat.S_IFMT(member.external_attr >> 16)
    return kind in (0, stat.S_IFREG) and member.file_size <= MAX_MEMBER


def _has(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size
