"""The options about the judge, which ``run`` and ``mark`` share; no command of its own."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from harmon_eval.core import UserError

if TYPE_CHECKING:
    from harmon_eval.instruments.judge import JudgeOptions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    judge = parser.add_argument_group(
        "judge (of tasks that need one; the mini suite has rules; see docs/judges.md)"
    )
    judge.add_argument(
        "--judge-model", metavar="NAME", help="model at --judge-url, or vlm:PATH, or any --model"
    )
    judge.add_argument(
        "--judge-url",
        metavar="URL",
        help="OpenAI-compatible endpoint; the key comes from JUDGE_API_KEY or OPENAI_API_KEY",
    )
    judge.add_argument(
        "--judge-price",
        nargs=2,
        type=float,
        metavar=("IN", "OUT"),
        help="US dollars for a million tokens",
    )
    judge.add_argument(
        "--budget",
        type=float,
        metavar="USD",
        help="what the judges of this run folder may cost in all; the run then "
        "stops and can be resumed",
    )
    judge.add_argument(
        "--judge-body",
        type=json_object,
        metavar="JSON",
        help="further fields of each request; null leaves one out",
    )
    judge.add_argument(
        "--judge-concurrency",
        type=int,
        default=8,
        metavar="N",
        help="requests at a time (default: %(default)s)",
    )


def json_object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"no JSON ({error})") from None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError('give a JSON object, such as {"top_p": 1}')
    return value


def judge_options(arguments: argparse.Namespace, device: str | None = None) -> JudgeOptions:
    """Raises UserError for options that contradict each other."""
    from harmon_eval.instruments.judge import JudgeOptions

    if not arguments.judge_model and arguments.judge_concurrency != 8:
        raise UserError("--judge-concurrency is for a judge that is served: add --judge-model")
    return JudgeOptions(
        model=arguments.judge_model,
        url=arguments.judge_url,
        price=tuple(arguments.judge_price) if arguments.judge_price else None,
        budget=arguments.budget,
        body=arguments.judge_body or {},
        concurrency=arguments.judge_concurrency,
        device=device,
    )
