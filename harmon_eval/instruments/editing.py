"""What judging edits shares: why a result has no verdict, and the judge in a metric's name."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from harmon_eval.core import Unscorable
from harmon_eval.instruments.judging import judge_of

OURS = "ours"  # the kind of a rubric that is shipped here; the original's wording is the user's
# Words of endpoints and of ``replies.thoughts`` for a request that the judge will not answer.
_REFUSED = ("held the reply back", "refused", "content_filter", "content management policy")


def unscored(verdict: Unscorable, fate: Callable[[str], str]) -> dict[str, str]:
    """The row of a result that the judge did not mark: the reason, and what the judge said.

    ``fate`` says what the original script makes of such a reply."""
    text, reply = str(verdict), verdict.reply
    if any(word in text for word in _REFUSED):
        text = f"refused by the judge: {text}"
    elif "does not parse" in text:
        text = f"the judge's reply has no scores: the original {fate(reply)}"
    return {"unscored": text, "reply": reply}


def label_of(rows: pd.DataFrame) -> str:
    """The judge, and whose rubric it was given, for the metric's name."""
    ours = "rubric_kind" in rows and bool((rows["rubric_kind"] == OURS).any())
    return judge_of(rows) + (", our rubric" if ours else "")
