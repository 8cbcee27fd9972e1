"""Workers as actors of Ray: on this machine, or on the nodes of a cluster.

A worker that dies is replaced and its batch given to another, nodes that join are used, and no
worker has more than ``AHEAD`` batches, so that neither batches nor answers pile up while the writer
stores. The writer itself is the process that started the run; when it dies, Ray ends the workers.
"""

from __future__ import annotations

import math
import os
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import ray

from harmon_eval import plugins
from harmon_eval.core import UserError
from harmon_eval.running import machine, ray_cluster, stopping
from harmon_eval.running.engine import Lost, Pool, Work, Worker
from harmon_eval.running.parcels import Parcel, pack, unpacked
from harmon_eval.running.progress import Progress

T = TypeVar("T")
A = TypeVar("A")

AHEAD = 2  # batches of a worker: one it answers, one that waits so that it never does
TRIES = 3  # that end with the worker's death: more, and the batch itself is taken for the cause
TICK = 0.5  # seconds between two looks at who came and who takes too long
PAUSE = 5.0  # seconds before others are begun after some that died at once, and twice as long then
LONGEST = 60.0  # of these pauses
OPENING = 1800.0  # seconds at least for a model to be opened: that is no batch
SILENCE = 60.0  # seconds without any worker before that is said
# Variables that decide what a worker computes, or from where; others it has of its own machine.
VARIABLES = (
    *("MKL_CBWR", "OMP_NUM_THREADS", "HARMON_EVAL_CACHE"),
    *("HF_HOME", "HF_HUB_OFFLINE", "HF_ENDPOINT"),
)


class _Hands:
    """What runs in a worker's process."""

    def __init__(self, place: str, included: Sequence[Path], exact: bool) -> None:
        with suppress(OSError):  # relative paths mean the same here, where there is such a folder
            os.chdir(place)
        for path in included:
            plugins.include(path)
        if exact:
            machine.deterministic_kernels()
        self._workers: dict[int, Worker[Any, Any]] = {}

    def node(self) -> str:
        return os.uname().nodename

    def open(self, key: int, work: Work[Any, Any]) -> Any:
        """Facts of the worker, or the UserError that making it ended with."""
        try:
            self._workers[key] = work.open()
        except UserError as error:
            return error
        return self._workers[key].facts

    def answer(self, key: int, parcel: Parcel) -> Any:
        try:
            with unpacked(parcel) as batch:
                return self._workers[key](batch)
        except UserError as error:
            return error


@dataclass(eq=False)
class _Batch:
    items: Sequence[Any]
    back: deque[_Batch]  # where it goes if its worker dies: who asked for its answers
    tries: int = 0


@dataclass(eq=False)
class _Call:
    """A call under way; of a batch, or else of the work's opening, or of the worker's start."""

    answer: Any
    batch: _Batch | None = None
    opens: int | None = None
    late: bool = False


@dataclass(eq=False)
class _Actor:
    handle: Any
    begun: float
    calls: deque[_Call] = field(default_factory=deque)
    since: float = 0.0  # the first call is under way
    node: str = ""
    asked: set[int] = field(default_factory=set)
    opened: set[int] = field(default_factory=set)


