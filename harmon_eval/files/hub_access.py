"""Why the Hugging Face hub refused access: a wrong token looks as if there were no repository."""

from __future__ import annotations

REFUSED = (401, 403)


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
