"""How far a run of several tasks has come, and about how long it still takes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping

SOON = 2.0  # seconds of work before anything is said about the rest
MARKING = "marking"
Kind = tuple[str, ...]


def duration(seconds: float) -> str:
    """Such as "40 s", "12 min" or "2 h 10 min"."""
    if seconds < 100:
        return f"{max(seconds, 1):.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


class Overall:
    """``planned``: of each task, how many samples are left by what is done with them ("asking",
    "marking" ...), in the order of the run. ``marked_by``: the instruments that mark a task.

    The time that is left comes from the seconds a sample that were measured in this run: of the
    task itself, else of other tasks where the same was done. Drawing says nothing about questions,
    nor a detector about a judge."""

    def __init__(
        self,
        planned: Mapping[str, Mapping[str, int]],
        marked_by: Mapping[str, str] | None = None,
    ) -> None:
        self._left = {task: Counter(counts) for task, counts in planned.items()}
        self._tasks = list(planned)
        self._marked_by = dict(marked_by or {})
        # By task and verb, and by kind of work.
        self._seconds: defaultdict[Kind, float] = defaultdict(float)
        self._done: Counter[Kind] = Counter()
        self._spent, self._place = 0.0, 0

    @property
    def _task(self) -> str:
        return self._tasks[self._place]

    def begin(self, task: str) -> None:
        """This task is worked on now, and those before it are done."""
        self._place = self._tasks.index(task)

    def expect(self, verb: str, count: int) -> None:
        """The task at hand has ``count`` samples left for this, not as many as were planned. It is
        marked when all is asked."""
        if verb == MARKING:
            for other in self._left[self._task]:
                self._left[self._task][other] = 0
        self._left[self._task][verb] = count

    def note(self, verb: str, count: int, seconds: float) -> None:
        """``count`` samples of the task at hand took ``seconds``."""
        for kind in (("task", self._task, verb), self._kind(self._task, verb)):
            self._done[kind] += count
            self._seconds[kind] += seconds
        self._spent += seconds
        self._left[self._task][verb] -= count

    def _kind(self, task: str, verb: str) -> Kind:
        """What takes about as long a sample: the same request, or for marks what is marked by what
        instruments."""
        if verb != MARKING:
            return (verb,)
        asked = sorted(other for other in self._left[task] if other != MARKING)
        return (verb, self._marked_by.get(task, ""), *asked)

    def _rate(self, task: str, verb: str) -> float | None:
        """Seconds a sample; None where the like was not done yet."""
        for kind in (("task", task, verb), self._kind(task, verb)):
            if self._done[kind]:
                return self._seconds[kind] / self._done[kind]
        return None

    def seconds_left(self) -> float | None:
        """None while too little was measured, or a kind of request is still to be seen.

        Marks of which nothing is known are left out (see ``is_least``)."""
        if self._spent < SOON:
            return None
        total = 0.0
        for task, verb, count in self._ahead():
            if (rate := self._rate(task, verb)) is not None:
                total += count * rate
            elif verb != MARKING:
                return None
        return total

    @property
    def is_least(self) -> bool:
        """Whether it takes longer than ``seconds_left``, as nothing is known of some marks."""
        return any(v == MARKING and self._rate(task, v) is None for task, v, _ in self._ahead())

    def _ahead(self) -> list[tuple[str, str, int]]:
        tasks = self._tasks[self._place :]
        return [(task, v, n) for task in tasks for v, n in self._left[task].items() if n > 0]

    def __str__(self) -> str:
        told = f"task {self._place + 1} of {len(self._tasks)}"
        seconds = self.seconds_left()
        if seconds is None:
            return told
        return f"{told}, {'more than ' * self.is_least}{duration(seconds)} left"
