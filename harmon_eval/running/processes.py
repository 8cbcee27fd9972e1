"""Several processes at one run folder: who takes part, who is alive, who does which share.

Files carry everything; there is no collective call, so nobody waits for the slowest::

    RUN/.processes/RANK-TOKEN      one file a living process: locked, and touched every two seconds
    RUN/.session-TOKEN/            of one launch: NAME.N is the N-th claim of a share, NAME.done

A share whose process died is claimed again under the next number: creating a file that must not
exist is the only step that has to be atomic, and it is so on network file systems too.
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
import secrets
import shutil
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harmon_eval.core import UserError

BEAT = 2.0  # seconds between two signs of life
DEAD_AFTER = 60.0  # without a sign of life, on another host
START_WAIT = 600.0  # for process 0 to appear; HARMON_EVAL_WAIT sets another
POLL = 0.05


@dataclass(frozen=True)
class Launch:
    """Process ``rank`` of ``size``; ``name`` is what the processes of one launch share."""

    rank: int = 0
    size: int = 1
    name: str = ""
    wait: float = START_WAIT

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Launch:
        """RANK and WORLD_SIZE, as torchrun and ``accelerate launch`` set them. Raises UserError."""
        try:
            rank = int(environment.get("RANK", "0"))
            size = int(environment.get("WORLD_SIZE", "1"))
            wait = float(environment.get("HARMON_EVAL_WAIT", START_WAIT))
        except ValueError:
            raise UserError(
                "RANK and WORLD_SIZE must be whole numbers, HARMON_EVAL_WAIT seconds"
            ) from None
        if not 0 <= rank < size:
            raise UserError(f"RANK {rank} of WORLD_SIZE {size}: ranks count from 0")
        shared = ("MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_RUN_ID", "SLURM_JOB_ID")
        return cls(rank, size, "/".join(environment.get(name, "") for name in shared), wait)


def host() -> str:
    """This machine since its last start: only here does a lock tell who lives."""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{platform.node()} {boot}"
    return platform.node()


class Members:
    """The processes at a run folder, by the files that they keep."""

    def __init__(self, run: Path) -> None:
        self.run = run
        self.folder = run / ".processes"
        self._beats: dict[str, tuple[int, float]] = {}
        self._known: dict[str, tuple[bool, float]] = {}

    def read(self, name: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = json.loads((self.folder / name).read_text())
        except (OSError, ValueError):
            return None
        return found

    def alive(self, name: str) -> bool:
        """On this host the lock tells at once; elsewhere a beat within the last minute does.

        Beats are compared by this process's own clock: how the clocks of hosts differ is no
        matter. A process of another host counts as alive until it was silent that long."""
        known, when = self._known.get(name, (False, -1.0))
        if when >= 0 and (not known or time.monotonic() - when < 0.5):
            return known
        found = self._alive(name)
        self._known[name] = (found, time.monotonic())
        return found

    def _alive(self, name: str) -> bool:
        try:
            with (self.folder / name).open() as file:
                member = json.loads(file.read() or "{}")
                if member.get("host") == host():
                    try:
                        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                    except BlockingIOError:
                        return True
                    return False
                beat, now = os.fstat(file.fileno()).st_mtime_ns, time.monotonic()
        except (OSError, ValueError):
            return False
        before, since = self._beats.get(name, (None, now))
        if beat != before:
            self._beats[name] = (beat, now)
            return True
        return now - since < DEAD_AFTER

    def names(self) -> list[str]:
        """Only files that a process can have made: links and pipes of others are left alone."""
        found = os.scandir(self.folder) if self.folder.exists() else []
        return sorted(entry.name for entry in found if entry.is_file(follow_symlinks=False))

    def others(self, own: str) -> list[str]:
        return [name for name in self.names() if name != own and self.alive(name)]


class Team:
    """This process among those of its launch; alone, every share is its own."""

    def __init__(
        self,
        launch: Launch | None = None,
        session: Path | None = None,
        member: str = "",
        members: Members | None = None,
        begun: bool = False,
    ) -> None:
        launch = launch or Launch()
        self.rank, self.size, self.wait = launch.rank, launch.size, launch.wait
        self.session, self.member, self.members = session, member, members
        self.begun = begun or session is not None  # the first process has started every task

    def shares(self, names: Sequence[str]) -> Iterator[tuple[str, bool]]:
        """Each share that falls to this process, and whether a dead one had begun it.

        Ends when all are done, by whomever. A share that is left by an exception is free again."""
        left = dict.fromkeys(names)
        while left:
            worked = False
            for name in list(left):
                attempt = self._claim(name)
                if attempt is None:
                    if self.result(name) is not None:
                        del left[name]
                    continue
                try:
                    yield name, attempt > 0
                except GeneratorExit:
                    self._release(name, attempt)
                    raise
                if self.result(name) is None:
                    self.finish(name)
                del left[name]
                worked = True
            if left and not worked:
                time.sleep(POLL)

    def _claim(self, name: str) -> int | None:
        """Number of the claim, None if the share is another's or done."""
        if self.session is None:
            return 0
        attempt = 0
        while not (self.session / f"{name}.done").exists():
            try:
                with (self.session / f"{name}.{attempt}").open("x") as file:
                    file.write(self.member)
                return attempt
            except FileExistsError:
                if self._owner_lives(self.session / f"{name}.{attempt}"):
                    return None
                attempt += 1
            except FileNotFoundError:
                raise UserError(
                    "this process was taken for dead by the others, which went on without it"
                ) from None
        return None

    def _owner_lives(self, claim: Path) -> bool:
        assert self.members is not None
        try:
            owner = claim.read_text()
        except FileNotFoundError:
            return True  # done or given back a moment ago: look again
        if not owner:  # between creating and writing, unless it died there
            return time.time() - claim.stat().st_mtime < 5.0
        return owner == self.member or self.members.alive(owner)

    def _release(self, name: str, attempt: int) -> None:
        if self.session is not None:
            (self.session / f"{name}.{attempt}").unlink(missing_ok=True)

    def finish(self, name: str, result: object = True) -> None:
        """Say that a share is done and what came of it (JSON)."""
        if self.session is not None:
            done = self.session / f"{name}.done"
            temporary = self.session / f".{name}.{self.member}"
            temporary.write_text(json.dumps(result))
            temporary.replace(done)

    def result(self, name: str) -> Any:
        """What came of a share; None while it is not done. Alone there is nobody to tell."""
        if self.session is None:
            return None
        try:
            return json.loads((self.session / f"{name}.done").read_text())
        except (OSError, ValueError):
            return None

    def wait_for_all(self) -> None:
        """A while for every process of the launch to come, so that a late one finds the others."""
        end = time.monotonic() + min(self.wait, DEAD_AFTER)
        while self.session is not None and time.monotonic() < end:
            came = {p.name.split("-")[0] for p in self.session.glob("*-*.came")}
            if len(came) >= self.size:
                return
            time.sleep(POLL)


