"""The letter of a multiple-choice reply, by the rules of each toolkit.

Sources: VLMEvalKit @ e8e78f0 (``vlmevalkit_rule``, the default), lmms-eval @ 75571cf, LLaVA @
c121f04. A rule takes the raw reply and the options that exist, letter -> text. None: it finds no
letter. The originals then draw a random letter or ask a judge; here the reply is *unmatched*.
``whole_letter_rule`` is VLMEvalKit's with one change of ours, ``vqa_rule`` our own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from harmon_eval.replies.short_answers import parts, same

Options = Mapping[str, str]

REFUSALS = (
    "Sorry, I can't help with images of people yet.",
    "I can't process this file.",
    "I'm sorry, but without the image provided",
    "Cannot determine the answer",
)
NON_ANSWER = "Z"
LAST_WORDS = 4
MISSING = ("", "nan", "none")
# VLMEvalKit takes the first letter of any word: "the answer is blue" is B.
ANSWER_IS = re.compile(r"answer\s+is\s+\**([A-D])", re.IGNORECASE)
ANSWER_IS_LETTER = re.compile(r"answer\s+is\s*+\**+\s*+([A-D])\b", re.IGNORECASE)


def given_options(texts: Mapping[str, object]) -> dict[str, str]:
    """Options up to the first that is missing: empty, not a number, or the text ``nan``."""
    options = {}
    for letter, text in texts.items():
        if str(text if text is not None else "").strip().lower() in MISSING:
            break
        options[letter] = str(text)
    return options


def vlmevalkit_rule(reply: str, options: Options) -> tuple[str | None, str]:
    """The letter, "Z" (a definite non-answer) or None, and which part of the rule gave it."""
    return _letter(reply, options, ANSWER_IS)


def whole_letter_rule(reply: str, options: Options) -> tuple[str | None, str]:
    """The same, but after "answer is" a letter only counts if it stands by itself."""
    return _letter(reply, options, ANSWER_IS_LETTER)


# "A dog", "the answer is a dog": an article, and no letter.
ARTICLE = re.compile(r"\b(?:[Aa]|I) (?!(?:or|and|nor|not|is|was|but|as|because|since)\b)(?=[a-z])")
SENTENCE = 30  # characters
AROUND = " \t\r\n*_`\"'()[].:,"


def vqa_rule(reply: str, options: Options) -> tuple[str | None, str]:
    """The rule of ``vqa:``: the letter alone, in any case; the text of one option; else as above,
    with articles out of the way."""
    alone = reply.strip(AROUND).upper()
    if alone in options:
        return alone, "letter"
    texts = [letter for letter, text in options.items() if same(reply, text)]
    if len(texts) == 1:
        return texts[0], "option text"
    letter, how = whole_letter_rule(ARTICLE.sub("the ", reply), options)
    if how in ("option text", "unmatched"):
        letter = _named(reply, options)
        how = "option text" if letter else "unmatched"
    return letter, how


def _named(reply: str, options: Options) -> str | None:
    """The one option that the reply names in whole words and numbers, if it says little besides."""
    if len(reply) > 2 * sum(map(len, options.values())) + SENTENCE:
        return None
    said = parts(reply)
    found = [letter for letter, text in options.items() if _within(parts(text), said)]
    return found[0] if len(found) == 1 else None


def _within(some: Sequence[object], whole: Sequence[object]) -> bool:
    size = len(some)
    places = range(len(whole) - size + 1) if size else ()
    return any(list(whole[place : place + size]) == list(some) for place in places)


def _letter(reply: str, options: Options, answer_is: re.Pattern[str]) -> tuple[str | None, str]:
    if "Failed to obtain answer via API" in reply:
        return None, "failed"
    if any(refusal in reply for refusal in REFUSALS):
        return NON_ANSWER, "refusal"
    words = re.sub(r"[.()\[\],:;!*#{}]", " ", reply).split()
    letters = [letter for letter in options if letter in words]
    if len(letters) == 1 and words.index(letters[0]) >= len(words) - LAST_WORDS:
        return letters[0], "letter"
    if not letters and NON_ANSWER in words:
        return NON_ANSWER, "letter"
    phrase = answer_is.search(reply)
    if phrase and phrase[1].upper() in options:
        return phrase[1].upper(), "answer phrase"
    if (by_text := _contained(reply, options)) is not None:
        return by_text, "option text"
    return None, "unmatched"


def _contained(reply: str, options: Options) -> str | None:
    """The one option whose text the reply holds, unless the reply is much longer than all."""
    lower = reply.lower()
    if len(lower) > 2 * sum(map(len, options.values())):
        return None
    found = [letter for letter, text in options.items() if text.lower() in lower]
    return found[0] if len(found) == 1 else None


AFFIXES = (
    ("", "."),
    ("", ","),
    ("", ":"),
    ("", ")"),
    ("", ")."),
    ("(", ")"),
    ("(", ")."),
    (":", ""),
    (":", ","),
    (":", "."),
    (":", ")"),
    (":", ")."),
)
LMMS_LETTERS = "ABCDE"


def lmms_eval_rule(reply: str, options: Options) -> str | None:
    """lmms-eval's MMBench rules without its judge; letters are A to E, whatever options exist."""
    words = reply.split()
    for before, after in (("", ""), *AFFIXES):
        found = [letter for letter in LMMS_LETTERS if f"{before}{letter}{after}" in words]
        article = not (before or after) and "A" in words and len(words) > 3
        if len(found) == 1 and not article:
            return found[0]
    named = [letter for letter, text in options.items() if text.lower() in reply.lower()]
    return named[0] if len(named) == 1 else None


def first_character(reply: str) -> str | None:
    """lmms-eval's SEED-Bench: the first character, in upper case, whatever it is."""
    return reply.strip()[:1].upper() or None


def whole_reply(reply: str, options: Options) -> str | None:
    """LLaVA's SEED-Bench converter: the reply is the letter and nothing else."""
    return reply.strip() if reply.strip() in options else None
