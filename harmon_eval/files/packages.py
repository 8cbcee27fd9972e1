"""Data that other packages carry: found beside their code, without importing it."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from harmon_eval.core import UserError


def carried(module: str, place: str, package: str, extra: str) -> Path:
    """The file or folder ``place`` in the folder of ``module``, which ``package`` installs.

    Raises UserError naming the extra to install where it is not here."""
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise UserError(f"this needs the package {package!r}: pip install 'harmon-eval[{extra}]'")
    found = Path(spec.origin).parent / place
    if not found.exists():
        raise UserError(f"the installed {package!r} holds no {place}: install another version")
    return found