ALONE = Team()


class Seat:
    """This process's place at a run folder, from ``joined``."""

    def __init__(self, members: Members, launch: Launch, member: str) -> None:
        self.members, self.launch, self.member = members, launch, member

    def _current(self) -> Path | None:
        """The session of this launch: one that a living process works in."""
        for session in self.members.run.glob(".session-*"):
            came = [p.name.removesuffix(".came") for p in session.glob("*.came")]
            if any(name != self.member and self.members.alive(name) for name in came):
                return session
        return None

    @property
    def first(self) -> bool:
        """Whether this process begins the launch's work; the others wait until it has."""
        return self.launch.rank == 0 and self._current() is None

    def open_session(self) -> Team:
        """By the process that is ``first``, when the folder is ready for the others."""
        if self.launch.size == 1:
            return Team(self.launch, begun=True)
        for old in self.members.run.glob(".session-*"):
            shutil.rmtree(old, ignore_errors=True)
        made = self.members.run / f".opening-{self.member}"
        made.mkdir()
        (made / f"{self.member}.came").touch()
        session = self.members.run / f".session-{self.member}"
        made.rename(session)
        return Team(self.launch, session, self.member, self.members)

    def enter_session(self) -> Team:
        """Wait for the first process, then take part. Raises UserError when it does not come."""
        end = time.monotonic() + self.launch.wait
        while (session := self._current()) is None:
            ranks = {name.split("-")[0] for name in self.members.others(self.member)}
            if "0000" in ranks:
                end = time.monotonic() + self.launch.wait
            if time.monotonic() > end:
                raise UserError(
                    f"process {self.launch.rank} of {self.launch.size} waits for process 0, which "
                    f"is not at {self.members.run}: see its message, or start it too"
                )
            time.sleep(POLL)
        (session / f"{self.member}.came").touch()
        return Team(self.launch, session, self.member, self.members)


