"""Mark images that a training sends over HTTP."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from harmon_eval.commands import _options, _workers, judging
from harmon_eval.core import UserError

TOKEN = "SERVE_TOKEN"
EPILOG = f"""\
example: rewards on the mini suite, and a question from another terminal
  python -m harmon_eval serve geneval,geneval:share --port 8080 --store runs/rewards
  curl http://127.0.0.1:8080/health
  curl http://127.0.0.1:8080/mark \\
    -H 'Content-Type: application/json' \\
    -d '{{"samples": [{{"prompt": "a photo of a circle",
      "image": "'$(base64 -w0 circle.png)'"}}]}}'

GenEval's own detector (docs/official.md says which weights), for UniRL, Flow-Factory and Flow-GRPO
  python -m harmon_eval serve geneval,geneval:flow_grpo --suite official --data DIR --pickle

The variable {TOKEN} is another way to give --token, which other users of the machine cannot see.
The server ends at Ctrl-C or SIGTERM, when what it has begun is answered, with exit code 0.
docs/serve.md shows a client for each trainer.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument(
        "rewards",
        nargs="?",
        default="geneval",
        metavar="A,B",
        help="tasks that mark one image, and measures: geneval, geneval:share, geneval:flow_grpo, "
        "dpg, wise, checklist:FILE ... (default: %(default)s; the first is Flow-Factory's)",
    )
    parser.add_argument(
        "--suite",
        default="mini",
        metavar="mini|official",
        help="where prompts and instruments come from (default: %(default)s)",
    )
    parser.add_argument("--data", type=Path, metavar="DIR", help="benchmark data that you have")
    parser.add_argument(
        "--store",
        type=Path,
        metavar="DIR",
        help="run folder that keeps every mark, and one image of 1,000: `show DIR` and `report "
        "DIR` read it",
    )
    judging.add_arguments(parser)
    _add_network(parser)
    _add_limits(parser)
    _workers.add_arguments(parser)


def _add_network(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("network")
    group.add_argument(
        "--host", default="127.0.0.1", metavar="ADDRESS", help="default: %(default)s, only here"
    )
    group.add_argument(
        "--port", type=int, default=8080, metavar="N", help="default: %(default)s; 0: any free one"
    )
    group.add_argument("--token", metavar="TOKEN", help="that requests must bear; default: none")
    group.add_argument(
        "--pickle",
        action="store_true",
        help="also Flow-GRPO's and verl-omni's format at POST /: pickles, which are read without "
        "running what they hold, from this machine only",
    )


def _add_limits(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("batches and limits")
    group.add_argument(
        "--batch-size",
        type=int,
        default=32,
        metavar="B",
        help="images marked at a time, from any requests (default: %(default)s)",
    )
    group.add_argument(
        "--timeout",
        type=float,
        default=120.0,
        metavar="SECONDS",
        help="for one image's reward, and for a body to arrive (default: %(default)g)",
    )
    group.add_argument(
        "--max-body", type=float, default=64.0, metavar="MIB", help="default: %(default)g"
    )
    group.add_argument(
        "--max-pixels",
        type=float,
        default=64.0,
        metavar="MEGAPIXELS",
        help="of an image, in 2**20 pixels (default: %(default)g, the most)",
    )
    group.add_argument(
        "--max-images", type=int, default=1024, metavar="N", help="of a request (default: 1024)"
    )


def first_words(arguments: argparse.Namespace) -> str:
    return f"loading what marks {arguments.rewards}, suite {arguments.suite}"


def main(arguments: argparse.Namespace) -> int:
    """Serve until a signal. Raises UserError."""
    try:
        from harmon_eval.serving.service import Limits
        from harmon_eval.serving.start import Settings, serve
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in PACKAGES:
            raise
        raise UserError(
            f"serve needs the package {error.name}, which is missing: "
            'pip install "harmon-eval[serve]"'
        ) from None
    for name, most in (("timeout", 86_400), ("max_body", 4096), ("max_pixels", 64)):
        value = getattr(arguments, name)
        if not 0 < value <= most:
            raise UserError(
                f"--{name.replace('_', '-')} {value:g}: give more than 0, at most {most}"
            )
    if arguments.max_images < 1:
        raise UserError(f"--max-images {arguments.max_images}: must be at least 1")
    settings = Settings(
        rewards=arguments.rewards,
        suite=arguments.suite,
        data=arguments.data,
        instruments=judging.instruments(arguments),
        host=arguments.host,
        port=arguments.port,
        token=arguments.token or os.environ.get(TOKEN, ""),
        pickle=arguments.pickle,
        store=arguments.store,
        batch_size=arguments.batch_size,
        limits=Limits(
            timeout=arguments.timeout,
            body=int(arguments.max_body * 2**20),
            pixels=int(arguments.max_pixels * 2**20),
            images=arguments.max_images,
            held=max(2**30, int(arguments.max_body * 2**21)),
        ),
        pool=_workers.pool(arguments),
        command=_options.for_manifest("serve", add_arguments, arguments),
    )
    serve(settings)
    return 0


PACKAGES = ("fastapi", "uvicorn", "pydantic", "starlette", "prometheus_client")