class OnRay:
    """A context: the workers live as long as it does."""

    remote = True

    def __init__(self, pool: Pool, run: Path, gpus: bool, exact: bool) -> None:
        self.pool, self.run, self.gpus, self.exact = pool, run, gpus, exact
        self.progress = Progress("workers")
        self._actors: list[_Actor] = []
        self._works: list[Work[Any, Any]] = []
        self._facts: dict[int, tuple[Any, str]] = {}
        self._refused: dict[int, UserError] = {}
        self._stillborn = 0  # times in a row that those begun together died before they answered
        self._stillborn_at = 0.0
        self._looked = 0.0
        self._alone_since = time.monotonic()

    def __enter__(self) -> OnRay:
        self._own = not ray.is_initialized()
        if self._own:
            ray_cluster.connect(self.pool)
        return self

    def __exit__(self, *_: object) -> None:
        for actor in self._actors:
            _kill(actor)
        self._actors = []
        if self._own:
            ray.shutdown()

    # -- the engine --------------------------------------------------------------------------

    def facts(self, work: Work[Any, Any]) -> Any:
        key = self._key(work)
        while key not in self._facts:
            self._look()
            self._open_everywhere(key)
            for actor in self._ended():
                self._settle(actor, deque())
            if key in self._refused:
                raise self._refused[key]
        return self._facts[key][0]

    def answers(
        self, work: Work[T, A], batches: Iterable[Sequence[T]]
    ) -> Iterator[tuple[Sequence[T], A | Lost]]:
        key, source = self._key(work), iter(batches)
        back: deque[_Batch] = deque()  # of workers that died

        def following() -> _Batch | None:
            if stopping.asked():
                return None
            if back:
                return back.popleft()
            items = next(source, None)
            return None if items is None else _Batch(items, back)

        while True:
            self._look()
            self._open_everywhere(key)
            if key in self._refused:
                raise self._refused[key]
            for actor in self._actors:
                while key in actor.opened and len(actor.calls) < AHEAD and (b := following()):
                    self._begin(actor, key, b)
            calls = [call for actor in self._actors for call in actor.calls]
            under_way = any(call.batch is not None and call.batch.back is back for call in calls)
            if not under_way and (first := following()) is None:
                return
            if not under_way and first is not None:
                back.appendleft(first)  # no worker is ready for it yet
            for actor in self._ended():
                if (answered := self._settle(actor, back)) is not None:
                    yield answered

    def _key(self, work: Work[Any, Any]) -> int:
        if work not in self._works:
            self._works.append(work)
        return self._works.index(work)

    # -- calls -------------------------------------------------------------------------------

    def _open_everywhere(self, key: int) -> None:
        for actor in self._actors:
            if key not in actor.asked:
                actor.asked.add(key)
                self._call(actor, _Call(actor.handle.open.remote(key, self._works[key]), opens=key))

    def _begin(self, actor: _Actor, key: int, batch: _Batch) -> None:
        answer = actor.handle.answer.remote(key, pack(batch.items, self.run))
        self._call(actor, _Call(answer, batch))

    @staticmethod
    def _call(actor: _Actor, call: _Call) -> None:
        if not actor.calls:
            actor.since = time.monotonic()
        actor.calls.append(call)

    def _ended(self) -> list[_Actor]:
        """Those whose first call has ended; waits a little for one."""
        first = {actor.calls[0].answer: actor for actor in self._actors if actor.calls}
        if not first:
            time.sleep(TICK / 10)
            return []
        done, _ = ray.wait(list(first), num_returns=1, timeout=TICK, fetch_local=False)
        return [first[answer] for answer in done]

    def _settle(self, actor: _Actor, back: deque[_Batch]) -> tuple[Any, Any] | None:
        """What came of the first call: a batch with its answers, or None where that was none."""
        call = actor.calls[0]
        try:
            value = ray.get(call.answer)
        except (ray.exceptions.RayTaskError, ray.exceptions.UnserializableException) as error:
            value = _Raised(ray_cluster.raised(error))
        except ray.exceptions.RayError as error:
            return self._died(actor, ray_cluster.reason(error), back)
        actor.calls.popleft()
        actor.since = time.monotonic()
        if call.batch is not None:
            if call.batch.back is not back:  # of work that was given up
                return None
            if isinstance(value, UserError):
                raise value
            return call.batch.items, Lost(value.reason) if isinstance(value, _Raised) else value
        if isinstance(value, _Raised):
            raise UserError(f"a worker on {actor.node or 'a node'} cannot begin: {value.reason}")
        if call.opens is None:
            actor.node = value
        elif isinstance(value, UserError):
            self._refused[call.opens] = value
        else:
            self._compare(actor, call.opens, value)
        return None

    def _compare(self, actor: _Actor, key: int, facts: Any) -> None:
        """Raises UserError for a worker that holds something else than the first one did."""
        known, node = self._facts.setdefault(key, (facts, actor.node))
        if known != facts:
            raise UserError(
                f"the worker on {actor.node} holds {facts}, but the one on {node} {known}: the "
                "same weights and versions must lie on every node"
            )
        actor.opened.add(key)
        self._stillborn = 0

    def _died(self, actor: _Actor, reason: str, back: deque[_Batch]) -> tuple[Any, Any] | None:
        """Batches of a dead worker go to others; the one it died over is lost at the third time."""
        first, *waiting = actor.calls
        self._remove(actor)
        own = [c.batch for c in waiting if c.batch is not None and c.batch.back is back]
        back.extendleft(reversed(own))
        if first.batch is not None and first.batch.back is not back:
            return None
        if first.batch is None:
            late = f"not ready within {self._limit(first):g} s"
            self._could_not_begin(actor, late if first.late else reason)
            return None
        if first.late:  # another would take as long
            return first.batch.items, Lost(f"no answer within {self.pool.timeout:g} s")
        self.progress.warn(f"a worker on {actor.node} died ({reason}); another takes its batch")
        first.batch.tries += 1
        if first.batch.tries >= TRIES:
            return first.batch.items, Lost(f"the worker died {TRIES} times over this: {reason}")
        back.appendleft(first.batch)
        return None

    def _could_not_begin(self, actor: _Actor, reason: str) -> None:
        """Begin no other for a while. Raises UserError where none ever can.

        Those that were begun before the last such death count with it: a node that died is offered
        by the cluster for some seconds, and may take all of them with it."""
        if actor.begun > self._stillborn_at:
            self._stillborn += 1
            self._stillborn_at = time.monotonic()
            if self._stillborn >= TRIES and not any(other.opened for other in self._actors):
                raise UserError(f"workers die before they begin: {reason}")
        pause = min(PAUSE * 2 ** (self._stillborn - 1), LONGEST)
        self._looked = self._stillborn_at + pause

    # -- workers -----------------------------------------------------------------------------

    def _look(self) -> None:
        """Now and then: workers for whatever room there is, and none that takes too long."""
        now = time.monotonic()
        if now - self._looked < TICK:
            return
        self._looked = now
        for actor in self._actors:
            limit = self._limit(actor.calls[0]) if actor.calls else 0.0
            slow = actor.node and actor.calls and now - actor.since > limit
            if slow and not actor.calls[0].late:
                self.progress.say(
                    f"a worker on {actor.node} has not answered for {limit:g} s: it is replaced"
                )
                actor.calls[0].late = True
                _kill(actor)
        room = self._room()
        while len(self._actors) < room:
            self._actors.append(self._start())
        if any(actor.node for actor in self._actors):
            self._alone_since = now
        elif now - self._alone_since > SILENCE:
            self._alone_since = now
            self.progress.say(f"none yet: the cluster has {_readable(ray.cluster_resources())}")

    def _limit(self, call: _Call) -> float:
        """Seconds that it may take."""
        longest = self.pool.timeout
        return max(longest, OPENING) if call.batch is None else longest

    def _room(self) -> int:
        if self.pool.workers is not None:
            return self.pool.workers
        resources = ray.cluster_resources()
        cards = int(resources.get("GPU", 0)) if self.gpus else 0
        return cards or max(1, int(resources.get("CPU", 0)) // self.pool.cpus_per_worker)

    def _start(self) -> _Actor:
        cards = int(ray.cluster_resources().get("GPU", 0)) if self.gpus else 0
        a_card = math.ceil((self.pool.workers or cards) / cards) if cards else 1
        options = {
            "num_cpus": self.pool.cpus_per_worker,
            # Ray counts in 1/10,000.
            "num_gpus": math.floor(10_000 / a_card) / 10_000 if cards else 0,
            "max_restarts": 0,  # the batch would be asked again in silence
            "scheduling_strategy": "SPREAD",
            "runtime_env": {"env_vars": {k: os.environ[k] for k in VARIABLES if k in os.environ}},
        }
        made: Any = ray.remote(_Hands).options(**options)
        handle = made.remote(os.getcwd(), plugins.included(), self.exact)
        actor = _Actor(handle, begun=time.monotonic())
        self._call(actor, _Call(actor.handle.node.remote()))
        return actor

    def _remove(self, actor: _Actor) -> None:
        _kill(actor)
        self._actors.remove(actor)
        self._looked = 0.0


@dataclass(frozen=True)
class _Raised:
    """An error of a worker that it did not expect itself."""

    reason: str


def _kill(actor: _Actor) -> None:
    with suppress(ray.exceptions.RayError, ValueError):
        ray.kill(actor.handle)


def _readable(resources: Mapping[str, float]) -> str:
    return ", ".join(f"{resources.get(name, 0):g} {name}" for name in ("CPU", "GPU"))
