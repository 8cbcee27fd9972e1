"""docs/tasks.md: what the bundled tasks say of themselves, as one Markdown page."""

from __future__ import annotations

import inspect
from importlib import import_module

from harmon_eval import registry
from harmon_eval.core import Task

HEAD = """# Tasks

Made by `python -m harmon_eval list --pages docs/tasks.md` from the files in `tasks/`: change those.

Understanding tasks ask greedily; every raw reply, parsed answer and parser rule stands in the rows
(`TASK/rows.parquet` of a run). Intervals resample what is shared: image, question or pair. A
missing reply is *unscored*: counted, and the headline has bounds. A reply without an answer in
it is wrong by these protocols and counted beside the score (`unmatched`, `other`, `unreadable`); no
letter is ever drawn at random but where the name of the metric says so. Beside the headline of
an understanding task a run's table has its *floor*: the most that one constant reply gets on the
same samples by the same rules. Variants are named after a colon, such as `--tasks mme:official`.
Files and their places are in [official.md](official.md), judges in [judges.md](judges.md).

| task | headline | asks |
|---|---|---|
"""
FIELDS = {
    "paper": "Paper",
    "protocol": "Protocol",
    "differs": "What differs from the original, and why",
    "compares": "How its numbers compare with lmms-eval and VLMEvalKit",
    "licence": "Licence of the data",
    "size": "Size",
    "cost": "Cost",
}


def pages() -> str:
    """The page. Raises UserError for a task that cannot be loaded."""
    tasks = {name: registry.task(name) for name in registry.bundled_task_names()}
    rows = [f"| [{name}](#{name}) | {_headline(t)} | {t.size} |" for name, t in tasks.items()]
    parts = [HEAD + "\n".join(rows)]
    for name, task in tasks.items():
        about = inspect.cleandoc(import_module(registry._task_module(name)).__doc__ or "")
        facts = [f"- **{title}**: {getattr(task, field)}" for field, title in FIELDS.items()]
        parts.append(f"## {name}\n\n{about.replace('``', '`')}\n\n" + "\n".join(facts))
    return "\n\n".join(parts) + "\n"


def _headline(task: Task) -> str:
    return f"{task.headline}, {'higher' if task.higher_is_better else 'lower'} is better"
