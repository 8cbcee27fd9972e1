"""Start a server: instruments first, then the port; and stop it when its last answer is given."""

from __future__ import annotations

import errno
import json
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import uvicorn

from harmon_eval import suites
from harmon_eval.core import UserError
from harmon_eval.running import engine as engines
from harmon_eval.running import preflight, stopping
from harmon_eval.running.engine import Pool
from harmon_eval.serving import measures, pictures, rewards
from harmon_eval.serving.app import application
from harmon_eval.serving.gate import Gate
from harmon_eval.serving.ledger import Ledger
from harmon_eval.serving.marking import lines
from harmon_eval.serving.service import Limits, Service
from harmon_eval.store.run_folder import RunFolder

PARTS = 8
BACKLOG = 2048  # connections that wait, as uvicorn has it
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Settings:
    """``rewards``: names with commas between them. ``store``: a run folder for the marks, which
    keeps the ``command``, a command line and its options, too."""

    rewards: str = "geneval"
    suite: str = "mini"
    data: Path | None = None
    instruments: Mapping[str, str] = field(default_factory=dict)
    host: str = "127.0.0.1"
    port: int = 8080
    token: str = ""
    pickle: bool = False
    store: Path | None = None
    batch_size: int = 32
    limits: Limits = field(default_factory=Limits)
    pool: Pool = field(default_factory=Pool)
    command: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raises UserError."""
        if self.pickle and self.host not in LOOPBACK:
            raise UserError(
                f"--pickle with --host {self.host}: pickles are read from this machine only; leave "
                "--host out, or let trainers elsewhere use the JSON formats"
            )
        if not 0 <= self.port < 65536:
            raise UserError(f"--port {self.port}: give 1 to 65535, or 0 for any free one")
        if self.batch_size < 1:
            raise UserError(f"--batch-size {self.batch_size}: must be at least 1")
        if not all(32 < ord(c) < 127 for c in self.token):
            raise UserError("--token: use printable ASCII characters without spaces")


def serve(settings: Settings) -> None:
    """Serve until a signal ends it; what is under way then is answered. Raises UserError."""
    listener = _bound(settings)
    with ExitStack() as held:
        held.callback(listener.close)
        folder = held.enter_context(pictures.folder())
        suite = suites.load(settings.suite, settings.data, settings.instruments)
        chosen = rewards.served(_names(settings), suite)
        _check_measures(settings, chosen)
        preflight.check_roles(settings.instruments, [one.task for one in chosen])
        ledger = None
        if settings.store is not None:
            run = RunFolder(settings.store)
            held.enter_context(run.locked())
            ledger = Ledger(run, suite, chosen)
        engine = held.enter_context(engines.opened(settings.pool, folder))
        home = settings.store or folder
        first = ledger.start(settings.command) if ledger is not None else 0
        workers = _workers(settings.pool)
        made = lines(chosen, suite, engine, home, settings.batch_size, ledger, workers)
        limits = settings.limits
        service = Service(made.lines, pictures.Album(folder, limits.pixels), limits)
        service.number_from(first)
        if ledger is not None:
            ledger.check(made.keys)
            ledger.finish(made.keys)  # what a killed server left
            ledger.serving()
        try:
            _run(settings, service, listener)
        finally:
            if ledger is not None:
                _say_kept(ledger, made.keys)
        if late := [line.name for line in made.lines if line.since is not None]:
            told = f"{', '.join(late)}: a batch is still being marked; another signal ends at once"
            print(told, file=sys.stderr)


def _workers(pool: Pool) -> int:
    """How many parts a batch is given to workers in; a cluster's number is not known here."""
    return pool.workers or (1 if pool.local else PARTS)


def _check_measures(settings: Settings, chosen: Sequence[rewards.Served]) -> None:
    """Raises UserError for a measure that is chosen as one chooses it for a run."""
    spec = settings.instruments.get(measures.ROLE)
    if spec and not any(measures.ROLE in one.task.instruments for one in chosen):
        raise UserError(
            f"--instrument {measures.ROLE}={spec}: measures are served by their own names: "
            f"serve {spec}"
        )


