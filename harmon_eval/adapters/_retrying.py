"""When a request to an endpoint is worth another attempt, and when a whole run is not."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from harmon_eval.adapters._endpoint import EndpointError

# Worth another attempt; anything else would only fail again.
RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
# So many equal failures one after the other end a run: before the first answer, and after it.
FEW, MANY = 3, 10


class Failures:
    """How many requests failed in one and the same way, one after the other."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answered = False
        self._same, self._count = "", 0
        self.said = ""

    def note(self, reply: object) -> None:
        with self._lock:
            if not isinstance(reply, Exception):
                self._answered, self._same, self._count = True, "", 0
            elif isinstance(reply, EndpointError):
                # Numbers and long names are of the request: counts, identifiers, times.
                status, rest = str(reply)[:8], str(reply)[8:]
                same = status + re.sub(r"\b[\w-]*\d[\w-]*", "#", rest)
                self._count = self._count + 1 if same == self._same else 1
                self._same, self.said = same, str(reply)

    def uniform(self, batch: int = 0) -> str:
        """What all the latest failures say, once they are enough to take it for a rule: a few, or
        the whole of the first ``batch``."""
        with self._lock:
            if self._answered or batch < 2:
                enough = MANY if self._answered else FEW
            else:
                enough = min(FEW, batch)
            return self.said if self._count >= enough else ""


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that ``Retry-After`` asks for, a number or a date; None where it says nothing."""
    value = headers.get("Retry-After", "").strip()
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None
