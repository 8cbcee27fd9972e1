"""When a short answer counts as GQA's: exact match after each toolkit's normalisation.

Sources: GQA's eval.py, LLaVA @ c121f04, lmms-eval @ 75571cf, VLMEvalKit @ e8e78f0. None of them
knows articles, plurals, digits or synonyms.
"""

from __future__ import annotations

import string
from collections.abc import Callable

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
