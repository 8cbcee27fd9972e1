"""Whether weights are where a name says, before anything is loaded or fetched."""

from __future__ import annotations

import re
from pathlib import Path

from harmon_eval.adapters._folders import check_folder
from harmon_eval.adapters._torch import best_device, check_place
from harmon_eval.core import UserError
from harmon_eval.files.hub_access import network_errors, refusal

# Old names on the hub have no owner. A path has more than one slash, or begins with one.
HUB_ID = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")
FILES = (".pth", ".pt", ".bin", ".ckpt", ".safetensors")
# The file that describes a model in a library's folder.
CONFIG, DESCRIBED = "config.json", {"diffusers": "model_index.json"}
SECONDS = 10  # for the hub to answer


def check(adapter: str, place: str, device: str | None, revision: str | None = None) -> None:
    """Raises UserError for what ``open_model`` of an adapter would refuse before it reads weights:
    a place where there are none, a folder of another family, a device that is not here."""
    check_place(adapter, place)
    best_device(device)
    check_folder(adapter, place, read=False)
    file = DESCRIBED.get(adapter, CONFIG)
    if Path(place).is_dir() and not (Path(place) / file).is_file():
        raise UserError(f"{place} has no {file}: give {adapter}: a folder of a model, or a hub id")
    find_weights(place, revision)


def find_weights(place: str, revision: str | None = None) -> None:
    """Raises UserError if ``place`` is no file, no folder, and no repository (or has no such
    ``revision``) in the hub's cache or on the hub. Fetches nothing."""
    if not place or Path(place).expanduser().exists():  # an adapter refuses an empty place itself
        if place and revision:
            raise UserError(
                f"revision={revision}: {place} lies here and has only one: leave it out, or give a "
                "hub id"
            )
        return
    if not HUB_ID.fullmatch(place) or place.endswith(FILES):
        raise UserError(f"no file or folder {place!r}: give one that exists, or a hub id")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    try:
        snapshot_download(place, revision=revision, local_files_only=True)
    except HFValidationError as error:
        raise UserError(f"no hub id {place!r}: {str(error).splitlines()[0]}") from None
    except OSError:  # not in the cache
        _ask_the_hub(place, revision)


def _ask_the_hub(place: str, revision: str | None) -> None:
    """Raises UserError where the hub does not have it, or cannot be asked."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    at = f" at revision {revision!r}" if revision else ""
    try:
        HfApi().model_info(place, revision=revision, timeout=SECONDS)
    except RevisionNotFoundError:
        raise UserError(
            f"{place} has no revision {revision!r} on the hub: give a branch, a tag or a commit of "
            "it, or leave it out"
        ) from None
    except network_errors() as error:
        if refused := refusal(error):
            raise UserError(f"{place!r} is no folder here, and {refused}") from None
        if isinstance(error, RepositoryNotFoundError):
            raise UserError(
                f"{place!r} is no folder here, and the hub has no such model, or a private one: "
                "check the name, or log in with `hf auth login`"
            ) from None
        option = f" --revision {revision}" if revision else ""
        raise UserError(
            f"{place!r} is no folder here, is not in the hub's cache{at}, and the hub cannot be "
            f"asked for it ({type(error).__name__}): check name and network, or on a machine "
            f"with network run `hf download {place}{option} --local-dir DIR` and give DIR"
        ) from None
