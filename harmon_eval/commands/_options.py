"""Options in a TOML file, and back (``--config``, ``--print-config``); no command of its own.

A key is an option without its dashes, such as ``batch-size = 16``. What the command line gives wins
over the file. A file holds options only: what a command works on, such as a run folder, stands on
the command line. Every command has both, and stores its options in what it writes.
"""

from __future__ import annotations

import argparse
import json
import shlex
import textwrap
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harmon_eval.core import UserError
from harmon_eval.parsing import Parser
from harmon_eval.settings import did_you_mean

OWN = ("config", "print-config", "help", "version")
SHOWN = 88  # characters of a line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("options in a file")
    group.add_argument(
        "--config",
        type=Path,
        metavar="FILE.toml",
        help="options from a file, such as limit = 10; those given here win over it",
    )
    group.add_argument(
        "--print-config",
        action="store_true",
        help="print all options as such a file, and leave",
    )


def with_file(parser: Parser, given: Sequence[str]) -> list[str]:
    """The arguments with those of the ``--config`` among them, if there is one, before them.

    Raises UserError for a file that cannot be read, an unknown option, or a value that is none."""
    file = _file(given)
    if file is None:
        return list(given)
    known = dict(options(parser))
    named = {word.partition("=")[0] for word in given if word.startswith("--")}
    words: list[str] = []
    for key, value in _read(file).items():
        name = key.replace("_", "-")
        if isinstance(value, dict):
            instead = 'model = "NAME?key=value"' if name == "model" else "them without one"
            raise UserError(f"{file}: [{key}] is a section, and options have none: give {instead}")
        if name not in known:
            hint = parser.meant(name, known) or did_you_mean(name, known)
            raise UserError(f"{file}: unknown option {key!r}: {hint}")
        if f"--{name}" not in named:
            words += _words(file, name, known[name], value)
    return words + list(given)


def without_what_is_required(parser: argparse.ArgumentParser) -> None:
    """For ``--print-config``, which nothing is missing for."""
    for action in parser._actions:
        action.required = False
        if not action.option_strings and action.nargs is None:
            action.nargs = "?"


def options(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.Action]]:
    """The options of a command by their names without dashes."""
    for action in parser._actions:
        if action.option_strings and (name := action.option_strings[-1][2:]) not in OWN:
            yield name, action


def _file(given: Sequence[str]) -> Path | None:
    """The file of options, if any. Raises UserError unless it is one."""
    found = [
        word.partition("=")[2] if "=" in word else "".join(given[place + 1 : place + 2])
        for place, word in enumerate(given)
        if word.partition("=")[0] == "--config"
    ]
    if len(found) > 1:
        raise UserError(f"--config {found[1]}: give one file of options, not {len(found)}")
    if found and not found[0]:  # such as an unset variable of a shell
        raise UserError("--config names no file: give a TOML file of options")
    return Path(found[0]) if found else None


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"--config {file}: {error.strerror}") from None
    except ValueError as error:  # of TOML and of UTF-8
        raise UserError(f"--config {file} is not valid TOML ({error})") from None


def _words(file: Path, name: str, action: argparse.Action, value: Any) -> list[str]:
    """The words of the command line that say the same. Raises UserError."""
    if action.nargs == 0:
        if not isinstance(value, bool):
            raise UserError(f"{file}: {name} = {value!r}: give true or false")
        return [f"--{name}"] if value else []
    several, repeated = action.nargs is not None, isinstance(action, argparse._AppendAction)
    if several and repeated:
        if not isinstance(value, list) or not all(isinstance(each, list) for each in value):
            raise UserError(f"{file}: {name}: give a list of lists of {action.nargs}")
        return [word for each in value for word in _together(file, name, action, each)]
    values = value if isinstance(value, list) else [value]
    if several:
        return _together(file, name, action, values)
    texts = _texts(file, name, values)
    if repeated:
        return [f"--{name}={text}" for text in texts]
    if isinstance(value, list) and action.metavar != "A,B":
        raise UserError(f"{file}: {name} takes one value, not a list")
    return [f"--{name}={','.join(texts)}"]