def _names(settings: Settings) -> list[str]:
    names = list(dict.fromkeys(n.strip() for n in settings.rewards.split(",") if n.strip()))
    if not names:
        raise UserError("no reward was named: give names such as geneval,geneval:share")
    return names


def _bound(settings: Settings) -> socket.socket:
    """The port, asked for before anything is loaded. Raises UserError."""
    try:
        family = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
        found = socket.socket(family[0], family[1])
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(family[4])
        found.set_inheritable(True)
        return found
    except OSError as error:
        raise _no_port(settings, error) from None


def _no_port(settings: Settings, error: OSError) -> UserError:
    if error.errno == errno.EADDRINUSE:
        return UserError(
            f"port {settings.port} of {settings.host} is in use: give another --port, or 0 for any"
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return UserError(f"no permission for port {settings.port}: give a --port above 1023")
    return UserError(f"cannot serve on {settings.host}:{settings.port} ({error})")


# -- while it runs -------------------------------------------------------------------------------


def server(settings: Settings, service: Service, told: Callable[[], None]) -> uvicorn.Server:
    """What answers for ``service``; ``told()`` is called when it does."""
    app = Gate(
        application(service, settings.pickle), settings.limits, settings.token, service.statistics
    )
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=int(settings.limits.timeout) + 5,
        limit_concurrency=settings.limits.connections,
    )
    made = _Server(config)
    made.told, made.gate = told, app
    return made


def _run(settings: Settings, service: Service, listener: socket.socket) -> None:
    """Until a signal; uvicorn passes it on when the last answer is given."""
    ready = partial(_say_ready, settings, service, listener)
    try:
        # Two that start at once both bind the port, and only one can listen. Where uvicorn is the
        # first to try, it prints a traceback.
        listener.listen(BACKLOG)
        server(settings, service, ready).run([listener])
    except OSError as error:
        raise _no_port(settings, error) from None
    except stopping.Stopped:
        pass  # it has stopped as it was told to


class _Server(uvicorn.Server):
    """Says when it answers, and waits for no body that is not here when it stops."""

    told: Callable[[], None]
    gate: Gate

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.should_exit:
            self.told()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.gate.closing.set()
        await super().shutdown(sockets)


def _say_ready(settings: Settings, service: Service, listener: socket.socket) -> None:
    """The exact words for each client, on standard error."""
    port = listener.getsockname()[1]
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    url = f"http://{host}:{port}"
    names = list(service.rewards)
    lines = [
        f"serving {', '.join(names)} on {url}",
        f"  UniRL            POST {url}/score    required_rewards: {json.dumps(names)}",
        f"  Flow-Factory     POST {url}/compute?reward={quote(names[0], safe='')}",
        f"  plain JSON       POST {url}/mark     described in {url}/docs",
        f"  state            GET  {url}/health   {url}/metrics (Prometheus)",
    ]
    if settings.pickle:
        lines.insert(3, f"  Flow-GRPO, verl-omni   POST {url}/   (pickles)")
    if settings.host not in LOOPBACK and not settings.token:
        lines.append(f"anybody who reaches {settings.host} may ask: --token TOKEN keeps others out")
    if settings.store is not None:
        lines.append(f"marks are stored in {settings.store}; Ctrl-C or SIGTERM ends")
    else:
        lines.append("marks are not stored (--store DIR); Ctrl-C or SIGTERM ends")
    print("\n".join(lines), file=sys.stderr, flush=True)


def _say_kept(ledger: Ledger, keys: Mapping[str, Mapping[str, Any]]) -> None:
    counts = ledger.finish(keys)
    told = ", ".join(f"{count} of {name}" for name, count in counts.items())
    print(f"marks in {ledger.run.path}: {told}; `show` and `report` read them", file=sys.stderr)