@contextmanager
def joined(run: Path, launch: Launch) -> Iterator[Seat]:
    """Take a place at an existing folder. Raises UserError while another launch works there."""
    members = Members(run)
    for own in (members.folder, run / ".lock"):
        if own.is_symlink():
            raise UserError(f"{own} is a link: a run folder holds its own files only")
    with _mutex(run):
        members.folder.mkdir(exist_ok=True)
        member = f"{launch.rank:04d}-{secrets.token_hex(4)}"
        own = (members.folder / member).open("w")
        try:
            fcntl.flock(own, fcntl.LOCK_EX)
            json.dump({**vars(launch), "host": host(), "pid": os.getpid()}, own)
            own.flush()
            _refuse_strangers(members, member, launch)
        except BaseException:
            _leave(members, member)
            own.close()
            raise
    stop = threading.Event()
    pulse = threading.Thread(target=_beat, args=(members.folder / member, stop), daemon=True)
    pulse.start()
    try:
        yield Seat(members, launch, member)
    finally:
        stop.set()
        with _mutex(run):
            own.close()
            _leave(members, member)


def _refuse_strangers(members: Members, own: str, launch: Launch) -> None:
    for name in members.names():
        if name == own:
            continue
        other = members.read(name)
        end = time.monotonic() + DEAD_AFTER
        while (alive := members._alive(name)) and other and other.get("host") != host():
            if other.get("name") == launch.name and other.get("size") == launch.size > 1:
                break
            if time.monotonic() > end:
                break
            time.sleep(BEAT)
        if not alive:
            (members.folder / name).unlink(missing_ok=True)
            continue
        ours = other is not None and (other["name"], other["size"]) == (launch.name, launch.size)
        if launch.size == 1 or not ours or name.split("-")[0] == own.split("-")[0]:
            raise UserError(
                f"another process is writing into {members.run}: wait for it, "
                "or choose another --output"
            )


def _beat(file: Path, stop: threading.Event) -> None:
    while not stop.wait(BEAT):
        with suppress(OSError):  # a full disk or a lost mount is the main thread's to report
            os.utime(file)


def _leave(members: Members, own: str) -> None:
    (members.folder / own).unlink(missing_ok=True)
    if not members.others(own):
        for session in members.run.glob(".session-*"):
            shutil.rmtree(session, ignore_errors=True)
        with suppress(OSError):
            members.folder.rmdir()


@contextmanager
def _mutex(run: Path) -> Iterator[None]:
    """One process of this host at a time, for the moments of coming and going."""
    lock = run / ".lock"
    while True:
        try:
            run.mkdir(parents=True, exist_ok=True)
            file = os.fdopen(os.open(lock, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o666), "w")
        except OSError as error:
            raise UserError(
                f"cannot write into {run} ({error.strerror}): choose another --output"
            ) from None
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if not lock.exists() or os.fstat(file.fileno()).st_ino != lock.stat().st_ino:
                continue  # a run that failed at once took its empty folder away
            yield
            return
