"""The command line: names and files in, exit codes out. Importing it imports no torch."""

from __future__ import annotations

import argparse
import errno
import io
import os
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import harmon_eval
from harmon_eval import parsing
from harmon_eval.commands import _options, _terminal
from harmon_eval.commands._examples import EXAMPLES
from harmon_eval.core import UserError
from harmon_eval.settings import did_you_mean

PROGRAM = "python -m harmon_eval"
# Errors about a path from the user or from a file; these are not our bugs.
NOT_TO_BE_OPENED = (*(errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENXIO),)
COMMANDS = {
    "run": "evaluate a model (the default command); run it again to resume",
    "list": "list the available tasks, models and suites",
    "prepare": "download the data and weights that official tasks need",
    "convert": "write a task's own file: a checklist from a table, statistics from pictures",
    "mark": "mark stored responses again and compute the metrics, without the model",
    "show": "print the results of a run as a table",
    "export": "write results for lm-eval, lmms-eval, inspect, the hub or CSV; or published layouts",
    "push": "write a model card with results, plots and provenance; to a folder or the hub",
    "import": "make a run of a log of lm-eval, lmms-eval, inspect or VLMEvalKit",
    "leaderboard": "show runs beside published results, in tables",
    "compare": "compare two runs sample by sample; exit code 1 if the second is worse",
    "probe": "compare encoders with linear probes, layer by layer, in a table and a plot",
    "label": "mark samples of a run yourself, in a page on this machine",
    "calibrate": "compare marks with people's, and correct a mean by them",
    "plan": "compute how many samples are needed to see a difference",
    "serve": "mark images that a training sends over HTTP: rewards for RL",
    "track": "evaluate each new checkpoint of a training run and gate it",
    "report": "write one HTML file about a run: scores, plots, images, replies, provenance",
    "completion": "print what completes commands and options in your shell",
}
WORKING = ("run", "mark", "track", "probe", "serve")  # that load models or instruments
LISTED = "\n".join(f"  {name:<12} {text}" for name, text in COMMANDS.items())
ABOUT = f"Benchmarks for models that both understand and generate images.\n\ncommands:\n{LISTED}"
EPILOG = """\
examples:
  python -m harmon_eval
      evaluate the bundled model on all tasks of the mini suite: no network, no GPU
  python -m harmon_eval --model wusize/Harmon-1_5B --suite official --tasks geneval --device cuda
      evaluate a real model on the official prompts
  python -m harmon_eval --model folder:IMAGES --tasks geneval
      mark images that another program generated

training: `python -m harmon_eval.model.train --help` trains Harmon by a recipe

exit codes: 0 done, 1 finished with unscored samples, 2 wrong usage or input, 130 after Ctrl-C, \
143 after SIGTERM
exit codes of a gate: 0 passed, 1 worse than the baseline, 2 cannot decide
"""


class Parser(parsing.Parser):
    """A command's parser, which knows the options of the others and the tasks."""

    def elsewhere(self, word: str) -> str:
        """Which commands have the option; how a setting, a task or a command is given."""
        if word.startswith("-"):
            others = [name for name in COMMANDS if word in options_of(name)]
            if others:
                return f"it belongs to {', '.join(others)}"
            return setting_as_option(word) if "--model" in self._option_string_actions else ""
        if word in COMMANDS:
            return f"a command comes first: {PROGRAM} {word} ..."
        return task_as_option(word) if "--tasks" in self._option_string_actions else ""


def setting_as_option(word: str) -> str:
    """How a setting of Harmon that has no option is given; empty for another word."""
    from harmon_eval import registry

    name = word.lstrip("-").replace("-", "_")
    known = registry.model_settings(registry.BUNDLED_MODEL)
    return f"it is a setting of a model: --model NAME?{name}=..." if name in known else ""


def task_as_option(word: str) -> str:
    """How a word that names tasks is given; empty for another word."""
    from harmon_eval import registry

    known = registry.task_names()
    if any(name.partition(":")[0] not in known for name in word.split(",")):
        return ""
    return f"give tasks as --tasks {word}"


def options_of(command: str) -> set[str]:
    """The options of a command, with their dashes."""
    return {*parser_of(command)._option_string_actions}


def run_parser() -> Parser:
    parser = Parser(
        prog=PROGRAM,
        usage=f"{PROGRAM} [run] [options]\n       {PROGRAM} COMMAND --help",
        description=ABOUT,
        epilog=EPILOG,
    )
    parser.add_argument(
        "--version", action="version", version=f"harmon_eval {harmon_eval.__version__}"
    )
    return parser


def parse(argv: list[str]) -> tuple[str, argparse.Namespace]:
    """The command and its arguments; options without a command belong to ``run``."""
    command, rest = ("run", argv) if not argv or argv[0].startswith("-") else (argv[0], argv[1:])
    if command not in COMMANDS:
        meant = "give --help" if command == "help" else task_as_option(command)
        meant = meant or did_you_mean(command, COMMANDS, cutoff=0.6)
        raise UserError(f"unknown command {command!r}: {meant}")
    if wrong := [word for word in argv if not _written(word)]:
        raise UserError(
            f"{wrong[0]!r} is not UTF-8: rename the file, or use a UTF-8 locale such as C.UTF-8"
        )
    parser = parser_of(command)
    if "--print-config" in rest:
        _options.without_what_is_required(parser)
    arguments = parser.parse_args(_options.with_file(parser, rest))
    arguments.options = _options.chosen(parser, arguments)
    arguments.printed = _options.as_toml(parser, arguments) if arguments.print_config else ""
    if arguments.include:
        from harmon_eval import plugins

        for path in arguments.include:
            plugins.include(path)
    return command, arguments


