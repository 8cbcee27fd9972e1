"""Where work is done: in this process, or by workers on any number of machines.

An engine is given batches and a ``Work`` that says how to make a worker, and yields each batch with
its answers, in any order. Only this process writes into the run folder; workers hold models and
instruments. ``Local`` is here, ``on_ray.OnRay`` needs the package ray.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from harmon_eval.core import UserError
from harmon_eval.running import stopping

# Ray reads these when it is imported. It sends nothing anywhere and says nothing on the terminal,
# and its workers give way to other programs no more than this process does (by default 15 steps).
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # else a warning
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",
    "RAY_worker_niceness": "0",
}
# And gives up on what is no cluster within seconds.
IMPATIENT = {"RAY_NUM_REDIS_GET_RETRIES": "1", "RAY_py_gcs_connect_timeout_s": "5"}

T = TypeVar("T")
A_co = TypeVar("A_co", covariant=True)
A = TypeVar("A")
T_contra = TypeVar("T_contra", contravariant=True)


class Worker(Protocol[T_contra, A_co]):
    """Answers batches. ``facts`` say what it holds, and are the same for all workers of a work."""

    @property
    def facts(self) -> Any: ...

    def __call__(self, batch: Sequence[T_contra], /) -> A_co: ...


class Work(Protocol[T_contra, A_co]):
    """How to make a worker. Small and, for workers elsewhere, picklable: names, no models."""

    def open(self) -> Worker[T_contra, A_co]: ...


@dataclass(frozen=True)
class Lost:
    """In place of a batch's answers: why no worker gave any."""

    reason: str


class Engine(Protocol):
    """``remote``: a work has to reach other processes, so it must hold names only."""

    remote: bool

    def facts(self, work: Work[Any, Any]) -> Any:
        """Of the work's first worker, which is made where there is none. Raises what that does."""

    def answers(
        self, work: Work[T, A], batches: Iterable[Sequence[T]]
    ) -> Iterator[tuple[Sequence[T], A | Lost]]:
        """Each batch with its answers, in any order. Batches are taken as workers come free, so
        that neither these nor answers pile up; none is taken once the run is asked to stop."""


class Local:
    """In this process, one batch after the other."""

    remote = False

    def __init__(self) -> None:
        self._works: list[tuple[Work[Any, Any], Worker[Any, Any]]] = []

    def _worker(self, work: Work[T, A]) -> Worker[T, A]:
        found = next((worker for known, worker in self._works if known is work), None)
        if found is None:
            found = work.open()
            self._works = [(work, found)]
        return found

    def facts(self, work: Work[Any, Any]) -> Any:
        return self._worker(work).facts

    def answers(
        self, work: Work[T, A], batches: Iterable[Sequence[T]]
    ) -> Iterator[tuple[Sequence[T], A | Lost]]:
        worker = self._worker(work)
        for batch in batches:
            yield batch, worker(batch)
            if stopping.asked():
                return


def culprits_alone(
    engine: Engine, work: Work[T, A], batches: Iterable[Sequence[T]]
) -> Iterator[tuple[Sequence[T], A | Lost]]:
    """As ``engine.answers``, but what a lost batch holds is given again one by one at the end, so
    that only what kills a worker by itself is lost."""
    again: list[Sequence[T]] = []
    for batch, given in engine.answers(work, batches):
        if isinstance(given, Lost) and len(batch) > 1:
            again += [[item] for item in batch]
        else:
            yield batch, given
    if again and not stopping.asked():
        yield from engine.answers(work, again)


@dataclass(frozen=True)
class Pool:
    """The workers of a run. Without ``workers`` and ``ray`` there are none: this process works.

    ``ray``: address of a cluster, or ``auto``; without it ``workers`` run on this machine. Without
    ``workers`` a cluster is used as far as it goes: a worker a GPU, or one for each
    ``cpus_per_worker`` where there are none. ``timeout``: seconds for one batch."""

    workers: int | None = None
    ray: str | None = None
    cpus_per_worker: int = 1
    timeout: float = 1800.0

    def __post_init__(self) -> None:
        for name, value in (("workers", self.workers), ("cpus-per-worker", self.cpus_per_worker)):
            if value is not None and value < 1:
                raise UserError(f"--{name} {value}: must be at least 1")
        if self.timeout <= 0:
            raise UserError(f"--batch-timeout {self.timeout:g}: must be more than 0 seconds")

    @property
    def local(self) -> bool:
        return self.workers is None and self.ray is None


@contextmanager
def opened(pool: Pool, run: Path, device: object = None, exact: bool = False) -> Iterator[Engine]:
    """The engine for the workers of ``pool``. Files of the folder ``run`` travel with the batches.

    ``device`` "cpu": workers take no GPU. Raises UserError where workers cannot be had."""
    if pool.local:
        yield Local()
        return
    for name, value in (QUIET | (IMPATIENT if pool.ray else {})).items():
        os.environ.setdefault(name, value)
    try:
        from harmon_eval.running.on_ray import OnRay
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        raise UserError(
            "--workers and --ray need the package ray, which is missing: "
            'pip install "harmon-eval[ray]"'
        ) from None
    with OnRay(pool, run, gpus=device != "cpu", exact=exact) as engine:
        yield engine
