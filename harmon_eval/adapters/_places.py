"""Whether weights are where a name says, before anything is loaded or fetched."""

from __future__ import annotations

import re
from pathlib import Path

from harmon_eval.core import UserError
from harmon_eval.files.hub_access import refusal

# Old names on the hub have no owner. A path has more than one slash, or begins with one.
HUB_ID = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")
FILES = (".pth", ".pt", ".bin", ".ckpt", ".safetensors")
SECONDS = 10  # for the hub to answer


def find_weights(place: str) -> None:
    """Raises UserError if ``place`` is no file, no folder, and no repository in the hub's cache or
    on the hub. Fetches nothing."""
    if not place or Path(place).expanduser().exists():  # an adapter refuses an empty place itself
        return
    if not HUB_ID.fullmatch(place) or place.endswith(FILES):
        raise UserError(f"no file or folder {place!r}: give one that exists, or a hub id")
    import httpx2
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        snapshot_download(place, local_files_only=True)
    except HFValidationError as error:
        raise UserError(f"no hub id {place!r}: {str(error).splitlines()[0]}") from None
    except OSError:  # not in the cache
        try:
            HfApi().model_info(place, timeout=SECONDS)
        except (HfHubHTTPError, httpx2.HTTPError, OSError) as error:
            if refused := refusal(error):
                raise UserError(f"{place!r} is no folder here, and {refused}") from None
            raise UserError(
                f"{place!r} is no folder here, is not in the hub's cache, and the hub cannot be "
                f"asked for it ({type(error).__name__}): check name and network, or on a machine "
                f"with network run `hf download {place} --local-dir DIR` and give DIR"
            ) from None
