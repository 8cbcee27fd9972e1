"""Options that choose instruments, for ``run``, ``mark`` and others; no command of its own.

``--instrument ROLE=NAME?key=value`` says it all; the other options here are shorter ways to say the
same of the judge and of GenEval's detector.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlencode

from harmon_eval.core import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("instruments (what marks responses; see docs/judges.md)")
    group.add_argument(
        "--instrument",
        action="append",
        default=[],
        metavar="ROLE=NAME",
        help="use another instrument, such as detector=hf or judge=openai:MODEL@URL, with settings "
        "as ?key=value; may be given several times",
    )
    group.add_argument("--detector", metavar="NAME", help="short for --instrument detector=NAME")
    group.add_argument(
        "--judge-model",
        metavar="NAME",
        help="a model at --judge-url, or vlm:PATH, or any --model: short for "
        "--instrument judge=NAME",
    )
    group.add_argument(
        "--judge-url",
        metavar="URL",
        help="OpenAI-compatible endpoint; the key comes from JUDGE_API_KEY or OPENAI_API_KEY",
    )
    group.add_argument(
        "--judge-price",
        nargs=2,
        metavar=("IN", "OUT"),
        help="US dollars for a million tokens: ?price=IN:OUT",
    )
    group.add_argument(
        "--budget",
        metavar="USD",
        help="what the judges of this run folder may cost in all: ?budget=USD; the run then stops "
        "and can be resumed",
    )
    group.add_argument(
        "--judge-body",
        metavar="JSON",
        help="further fields of each request, null leaves one out: ?body=JSON",
    )
    group.add_argument("--judge-concurrency", metavar="N", help="requests at a time (default: 8)")


def instruments(
    arguments: argparse.Namespace, device: str | None = None, of_run: bool = False
) -> dict[str, str]:
    """Role -> name and settings of what was chosen. ``device`` is where a local judge runs.
    ``of_run``: there is a run whose own judge an address alone may mean.

    Raises UserError for a role that is chosen twice, or a judge's setting without a judge."""
    chosen = named(arguments.instrument)
    if arguments.detector:
        _choose(chosen, "detector", arguments.detector)
    if spec := _judge(arguments, device, of_run):
        _choose(chosen, "judge", spec)
    return chosen


def named(texts: Sequence[str]) -> dict[str, str]:
    """Role -> name and settings, of the values of ``--instrument``. Raises UserError."""
    chosen: dict[str, str] = {}
    for text in texts:
        role, mark, spec = text.partition("=")
        if not (mark and role and spec):
            raise UserError(f"--instrument {text}: give ROLE=NAME, such as detector=hf")
        _choose(chosen, role, spec)
    return chosen


def _choose(chosen: dict[str, str], role: str, spec: str) -> None:
    if chosen.setdefault(role, spec) != spec:
        raise UserError(f"two instruments for {role}: {chosen[role]} and {spec}; name one")


def _judge(arguments: argparse.Namespace, device: str | None, of_run: bool) -> str:
    """The judge that the options about it name; empty where they name none.

    Settings alone change those of the run's own judge: ``?key=value``; an address alone is where
    that one is: ``@URL``."""
    model, url = arguments.judge_model, arguments.judge_url
    if url and not model and of_run:
        model = f"@{url}"
    elif url and not model:
        raise UserError("--judge-url needs --judge-model: the model's name at that endpoint")
    elif url:
        model = f"openai:{model}@{url}"
    price = arguments.judge_price
    given: dict[str, Any] = {
        "price": ":".join(price) if price else None,
        "budget": arguments.budget,
        "body": arguments.judge_body,
        "concurrency": arguments.judge_concurrency,
        "device": device if model and not url and not model.startswith("openai:") else None,
    }
    named = {name: value for name, value in given.items() if value is not None}
    settings = urlencode(named, quote_via=quote)  # in a name, a plus sign is no space
    if not model and not settings:
        return ""
    return f"{model or ''}?{settings}" if settings else str(model)