def _together(file: Path, name: str, action: argparse.Action, values: Sequence[Any]) -> list[str]:
    """The words of an option that takes several values at once. Raises UserError."""
    texts = _texts(file, name, values)
    if isinstance(action.nargs, int) and len(texts) != action.nargs:
        raise UserError(f"{file}: {name}: give a list of {action.nargs}")
    if wrong := [text for text in texts if text.startswith("-")]:
        raise UserError(f"{file}: {name} = {wrong[0]!r}: no value may begin with a dash")
    return [f"--{name}", *texts] if texts else []


def _texts(file: Path, name: str, values: Sequence[Any]) -> list[str]:
    if wrong := [v for v in values if isinstance(v, bool) or not isinstance(v, str | int | float)]:
        raise UserError(f"{file}: {name} = {wrong[0]!r}: give text or a number")
    return [str(v) for v in values]


def chosen(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> dict[str, Any]:
    """All options that have a value, as plain ones. Nothing is hidden yet."""
    found = {name: _plain(getattr(arguments, a.dest)) for name, a in options(parser)}
    return {n: value for n, value in found.items() if value or type(value) in (int, float)}


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float) else str(value)


def as_toml(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> str:
    """All options as a file: those without a value as comments that say what they are."""
    values, formatter = chosen(parser, arguments), parser._get_formatter()
    groups: dict[str, list[str]] = {}
    titles = {a.dest: g.title or "" for g in parser._action_groups for a in g._group_actions}
    for name, action in options(parser):
        lines = groups.setdefault(titles.get(action.dest, ""), [])
        if name in values:
            lines.append(f"{name} = {_toml(values[name])}")
        else:
            text = formatter._expand_help(action).partition(" (default:")[0] if action.help else ""
            value = "false" if action.nargs == 0 else _placeholder(action)
            line = f"# {name} = {value}  # {text}".rstrip("# ")
            lines += textwrap.wrap(line, SHOWN, subsequent_indent="#     ", break_on_hyphens=False)
    parts = [f"# {title}\n" + "\n".join(lines) for title, lines in groups.items()]
    return "\n\n".join(parts) + "\n"


def _placeholder(action: argparse.Action) -> str:
    named = action.metavar
    return " ".join(named) if isinstance(named, tuple) else named or "VALUE"


def _toml(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    # A text in JSON is one in TOML, but for the character DEL.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def for_manifest(
    command: str,
    add_arguments: Callable[[argparse.ArgumentParser], None],
    arguments: argparse.Namespace,
) -> dict[str, Any]:
    """The command line that says the same (``line``), and all its ``options``, as they are stored:
    without keys."""
    from harmon_eval.running.provenance import written
    from harmon_eval.store.redact import HIDDEN, is_secret_name, redacted, shown

    def hidden(name: str, value: Any) -> Any:
        if isinstance(value, list):
            return [hidden(name, item) for item in value]
        if is_secret_name(name):
            return HIDDEN
        if name == "judge-body":
            try:
                return json.dumps(shown(json.loads(value)))
            except (ValueError, AttributeError):
                return "{}"
        if name in ("model", "instrument") and "?" in str(value):
            return written(str(value))
        return redacted(value)

    bare = argparse.ArgumentParser()
    add_arguments(bare)
    actions = dict(options(bare))
    defaults = {name: _plain(action.default) for name, action in actions.items()}
    works_on = [_plain(getattr(arguments, a.dest)) for a in bare._actions if not a.option_strings]
    values: Mapping[str, Any] = arguments.options
    known = {name: hidden(name, value) for name, value in values.items()}
    words = [redacted(str(value)) for value in _flat(works_on)]
    for name, value in known.items():
        if values[name] == defaults.get(name):
            continue
        if value is True:
            words.append(f"--{name}")
            continue
        together = name in actions and actions[name].nargs is not None
        repeated = isinstance(value, list) and (not together or isinstance(value[0], list))
        for each in value if repeated else [value]:
            words += [f"--{name}", *map(str, _flat([each]))]
    line = shlex.join(["python", "-m", "harmon_eval", command, *words])
    return {"line": line, "options": known}


def _flat(values: Sequence[Any]) -> Iterator[Any]:
    """What is there, lists opened and what was not given left out."""
    for value in values:
        if isinstance(value, list):
            yield from _flat(value)
        elif value is not None:
            yield value
