"""Models under test, by name. A new one is a class with one to three methods (see core.Responder)."""

from __future__ import annotations

from argparse import Namespace

from harmon_eval import registry
from harmon_eval.core import Responder, UserError


def load(name: str, options: Namespace) -> Responder:
    """The model called ``name``; ``options`` are the run command's.

    Raises UserError for unknown names and unusable weights."""
    plugins = registry.model_factories()
    if name in plugins:
        return registry.load_plugin(plugins[name])(name, options)
    if name.startswith("folder:"):
        from harmon_eval.adapters.folder import FolderResponder

        return FolderResponder(name.removeprefix("folder:"))
    if name == "scripted":
        from harmon_eval.adapters.scripted import ScriptedResponder

        return ScriptedResponder()
    from harmon_eval.adapters.harmon import HarmonResponder
    from harmon_eval.model.checkpoint import CheckpointError

    try:
        return HarmonResponder.load(name, options)
    except CheckpointError as error:
        raise UserError(str(error)) from None
