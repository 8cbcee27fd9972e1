"""What may be raised: wrong input, what cannot be marked, an instrument that is not here."""

from __future__ import annotations


class UserError(Exception):
    """Wrong usage or input. The message is one line and says what to do (exit code 2)."""


class Unscorable(Exception):
    """The protocol cannot mark this response, so the sample counts as unscored.

    ``reply`` holds the reply, if there was one."""

    def __init__(self, reason: str = "", reply: str = "") -> None:
        super().__init__(reason)
        self.reply = reply


class InstrumentMissing(UserError):
    """An instrument is not available. Responses stay stored, and ``mark`` can continue later."""
