"""Text that was to be drawn against the text that a reader found in the image.

Sources: OneIG-Benchmark @ 41b4983, X-Omni @ 2b8237b (LongText-Bench), TIIF-Bench @ 3aae750, UniRL @
1a7b501 (OCR reward). ``accuracy`` is ours.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

LIMIT = 20_000  # characters of a text that are still compared
ENGLISH, CHINESE = "en", "zh"
MAXIMUM = {ENGLISH: 100, CHINESE: 50}  # of OneIG's edit distance
_CJK = re.compile(r"[\u4e00-\u9fa5]")
# Letters, digits, white space, CJK, and the accented letters that the originals keep.
_LOST = re.compile(r"[^\u4e00-\u9fa5a-zA-Z0-9\sàâäéèêëîïôöùûüçÀÂÄÉÈÊËÎÏÔÖÙÛÜÇ]")
NO_TEXT = "No text recognized."  # what a reader says of an image without text


def edit_distance(a: Sequence[str], b: Sequence[str]) -> int:
    """Levenshtein distance. Time is the product of the lengths; each is cut at ``LIMIT``."""
    a, b = a[:LIMIT], b[:LIMIT]
    if len(a) < len(b):
        a, b = b, a
    codes = {symbol: number for number, symbol in enumerate(dict.fromkeys((*a, *b)))}
    other = np.array([codes[symbol] for symbol in b])
    places = np.arange(len(b) + 1)
    row = places.copy()
    for symbol in a:
        step = np.minimum(row[:-1] + (other != codes[symbol]), row[1:] + 1)
        row = np.concatenate(([row[0] + 1], step))
        # An insertion costs one a place: the running minimum of what is left of it.
        row = np.minimum.accumulate(row - places) + places
    return int(row[-1])


def matches(wanted: Sequence[str], found: Sequence[str]) -> int:
    """Words that both hold, each as often as in the one that holds it less often."""
    return sum((Counter(wanted) & Counter(found)).values())


def _kept(text: str) -> str:
    return re.sub(r"\s+", " ", _LOST.sub("", text)).strip()


def oneig_text(text: str) -> str:
    """A target (the list as it is written in the file) or a text read, as OneIG compares them."""
    kept = _kept(text)
    return kept.replace(" ", "") if _CJK.search(kept) else kept


def oneig_read(text: str) -> str:
    """The text of an image, without what a reader says where there is none."""
    return oneig_text(text.replace("addCriterion", "").replace(NO_TEXT, ""))


def oneig_words(target: str, read: str) -> tuple[int, int]:
    """(matched, all) words of the target; characters where it is Chinese."""
    wanted, found = ((list(t) if _CJK.search(target) else t.split()) for t in (target, read))
    return matches(wanted, found), len(wanted)


def oneig_score(distance: float, completed: float, accuracy: float, language: str) -> float:
    """1 - min(M, ED) (1 - CR) (1 - WAC) / M: a product, so one good factor hides the rest."""
    most = MAXIMUM[language]
    return 1 - min(most, distance) * (1 - completed) * (1 - accuracy) / most


def longtext_words(texts: Sequence[str], read: str, language: str) -> tuple[int, int]:
    """LongText-Bench: (matched, all) words in lower case, or characters in Chinese. Only the second
    of its two stop phrases is removed, as in the original."""
    wanted, found = _kept(" ".join(texts)), _kept(read.replace(NO_TEXT, ""))
    if language == CHINESE:
        pair = [list(text.replace(" ", "")) for text in (wanted, found)]
    else:
        pair = [text.lower().split() for text in (wanted, found)]
    return matches(*pair), len(pair[0])


def tiif(words: Sequence[str], lines: Sequence[str]) -> tuple[float, float]:
    """TIIF's (GNED, recall): normalised edit distances under the best assignment, plus one for each
    word without a partner, over the longer list; and the share of words found within 0.3."""
    wanted = [word.lower() for word in words]
    found = [piece for line in lines for piece in line.lower().split(" ")]
    costs = np.array([[_normalised(a, b) for b in found] for a in wanted]).reshape(
        len(wanted), len(found)
    )
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(costs)
    longer = max(len(wanted), len(found))
    unmatched = longer - len(rows)
    left, recalled = list(found), 0
    for word in wanted:
        near = [(_normalised(word, other), place) for place, other in enumerate(left)]
        if near and min(near)[0] <= 0.3:
            left.pop(min(near)[1])
            recalled += 1
    return float(costs[rows, columns].sum() + unmatched) / longer, recalled / len(wanted)


def _normalised(a: str, b: str) -> float:
    return edit_distance(a, b) / max(len(a), len(b), 1)


def reward_target(prompt: str) -> str:
    """The text that a prompt asks for: the first in double quotes, in single quotes, or all."""
    found = re.search(r'"([^"]{1,2000})"', prompt) or re.search(r"'([^']{1,2000})'", prompt)
    return found[1] if found else prompt


def reward(target: str, read: str) -> float:
    """OCR reward: 1 if the target is in the text read, else 1 - min(d, L) / L; spaces and case are
    of no account."""
    wanted, found = (text.replace(" ", "").lower() for text in (target, read))
    if wanted in found:
        return 1.0
    return 1 - min(edit_distance(wanted, found), len(wanted)) / len(wanted)


def accuracy(target: str, read: str) -> float:
    """1 - edit distance / the longer, on lower-cased text with single spaces."""
    a, b = (" ".join(text.lower().split()) for text in (target, read))
    longer = max(len(a), len(b))
    return 1 - edit_distance(a, b) / longer if longer else 1.0
