"""A judge: a model that is asked about responses, whose replies are parsed strictly and kept.

Any ``Responder`` that answers questions can judge: an OpenAI-compatible endpoint, a local
vision-language model, the mini suite's rules. A reply that does not parse is asked for again, then
the sample is unscored. A judge's name is part of the metric's name: other judge, other metric.
"""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from harmon_eval.core import (
    Answer,
    Ask,
    InstrumentMissing,
    Reply,
    Responder,
    Sample,
    Score,
    Task,
    Unscorable,
    UserError,
)
from harmon_eval.replies.thoughts import CutOff, answered
from harmon_eval.store.judge_log import JUDGE_LOG, Entry, JudgeLog, entries, request_key

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")
Judged = Ask | Score  # what a judge is asked

# For estimates: English text, a 1024 x 1024 image as OpenAI counts it, a reply of three scores.
CHARACTERS_A_TOKEN, IMAGE_TOKENS, REPLY_TOKENS = 4.0, 765, 16


class BudgetSpent(InstrumentMissing):
    """The next request could cost more than is left; ``mark`` goes on with a larger budget."""


@dataclass(frozen=True)
class Verdict(Generic[T]):
    """What the judge's last reply says; ``attempts`` counts the replies it took."""

    value: T
    reply: str
    model: str
    attempts: int


@dataclass(frozen=True)
class Estimate:
    requests: int
    tokens_in: int
    tokens_out: int
    dollars: float | None


class Judge:
    """Asks ``responder``, ``workers`` batches at a time, and logs each reply as it arrives."""

    def __init__(
        self,
        responder: Responder,
        *,
        name: str | None = None,
        attempts: int = 1,
        workers: int = 1,
        batch: int = 8,
        price: tuple[float, float] | None = None,
        budget: float | None = None,
        served: bool = False,
    ) -> None:
        self.responder = responder
        self.name = name or responder.name
        self.identity = _identity(responder, responder.settings)
        # What is hidden in its settings counts too for which requests are the same.
        self._asked = _identity(responder, getattr(responder, "fields", responder.settings))
        self.attempts, self.workers, self.batch = attempts, workers, batch
        self.price, self.budget = price, budget
        self.at_writer = served  # what it costs, and how often it is asked, is counted in one place
        self.silent = ""  # why it must not be asked: then only replies that are here count
        self.log = JudgeLog()
        self._lock = threading.Lock()
        self._spent = self._reserved = 0.0

    def bound_to(self, folder: Path) -> Judge:
        """This judge with its replies kept in a task's folder; the budget is its run folder's."""
        bound = copy.copy(self)
        bound.log = JudgeLog(folder / JUDGE_LOG)
        if self.budget is not None:
            logs = folder.parent.glob(f"*/{JUDGE_LOG}")
            bound._spent = sum(
                self._dollars(e["tokens_in"], e["tokens_out"])
                for path in logs
                for e in entries(path)
            )
        return bound

    def elsewhere(self, known: Iterable[Entry]) -> Judge:
        """This judge in a worker, which knows replies that are kept; its own go back (``log``)."""
        bound = copy.copy(self)
        bound.log = JudgeLog(known=known)
        return bound

    def verdicts(
        self, requests: Sequence[Judged], parse: Callable[[str], T | None]
    ) -> list[Verdict[T] | Unscorable]:
        """What the replies say, in order; ``parse`` gives None for a reply it cannot read, and sees
        none that is no answer, nor the thought before one.

        Equal requests are asked once. Raises BudgetSpent before a request that may exceed it."""
        keys = [request_key(self._asked, request) for request in requests]
        unsettled = dict(zip(keys, requests, strict=True))
        settled: dict[str, Verdict[T] | Unscorable] = {}
        for attempt in range(self.attempts):
            missing = {k: r for k, r in unsettled.items() if len(self.log.replies(k)) <= attempt}
            for key, failure in self._ask(missing).items():
                settled[key] = Unscorable(f"the judge failed: {failure}")
            for key in [k for k in unsettled if k not in settled]:
                if (found := self._verdict(self.log.replies(key)[attempt], attempt, parse)) is None:
                    continue
                settled[key] = found
            unsettled = {k: r for k, r in unsettled.items() if k not in settled}
        return [settled[key] for key in keys]

    def _verdict(
        self, reply: Reply, attempt: int, parse: Callable[[str], T | None]
    ) -> Verdict[T] | Unscorable | None:
        """What the reply of an attempt says; None where the question is to be asked again."""
        last = attempt == self.attempts - 1
        try:
            value = parse(answered(reply))
        except Unscorable as error:
            # What broke off would break off again: not worth paying for.
            if last or isinstance(error, CutOff):
                return Unscorable(f"the judge gave no verdict: {error}", reply)
            return None
        if value is not None:
            return Verdict(value, str(reply), reply.model, attempt + 1)
        if last:
            return Unscorable(
                f"the judge's reply does not parse ({self.attempts} attempts): {reply[:200]!r}",
                reply,
            )
        return None

    def unanswered(self, requests: Sequence[Judged]) -> list[Judged]:
        """Those that have no reply yet."""
        return [r for r in requests if not self.log.replies(request_key(self._asked, r))]

    def _ask(self, requests: Mapping[str, Judged]) -> dict[str, Exception]:
        """Ask and log; what failed, by key. Replies under way are waited for and kept."""
        if self.silent and requests:
            raise UserError(self.silent)
        batches = []
        for verb in dict.fromkeys(request.verb for request in requests.values()):
            if not self.responder.can(verb):
                raise UserError(f"{self.name} gives no probabilities: choose another judge")
            items = [(key, request) for key, request in requests.items() if request.verb == verb]
            batches += [items[i : i + self.batch] for i in range(0, len(items), self.batch)]
        failures: dict[str, Exception] = {}
        with ThreadPoolExecutor(self.workers) as pool:
            futures = [pool.submit(self._pay, batch) for batch in batches]
            try:
                for future in futures:
                    failures |= future.result()
            finally:
                for future in futures:
                    future.cancel()
        return failures

    def _pay(self, batch: Sequence[tuple[str, Judged]]) -> dict[str, Exception]:
        worst = sum(self._dollars(tokens(r), self._most_tokens(r)) for _, r in batch)
        with self._lock:
            if self.budget is not None and self._spent + self._reserved + worst > self.budget:
                raise BudgetSpent(
                    f"the budget of {self.budget:.2f} USD is used up ({self._spent:.2f} USD spent, "
                    f"{worst:.3f} needed at most for the next request): "
                    "`mark RUN` with the judge and a larger --budget goes on"
                )
            self._reserved += worst
        failures = {}
        paid = 0.0
        try:
            replies = getattr(self.responder, batch[0][1].verb)([request for _, request in batch])
            for (key, request), reply in zip(batch, replies, strict=True):
                if isinstance(reply, Exception):
                    failures[key] = reply
                    continue
                self.log.add(key, self.identity, counted(reply, request))
                last = self.log.replies(key)[-1]
                paid += self._dollars(last.tokens_in, last.tokens_out)
        finally:
            with self._lock:
                self._reserved -= worst
                self._spent += paid
        return failures

    def _most_tokens(self, request: Judged) -> int:
        """Of a reply: what the fields of the request say, or the request itself."""
        fields = getattr(self.responder, "fields", {})
        given = [fields.get(name) for name in ("max_completion_tokens", "max_tokens")]
        return next((n for n in given if isinstance(n, int)), most_tokens(request))

    def _dollars(self, tokens_in: int, tokens_out: int) -> float:
        per_in, per_out = self.price or (0.0, 0.0)
        return (tokens_in * per_in + tokens_out * per_out) / 1e6


