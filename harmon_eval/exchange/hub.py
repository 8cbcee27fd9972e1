"""A run's card on the Hugging Face hub."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from harmon_eval.core import UserError
from harmon_eval.exchange import card
from harmon_eval.exchange.finished import FinishedRun
from harmon_eval.files.hub_access import network_errors
from harmon_eval.store.redact import redacted

if TYPE_CHECKING:
    from huggingface_hub import HfApi


def push(run: FinishedRun, name: str, private: bool = False, request: bool = False) -> str:
    """Put card, plots, table and provenance into the model repository ``name``; gives the address
    of the commit or, with ``request``, of a pull request.

    A card that is there keeps its other content. Raises UserError without a network, a key or the
    right to write."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError

    api = HfApi()
    try:
        if not request:
            api.create_repo(name, private=private, exist_ok=True)
        existing = _existing(api, name)
        with tempfile.TemporaryDirectory() as folder:
            card.write(run, Path(folder), existing)
            done = api.upload_folder(
                repo_id=name,
                folder_path=folder,
                commit_message="Evaluation by harmon_eval",
                create_pr=request,
            )
    except HFValidationError as error:
        raise UserError(f"--hub {name}: {_said(error)}") from None
    except network_errors() as error:
        raise UserError(
            f"{name} could not be written on the hub ({_said(error)}): check the network and "
            "`hf auth login`, or leave out --hub to write a folder"
        ) from None
    return str(done.pr_url or done.commit_url)


def _existing(api: HfApi, name: str) -> str | None:
    """The text of the repository's card; None without one."""
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    try:
        with tempfile.TemporaryDirectory() as folder:
            file = api.hf_hub_download(name, card.CARD, local_dir=folder)
            return Path(file).read_text(encoding="utf-8")
    except LocalEntryNotFoundError:  # the network failed: what is there is not known
        raise
    except EntryNotFoundError:
        return None


def _said(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return redacted(lines[0])[:200]
