"""MMBench: twenty abilities in single-choice questions, asked in every rotation of the options.

Paper: Liu et al. 2023, arXiv 2307.06281. ``circular`` counts a question only if every rotation is
right. ``vanilla_all`` is plain accuracy over all rows, which some papers print under the same name.

``mmbench:SET+PROMPT`` takes another set (``dev_en``, ``test_en``, ``dev_cn`` or ``test_cn``; V1.1
as ``dev_en_v11`` and so on) or another prompt (``llava``, ``vlmevalkit``, ``janus`` or
``lmms-eval``). The test sets come without answers: the replies are written to the file that the
evaluation server marks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from harmon_eval.core import (
    About,
    Answer,
    Ask,
    Data,
    Instruments,
    Row,
    Sample,
    Source,
    Task,
)
from harmon_eval.files.question_files import field, whole_number
from harmon_eval.replies import prompts
from harmon_eval.replies.multiple_choice import (
    lmms_eval_rule,
    vlmevalkit_rule,
    whole_letter_rule,
)
from harmon_eval.settings import variant
from harmon_eval.tasks.mmbench import mini
from harmon_eval.tasks.mmbench.files import LEVELS, SETS, official, options_of, read_set
from harmon_eval.tasks.mmbench.scores import METRICS, WHOLE, summarize
from harmon_eval.tasks.mmbench.submission import submission

PROMPTS = ("llava", "vlmevalkit", "janus", "lmms-eval")
ROTATION = 1_000_000


def samples(data: Data, part: str, prompt: str) -> Iterator[Sample]:
    where = f"MMBench {part}"
    for row, image in read_set(data.folder, part):
        index = field(row, "index", where)
        options = options_of(row, f"{where}, question {index[:40]}")
        asked = prompts.CHOICES["llava_cn" if "_cn" in part and prompt == "llava" else prompt](
            field(row, "question", where), options, row.get("hint", "")
        )
        level = row.get("l2-category") or row.get("L2-category") or ""
        yield Sample(
            id=index,
            request=Ask(asked, (image,), max_new_tokens=64),
            target={
                **{"options": options, "answer": row.get("answer") or ""},
                **{"l2-category": level, "category": row.get("category") or ""},
                "columns": row,
            },
            group=str(whole_number(row, "index", where) % ROTATION),
            stratum=level,
        )


def mark(answers: Sequence[Answer], instruments: Instruments) -> list[Row]:
    rows = []
    for answer in answers:
        target, options = answer.sample.target, answer.sample.target["options"]
        parsed, rule = vlmevalkit_rule(answer.reply, options)
        truth = target["answer"]
        rows.append(
            {
                **{level: target[level] for level in LEVELS},
                "base": int(answer.sample.id) < ROTATION,
                "options": len(options),
                "answer": truth,
                "reply": answer.reply,
                "parsed": parsed,
                "rule": f"vlmevalkit-rule@e8e78f0: {rule}",
                "unmatched": parsed is None,
                "correct": bool(truth) and parsed == truth,
                "lmms-eval": bool(truth) and lmms_eval_rule(answer.reply, options) == truth,
                WHOLE: bool(truth) and whole_letter_rule(answer.reply, options)[0] == truth,
            }
        )
    return rows


def open_task(argument: str = "") -> Task:
    chosen = variant(argument, part=SETS, prompt=PROMPTS)
    part, prompt = chosen["part"], chosen["prompt"]
    return Task(
        samples=partial(samples, part=part, prompt=prompt),
        mark=mark,
        summarize=summarize,
        metrics=METRICS,
        columns=(*LEVELS, "base", "options", "answer", "unmatched", "correct", "lmms-eval", WHOLE),
        sources={"official": official(part), "mini": Source(make=mini.make)},
        also=("mmbench_en_dev", "mmbench_en_dev_static", "MMBench_DEV_EN"),
        bounds=lambda sample: ("Z", sample.target["answer"]),
        files_after=submission if "test" in part else None,
        about=About(
            paper="arXiv 2307.06281",
            version=f"2, {part}, prompt {prompt}",
            protocol="VLMEvalKit @ e8e78f0 (the official evaluator), exact matching without a "
            "judge",
            differs="A reply without a letter is wrong and counted as `unmatched`. The original "
            "asks a judge and then draws a random letter; the expected score of that is "
            "`[random-letter]`. A question with missing rotations has no circular mark.",
            compares="`circular` is VLMEvalKit's Overall with exact matching, "
            "`circular[lmms-eval]` reads the same replies by lmms-eval's rules. VLMEvalKit takes "
            'the first letter of any word after "answer is" ("the answer is blue" is B); '
            "`[whole-letter]` is the same rule for letters that stand by themselves. Janus reports "
            "plain accuracy (`vanilla_all`); Harmon does not say which it reports. VLMEvalKit's "
            "own prompt is `mmbench:vlmevalkit`.",
            licence="Apache-2.0 (open-compass/MMBench); the images' own terms are not established",
            size="dev_en: 1,164 questions, 4,329 rows; test_en: 1,784 questions, 6,666 rows",
            cost="4,329 short replies",
        ),
    )


TASK = open_task()