def _written(word: str) -> bool:
    """Whether a word of the command line is text that can be stored."""
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return True


def parser_of(command: str) -> Parser:
    """The parser of a command with all its options."""
    parser = run_parser() if command == "run" else command_parser(command)
    parser.add_argument(
        "--include",
        action="append",
        default=[],
        type=Path,
        metavar="PATH",
        help="a file or folder with your own tasks, models or instruments; can be given several "
        "times (docs/new-task.md)",
    )
    _module(command).add_arguments(parser)
    if command in WORKING:
        _terminal.add_arguments(parser)
    _options.add_arguments(parser)
    return parser


def command_parser(command: str) -> Parser:
    described, example = COMMANDS[command], EXAMPLES.get(command)
    return Parser(
        prog=f"{PROGRAM} {command}",
        description=f"{described[0].upper()}{described[1:]}.",
        epilog=f"examples:\n{example}" if example else None,
    )


def _module(command: str) -> ModuleType:
    # No module can be called as a word of Python.
    return import_module(f"harmon_eval.commands.{command}{'_log' * (command == 'import')}")


def dispatch(command: str, arguments: argparse.Namespace, own_process: bool = False) -> int:
    """``own_process``: somebody waits for what the process says."""
    if arguments.print_config:
        print(arguments.printed, end="")
        return 0
    if command not in WORKING:
        return int(_module(command).main(arguments))
    _refuse_launchers(command)
    module = _module(command)
    if own_process:
        _terminal.announce(arguments, module.first_words(arguments))
    with _terminal.speaking(arguments):
        return int(module.main(arguments))


def _refuse_launchers(command: str) -> None:
    """Raises UserError under torchrun and ``accelerate launch``: one process writes a run."""
    world = os.environ.get("WORLD_SIZE", "1")
    if world.isdigit() and int(world) > 1:
        one_machine = os.environ.get("LOCAL_WORLD_SIZE", world) == world
        instead = f"--workers {world}" if one_machine else "--ray auto"
        raise UserError(
            f"WORLD_SIZE is {world}, as torchrun and accelerate launch set it, but one process "
            f"runs a benchmark: `{PROGRAM} {command} {instead} ...` without a launcher starts the "
            "workers itself (docs/scaling.md)"
        )


def ask_for_equal_bits() -> None:
    """Ask MKL, before it loads, to add in the same order for any number of rows and threads.

    Intel documents this strict mode for its AVX2 and AVX-512 code. It is set here and not at
    import, because only the command owns its process. Other libraries do not read the variable. A
    value that is already set is kept."""
    try:
        about = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        about = ""
    branch = "AVX2" if " avx2" in about else "AUTO"
    if "GenuineIntel" in about and " avx512f" in about:
        branch = "AVX512"
    os.environ.setdefault("MKL_CBWR", f"{branch},STRICT")


def check_links() -> None:
    """Raises UserError if git checked out the links to ``tasks`` and ``model`` as text files."""
    for name in ("tasks", "model"):
        link = Path(__file__).with_name(name)
        if link.is_file():
            raise UserError(
                f"{link} is a text file and not a link to ../{name}, as happens on a system "
                "without symbolic links: clone again with `git clone -c core.symlinks=true` (on "
                "Windows inside WSL), or install the wheel"
            )


def give_memory_back() -> None:
    """Ask Arrow, before it loads, for the system's allocator. Its own keeps what it no longer
    needs: 30 of 285 MB where 200,000 samples are compared. A value that is set is kept."""
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")


def main(argv: list[str] | None = None) -> int:
    from harmon_eval.running import stopping
    from harmon_eval.running.machine import share_the_processor

    ask_for_equal_bits()
    share_the_processor()
    give_memory_back()
    if argv is None and isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a locale without dashes or umlauts
    try:
        with stopping.listening():
            check_links()
            command, arguments = parse(sys.argv[1:] if argv is None else argv)
            return dispatch(command, arguments, own_process=argv is None)
    except UserError as error:
        return _fail(str(error))
    except KeyboardInterrupt as signal:
        name = str(signal) or "interrupted"
        print(f"\n{name}: run the same command again to resume", file=sys.stderr)
        return signal.code if isinstance(signal, stopping.Stopped) else 130
    except BrokenPipeError:  # of a file such as /dev/stdout; what is printed outlives its reader
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 2
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return _fail(
                f"no space left{where}: free some space and run the same command again; "
                "everything stored so far is kept"
            )
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
            return _fail(f"no permission{where}: choose another --output")
        if error.errno in (errno.EMFILE, errno.ENFILE):
            return _fail(f"too many open files{where}: raise the limit with `ulimit -n 4096`")
        if error.errno in NOT_TO_BE_OPENED:
            return _fail(f"{error.strerror}{where}: give another path")
        raise


def _fail(message: str) -> int:
    """Print the message as one line on standard error, and return the exit code."""
    from harmon_eval.store.redact import redacted

    message = redacted(message)
    line = " ".join("".join(c if c.isprintable() else " " for c in message).split())
    print(_terminal.fitted(f"error: {line}"), file=sys.stderr)
    return 2
