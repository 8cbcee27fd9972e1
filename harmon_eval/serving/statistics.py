"""What ``/metrics`` says: counts, times, and how the rewards of the last images are spread."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

from harmon_eval.serving.outcomes import Failure, Outcome, first

RECENT = 1000  # images that means and shares are over
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class Statistics:
    """Of one server; ``waiting()`` is how many images wait in all lines."""

    def __init__(self, rewards: Sequence[str], waiting: Callable[[], int]) -> None:
        disable_created_metrics()
        self.registry = CollectorRegistry()
        name, prefix, own = ["reward"], "harmon_eval_", self.registry
        self._images = Counter(
            f"{prefix}images",
            "Images, by outcome",
            [*name, "outcome"],
            registry=own,
        )
        self._seconds = Histogram(
            f"{prefix}seconds",
            "From arrival to mark",
            name,
            buckets=SECONDS,
            registry=own,
        )
        self._batches = Histogram(
            f"{prefix}batch_images",
            "Images marked at once",
            ["line"],
            buckets=SIZES,
            registry=own,
        )
        self._requests = Counter(
            f"{prefix}requests",
            "Requests by path and status",
            ["path", "status"],
            registry=own,
        )
        over = f"of the last {RECENT} images"
        self._gauges = {
            what: Gauge(f"{prefix}reward_{what}", f"{text} {over}", name, registry=own)
            for what, text in (
                ("mean", "Mean"),
                ("min", "Least"),
                ("max", "Greatest"),
                ("zeros", "Share of zeros"),
                ("failures", "Share without a number"),
            )
        }
        Gauge(f"{prefix}waiting_images", "Images that wait", registry=own).set_function(waiting)
        self._recent = {reward: deque[float](maxlen=RECENT) for reward in rewards}
        # By reward, as looking labels up takes longer than counting.
        self._took = {reward: self._seconds.labels(reward) for reward in rewards}
        self._counts = {
            (reward, outcome): self._images.labels(reward, outcome)
            for reward in rewards
            for outcome in ("marked", "failed", "late")
        }

    def note(self, reward: str, outcome: Outcome, seconds: float) -> None:
        self._took[reward].observe(seconds)
        if isinstance(outcome, Failure):
            self._counts[reward, "late" if outcome.late else "failed"].inc()
            self._recent[reward].append(math.nan)
            return
        self._counts[reward, "marked"].inc()
        self._recent[reward].append(first(outcome.scores))

    def batches(self, line: str, sizes: Sequence[int]) -> None:
        for size in sizes:
            self._batches.labels(line).observe(size)

    def request(self, path: str, status: int) -> None:
        self._requests.labels(path, str(status)).inc()

    def text(self) -> bytes:
        """In the format of Prometheus."""
        for reward, recent in self._recent.items():
            if not recent:
                continue
            numbers = [value for value in recent if math.isfinite(value)]
            self._gauges["failures"].labels(reward).set(1 - len(numbers) / len(recent))
            if numbers:
                mean = sum(numbers) / len(numbers)
                self._gauges["mean"].labels(reward).set(mean)
                self._gauges["min"].labels(reward).set(min(numbers))
                self._gauges["max"].labels(reward).set(max(numbers))
                self._gauges["zeros"].labels(reward).set(numbers.count(0.0) / len(numbers))
        return generate_latest(self.registry)
