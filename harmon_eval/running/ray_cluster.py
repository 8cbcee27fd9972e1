"""Connecting to Ray: within seconds or with one line, and quietly."""

from __future__ import annotations

import os
import re
import signal
import socket
from contextlib import suppress
from typing import Any

import ray

from harmon_eval.core import UserError
from harmon_eval.running import stopping
from harmon_eval.running.engine import Pool

ANSWER = 5.0  # seconds for a cluster to accept a connection
A_CPU = 4  # workers on this machine, at most
CLIENT = "ray://"


def connect(pool: Pool) -> None:
    """Raises UserError where there is no such cluster, or this machine is too small."""
    given: dict[str, Any] = {"log_to_driver": False, "logging_level": "CRITICAL"}
    if pool.ray is None:
        given |= {"num_cpus": _cpus(pool), "include_dashboard": False}
    else:
        _check(pool.ray)
    handlers = {number: signal.getsignal(number) for number in stopping.SIGNALS}
    try:
        ray.init(pool.ray or "local", **given)
    except (ConnectionError, ValueError, RuntimeError) as error:
        ray.shutdown()
        raise _none(pool.ray or "this machine", _first_line(error)) from None
    finally:
        for number, handler in handlers.items():
            with suppress(ValueError):  # not the main thread
                signal.signal(number, handler)


def _cpus(pool: Pool) -> int:
    """Of a node for that many workers, which may be more than this machine has."""
    here, wanted = os.cpu_count() or 1, (pool.workers or 1) * pool.cpus_per_worker
    if wanted > A_CPU * here:
        most = max(1, A_CPU * here // pool.cpus_per_worker)
        raise UserError(
            f"--workers {pool.workers} is too many for the {here} CPUs of this machine: give "
            f"{most} or less, or --ray ADDRESS for a cluster"
        )
    return max(here, wanted)


def _check(address: str) -> None:
    """Ray itself asks an address that does not answer for minutes. Raises UserError for such."""
    if address.startswith(CLIENT):
        raise UserError(
            f"--ray {address}: run the command on a node of the cluster with --ray auto (`ray job "
            "submit` does that); a client outside of it cannot write the run"
        )
    place = os.environ.get("RAY_ADDRESS", "") if address == "auto" else address
    if place in ("", "auto", "local"):
        return
    host, _, port = place.rpartition(":")
    if not host or not port.isdigit():
        raise _none(place, "an address is HOST:PORT, as `ray start --head` prints it")
    try:
        socket.create_connection((host.strip("[]"), int(port)), ANSWER).close()
    except (OSError, OverflowError) as error:
        raise _none(place, _first_line(error) or "no answer") from None


def _none(place: str, why: str) -> UserError:
    return UserError(f"no Ray cluster at {place}: {why}; `ray start --head` starts one")


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else type(error).__name__


def raised(error: Exception) -> str:
    """What a worker raised; of what does not travel, the last line that is printed of it."""
    cause = getattr(error, "cause", None)
    if cause is None or isinstance(cause, ray.exceptions.RayError):
        return str(error).strip().splitlines()[-1].strip()
    return f"{type(cause).__name__}: {cause}"


def reason(error: Exception) -> str:
    """Why a worker died, of all that Ray says: the sentence after the names and numbers."""
    lines = [line.strip() for line in str(error).splitlines()]
    names = re.compile(r"$|\w+: \S+$|The actor died unexpectedly")
    said = [line for line in lines if not names.match(line)]
    first = re.split(r"\.\s", said[0])[0] if said else _first_line(error)
    return first.rpartition("is unavailable: ")[2].rstrip(".")
