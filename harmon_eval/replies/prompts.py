"""The sentences and layouts in which toolkits put questions to vision-language models.

Sources: LLaVA @ c121f04, VLMEvalKit @ e8e78f0, lmms-eval @ 75571cf, MMMU @ bb0b95a.
"""

from __future__ import annotations

from collections.abc import Mapping

SHORT_ANSWER = "Answer the question using a single word or phrase."
YES_OR_NO = "Please answer yes or no."
LETTER = "Answer with the option's letter from the given choices directly."
LETTER_CN = "请直接回答选项字母。"


def listed(options: Mapping[str, str], form: str = "{}. {}") -> str:
    """One option a line."""
    return "\n".join(form.format(letter, text) for letter, text in options.items())


def llava_choice(question: str, options: Mapping[str, str], hint: str = "") -> str:
    lines = [hint, question, listed(options), LETTER]
    return "\n".join(line for line in lines if line)


def llava_choice_cn(question: str, options: Mapping[str, str], hint: str = "") -> str:
    return llava_choice(question, options, hint).removesuffix(LETTER) + LETTER_CN


def vlmevalkit_choice(question: str, options: Mapping[str, str], hint: str = "") -> str:
    start = f"Hint: {hint}\n" if hint else ""
    end = "Please select the correct answer from the options above. \n"
    return f"{start}Question: {question}\nOptions:\n{listed(options)}\n{end}"


def janus_choice(question: str, options: Mapping[str, str], hint: str = "") -> str:
    """VLMEvalKit's adapter of the Janus models."""
    start = f"\nHint: {hint}\n" if hint else "\n"
    return f"{start}{question}\n{listed(options)}\n\n{LETTER}"


def lmms_eval_choice(question: str, options: Mapping[str, str], hint: str = "") -> str:
    start = f"{hint} {question}" if hint else question
    return f"{start} There are several options:\n{listed(options)}\n\n{LETTER}"


CHOICES = {
    "llava": llava_choice,
    "llava_cn": llava_choice_cn,
    "vlmevalkit": vlmevalkit_choice,
    "janus": janus_choice,
    "lmms-eval": lmms_eval_choice,
}
