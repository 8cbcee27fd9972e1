"""Yes or no from a free reply, by the rules of each toolkit, and what the verdicts come to.

Sources: AoiDragon/POPE @ 08d957b (``pope_official``), MME's eval_tool (``mme_official``), lmms-eval
@ 75571cf, VLMEvalKit @ e8e78f0. A rule takes the raw reply and gives "yes", "no" or None where it
reads neither.
"""

from __future__ import annotations

import math
import re

import numpy as np

from harmon_eval.replies.numbers import folded

Verdict = str | None

# The list of VLMEvalKit: neither asterisk nor colon is in it.
PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
SHORT = 100  # characters, in which a reply is one word, whatever its form
FORMS = ({"json"}, {"answer"})  # words of a fence or an object around it
MAX_FULL_STOPS = 32  # the original hands a regex flag over as the number of replacements


def first_line(reply: str) -> str:
    """The reply as the official rules should see it: outer white space and later lines gone.

    A line break after the word would turn POPE's "no" into a "yes", and break MME's files. A lone
    carriage return is one too: the official tools open their files so."""
    return re.split(r"[\r\n]", reply.strip(), maxsplit=1)[0].rstrip()


def pope_official(reply: str) -> Verdict:
    """Before the first full stop, commas gone: a word ``No``, ``no`` or ``not`` is a no.

    Everything else is a yes, the empty reply too."""
    words = reply.partition(".")[0].replace(",", "").split(" ")
    return "no" if {"No", "no", "not"} & set(words) else "yes"


def exact(reply: str) -> Verdict:
    """lmms-eval's POPE: the whole reply, stripped and lower-cased."""
    word = reply.strip().lower()
    return word if word in ("yes", "no") else None


def without_punctuation(text: str) -> str:
    """VLMEvalKit's preparation of a reply."""
    number = re.search(r"\d,\d", text)
    cleaned = text
    for mark in PUNCTUATION:
        spaced = f"{mark} " in text or f" {mark}" in text
        cleaned = cleaned.replace(mark, "" if spaced or number else " ")
    return re.sub(r"(?<!\d)\.(?!\d)", "", cleaned, count=MAX_FULL_STOPS)


def vlmevalkit(reply: str) -> Verdict:
    """The one of the words yes and no that occurs anywhere; both or none is unknown."""
    found = {"yes", "no"} & set(without_punctuation(reply.lower()).split())
    return found.pop() if len(found) == 1 else None


def one_word(reply: str) -> bool | None:
    """True for yes, False for no, as the one word of the reply, in any case, with punctuation,
    Markdown or JSON around it; None for all else. For judges."""
    if len(reply.strip()) > SHORT:
        return None
    words = re.findall(r"[^\W_]+", folded(reply).lower())
    for form in FORMS:
        if words and words[0] in form:
            words = words[1:]
    return {("yes",): True, ("no",): False}.get(tuple(words))


def strict(reply: str) -> Verdict:
    """The first word, past quotes, asterisks and punctuation, is yes or no."""
    first = re.match(r"[\W_]*([^\W_]+(?:['’]\w+)?)", reply)
    return exact(first[1]) if first else None


def _first_four(text: str) -> Verdict:
    head = text[:4]
    return "yes" if "yes" in head else "no" if "no" in head else None


def mme_official(reply: str) -> Verdict:
    """``yes``, else ``no``, among the first four characters; nothing is stripped."""
    return _first_four(reply.lower())


def mme_lmms_eval(reply: str) -> Verdict:
    """As the official rule, after stripping and deleting full stops; ``y`` and ``n`` count."""
    word = reply.lower().strip().replace(".", "")
    if len(word) == 1:
        return {"y": "yes", "n": "no"}.get(word)
    return _first_four(word)


def scores(
    labels: np.ndarray, verdicts: np.ndarray, weights: np.ndarray, drop_unread: bool = False
) -> dict[str, float]:
    """Accuracy, precision, recall, F1 and yes ratio (of the predictions), as fractions.

    ``labels`` and ``verdicts`` (n,) of "yes", "no" or None; ``weights`` (n,) say how often each
    question counts. The positive class is yes. A verdict of None is wrong and no yes; with
    ``drop_unread`` (lmms-eval) it also leaves the denominator of the recall. Precision and F1 are 0
    where nothing is predicted yes, as in both toolkits: the official script divides by zero."""
    truth, yes, no = labels == "yes", verdicts == "yes", verdicts == "no"
    total, predicted = weights.sum(), weights[yes].sum()
    hits = weights[truth & yes].sum()
    positives = weights[truth & (yes | no)].sum() if drop_unread else weights[truth].sum()
    if not total:
        return dict.fromkeys(("accuracy", "precision", "recall", "f1", "yes_ratio"), math.nan)
    precision = hits / predicted if predicted else 0.0
    recall = hits / positives if positives else 0.0
    both = precision + recall
    return {
        "accuracy": float((hits + weights[~truth & no].sum()) / total),
        "precision": float(precision),
        "recall": float(recall),
        "f1": float(2 * precision * recall / both) if both else 0.0,
        "yes_ratio": float(predicted / total),
    }
