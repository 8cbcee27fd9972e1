"""When a short answer counts as GQA's: exact match after each toolkit's normalisation; and how
far the answers given are from the true ones as distributions.

Sources: GQA's eval.py, LLaVA @ c121f04, lmms-eval @ 75571cf, VLMEvalKit @ e8e78f0. None of them
knows articles, plurals, digits or synonyms.
"""

from __future__ import annotations

import math
import string
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable

Equal = Callable[[str, str], bool]


def official(reply: str, answer: str) -> bool:
    return reply == answer


def llava_prediction(reply: str) -> str:
    """What LLaVA hands to the official script: final full stops gone, lower case."""
    return reply.rstrip(".").lower()


def llava(reply: str, answer: str) -> bool:
    return official(llava_prediction(reply), answer)


def _bare(text: str) -> str:
    return text.strip().lower().translate(str.maketrans("", "", string.punctuation))


def lmms_eval(reply: str, answer: str) -> bool:
    """Both sides stripped and lower-cased, ASCII punctuation gone."""
    return _bare(reply) == _bare(answer)


def vlmevalkit(reply: str, answer: str) -> bool:
    """Both sides stripped and lower-cased: a final full stop is wrong."""
    return reply.strip().lower() == answer.strip().lower()


RULES: dict[str, Equal] = {
    "llava": llava,
    "official": official,
    "lmms-eval": lmms_eval,
    "vlmevalkit": vlmevalkit,
}


def distribution(answers: Iterable[tuple[str, str, str]]) -> float:
    """Chi-square of the predicted against the true answers of each global group, weighted by the
    group's size, divided by 100 as the official script does: 0 where each answer is given as often
    as it is true. NaN without any group.

    ``answers`` are (group, truth, prediction), "" for no group. As in the official script,
    predictions that are true nowhere in the group are not counted against it."""
    true: dict[str, Counter[str]] = defaultdict(Counter)
    given: dict[str, Counter[str]] = defaultdict(Counter)
    for group, truth, prediction in answers:
        if group:
            true[group][truth] += 1
            given[group][prediction] += 1
    weighted = total = 0.0
    for group, counts in true.items():
        size = counts.total()
        weighted += size * sum((given[group][a] - n) ** 2 / n for a, n in counts.items())
        total += size
    return weighted / total / 100 if total else math.nan
