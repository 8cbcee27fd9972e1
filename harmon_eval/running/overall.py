"""How far a run of several tasks has come, and about how long it still takes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping

SOON = 2.0  # seconds of work before anything is said about the rest


def duration(seconds: float) -> str:
    """Such as "40 s", "12 min" or "2 h 10 min"."""
    if seconds < 100:
        return f"{max(seconds, 1):.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


class Overall:
    """``planned``: of each task, how many samples are left by what is done with them ("asking",
    "marking" ...), in the order of the run.

    The time that is left comes from the seconds a sample that were measured in this run; what was
    not done yet is taken to be as slow as all else on average."""

    def __init__(self, planned: Mapping[str, Mapping[str, int]]) -> None:
        self._left = {task: Counter(counts) for task, counts in planned.items()}
        self._tasks = list(planned)
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._done: Counter[str] = Counter()
        self._place = 0

    def begin(self, task: str) -> None:
        """This task is worked on now, and those before it are done."""
        self._place = self._tasks.index(task)

    def expect(self, verb: str, count: int) -> None:
        """The task at hand has ``count`` samples left for this, not as many as were planned."""
        self._left[self._tasks[self._place]][verb] = count

    def note(self, verb: str, count: int, seconds: float) -> None:
        """``count`` samples of the task at hand took ``seconds``."""
        self._done[verb] += count
        self._seconds[verb] += seconds
        self._left[self._tasks[self._place]][verb] -= count

    def seconds_left(self) -> float | None:
        """None while too little was measured."""
        spent, done = sum(self._seconds.values()), sum(self._done.values())
        if spent < SOON or not done:
            return None
        left: Counter[str] = Counter()
        for task in self._tasks[self._place :]:
            left.update({verb: max(n, 0) for verb, n in self._left[task].items()})
        rates = {verb: self._seconds[verb] / n for verb, n in self._done.items() if n}
        return sum(count * rates.get(verb, spent / done) for verb, count in left.items())

    def __str__(self) -> str:
        told = f"task {self._place + 1} of {len(self._tasks)}"
        seconds = self.seconds_left()
        return told if seconds is None else f"{told}, {duration(seconds)} left"
