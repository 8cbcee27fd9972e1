"""Pickles of Flow-GRPO's and verl-omni's clients, read without running any of their code.

A pickle is a program. Those of these clients only build dicts, lists, text, bytes and numbers, so
every other instruction is refused by its name before anything is loaded, and the loader knows no
global either (yifan123/flow_grpo @ ac4c86e, verl-project/verl-omni @ a1139ba).
"""

from __future__ import annotations

import io
import pickle
import pickletools
import struct
from collections.abc import Sequence
from typing import Any

from harmon_eval.core import Unscorable

TAGS = ("single_object", "two_object", "counting", "colors", "position", "color_attr")
OTHER_TAG = -10.0  # in a group's list, where the image has another tag
PROTOCOL = 4
MOST = 1_000_000  # instructions, and places of the memo
PLAIN = frozenset(
    (
        *("PROTO", "FRAME", "STOP", "MARK", "POP", "MEMOIZE"),
        *("PUT", "BINPUT", "LONG_BINPUT", "GET", "BINGET", "LONG_BINGET"),
        *("EMPTY_DICT", "DICT", "SETITEM", "SETITEMS"),
        *("EMPTY_LIST", "LIST", "APPEND", "APPENDS"),
        *("EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"),
        *("SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE"),
        *("SHORT_BINBYTES", "BINBYTES", "BINBYTES8"),
        *("NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "INT", "LONG"),
        *("LONG1", "BINFLOAT", "FLOAT"),
    )
)
FAULTS = (
    *(pickle.UnpicklingError, ValueError, EOFError, IndexError, KeyError, TypeError),
    *(AttributeError, OverflowError, UnicodeError, MemoryError, struct.error),
)


class _Loader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"{module}.{name} is refused")


def read(data: bytes) -> dict[str, Any]:
    """The dict of a request. Raises Unscorable for anything else, and runs nothing."""
    try:
        for number, (code, argument, _) in enumerate(pickletools.genops(data)):
            if code.name not in PLAIN:
                raise Unscorable(
                    f"the pickle is refused: it holds {code.name}, which is no plain data"
                )
            place = argument if "PUT" in code.name else 0
            if number > MOST or int(place or 0) > MOST:
                raise Unscorable("the pickle is refused: it has too many parts")
        found = _Loader(io.BytesIO(data)).load()
    except FAULTS as error:
        raise Unscorable(f"the body is no pickle that can be read ({error})") from None
    if not isinstance(found, dict):
        raise Unscorable(f"the pickle holds a {type(found).__name__}, not a dict")
    return found


def listed(body: dict[str, Any], field: str, kind: type, most: int) -> list[Any]:
    """A list of a request. Raises Unscorable, naming the sample that is of another type."""
    found = body.get(field)
    if not isinstance(found, list | tuple):
        raise Unscorable(f"{field}: a list is needed, not {type(found).__name__}")
    if len(found) > most:
        raise Unscorable(f"{field}: {len(found)} samples in one request; at most {most}")
    for place, value in enumerate(found):
        if not isinstance(value, kind):
            raise Unscorable(
                f"sample {place}: {field} holds {type(value).__name__}, not {kind.__name__}"
            )
    return list(found)


def grouped(tags: Sequence[str], values: Sequence[float]) -> dict[str, list[float]]:
    """Flow-GRPO's lists by tag, each as long as the batch."""
    return {
        tag: [value if own == tag else OTHER_TAG for own, value in zip(tags, values, strict=True)]
        for tag in TAGS
    }


def written(value: dict[str, Any]) -> bytes:
    return pickle.dumps(value, protocol=PROTOCOL)
