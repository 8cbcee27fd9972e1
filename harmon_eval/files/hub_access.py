"""The Hugging Face hub: what fails without a network, and why access was refused (a wrong token
looks as if there were no repository)."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

REFUSED = (401, 403)


def network_errors() -> tuple[type[Exception], ...]:
    """What huggingface_hub raises where the hub cannot be asked: version 1 asks by httpx, version 2
    by httpx2."""
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    clients = [import_module(name) for name in ("httpx", "httpx2") if find_spec(name)]
    own = (HfHubHTTPError, OfflineModeIsEnabled, OSError)
    return (*own, *(client.HTTPError for client in clients))


def refusal(error: BaseException) -> str:
    """What to do if the hub refused access, found in the error or in what it came from; empty for
    any other error."""
    below: BaseException | None = error
    while below is not None:
        status = getattr(getattr(below, "response", None), "status_code", None)
        if status in REFUSED:
            return (
                f"the hub refuses access ({status}): check the name; if it is private or gated, "
                "accept its terms on its page and give a token that may read it (HF_TOKEN, or `hf "
                "auth login`). A wrong token is refused too, also for what is public: unset it"
            )
        below = below.__cause__ or below.__context__
    return ""