def _identity(responder: Responder, settings: Mapping[str, object]) -> str:
    written = json.dumps(dict(settings), sort_keys=True)
    return f"{responder.name} {responder.fingerprint} {written}"


def judge_of(rows: pd.DataFrame) -> str:
    """The one judge of all rows, for the metric's name; rows that are only assumed have none."""
    names = rows["judge"].dropna().unique()
    if len(names) > 1:
        raise UserError(f"these rows are of several judges ({', '.join(names)}): mark them again")
    return str(names[0]) if len(names) else "none"


def tokens(request: Judged) -> int:
    """About how many tokens a request takes in."""
    characters = len(request.system) + len(request.question)
    return round(characters / CHARACTERS_A_TOKEN) + IMAGE_TOKENS * max(1, len(request.images))


def most_tokens(request: Judged) -> int:
    """How long a reply may be."""
    return request.max_new_tokens if isinstance(request, Ask) else 1


def counted(reply: str, request: Judged) -> Reply:
    """The reply with its tokens; estimated ones where the endpoint does not say."""
    found = reply if isinstance(reply, Reply) else Reply(reply)
    if not found.tokens_in:
        found.tokens_in = tokens(request)
        found.tokens_out = round(len(found) / CHARACTERS_A_TOKEN)
    return found


def estimate(requests: Sequence[Judged], price: tuple[float, float] | None) -> Estimate:
    """About what these requests take, at a price of US dollars for a million tokens in and out."""
    into, out = sum(map(tokens, requests)), REPLY_TOKENS * len(requests)
    dollars = (into * price[0] + out * price[1]) / 1e6 if price else None
    return Estimate(len(requests), into, out, dollars)


def planned(
    task: Task, samples: Sequence[Sample], drawn: Mapping[str, Answer], judge: Judge | None
) -> Estimate:
    """What judging is still to come for these samples, drawn or not."""
    if task.judged is None:
        return Estimate(0, 0, 0, 0.0)
    requests: list[Judged] = []
    for sample in samples:
        answer = drawn.get(sample.id)
        asks = list(task.judged(sample, answer.image if answer else None))
        requests += judge.unanswered(asks) if judge and answer else asks
    return estimate(requests, judge.price if judge else None)
