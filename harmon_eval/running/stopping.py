"""Ctrl-C, SIGTERM and SIGHUP: the batch that is being answered is stored, then the run ends.

Schedulers send SIGTERM and kill half a minute later (Slurm's KillWait), so a batch may take
``GRACE`` seconds; a second signal ends the run at once. What is not stored is asked next time.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

GRACE = 20.0
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(KeyboardInterrupt):
    """A signal ended the run; the exit code is 128 + its number."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.code = 128 + number


@dataclass
class _State:
    """Signals come to the process as a whole, so there is one."""

    received: int = 0
    patient: bool = False


_state = _State()


def asked() -> bool:
    """Whether a signal waits for the batches under way: begin no other."""
    return bool(_state.received)


def check() -> None:
    """Raises Stopped where a signal waits: what is half done must not be taken for whole."""
    if _state.received:
        raise Stopped(_state.received)


@contextmanager
def listening() -> Iterator[None]:
    """Within it the signals end the run as described. A signal that is ignored stays so (nohup).

    For commands, which own their process; elsewhere than in the main thread it does nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {s: signal.getsignal(s) for s in SIGNALS}
    _state.received, _state.patient = 0, False
    for number in SIGNALS:
        if before[number] is not signal.SIG_IGN:
            signal.signal(number, _received)
    try:
        yield
    finally:
        for number in SIGNALS:
            signal.signal(number, before[number])
        _state.received = 0


@contextmanager
def finishing_batches() -> Iterator[None]:
    """Within it a first signal is only noted (``asked``); at its end the run ends.

    Raises Stopped there, or inside after ``GRACE`` seconds or at a second signal."""
    _state.patient = True
    try:
        yield
    finally:
        _state.patient = False
        if _state.received:
            signal.setitimer(signal.ITIMER_REAL, 0)
    if _state.received:
        raise Stopped(_state.received)


def _received(number: int, frame: FrameType | None) -> None:
    if not _state.patient or _state.received:
        _state.patient = False
        raise Stopped(_state.received or number)
    _state.received = number
    print(
        f"\n{signal.Signals(number).name}: finishing the batch (again: stop at once)",
        file=sys.stderr,
    )
    signal.signal(signal.SIGALRM, lambda *_: _received(number, None))
    signal.setitimer(signal.ITIMER_REAL, GRACE)
