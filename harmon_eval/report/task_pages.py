"""docs/tasks.md: what the bundled tasks say of themselves, as one Markdown page."""

from __future__ import annotations

import inspect

from harmon_eval import registry
from harmon_eval.core import Task

HEAD = """# Tasks

This page is made from the files in `tasks/` by `python -m harmon_eval list --pages docs/tasks.md`.
Change those files, not this page.

- **Variants** are named after a colon, for example `--tasks mme:official`.
- **Data**: [official.md](official.md) says which files each task needs and where they go.
  [judges.md](judges.md) does the same for judges.
- **Answers** are decoded greedily. Every raw reply is kept in the run (`TASK/rows.parquet`), with
  the parsed answer and the rule that parsed it.
- **No answer in a reply**: by these protocols the reply is wrong. It is also counted beside the
  score (`unmatched`, `other`, `unreadable`). No letter is drawn at random, except where a metric's
  name says so.
- **No reply at all**: the sample is *unscored*. It is counted, and the headline then has bounds.
- **Intervals** are of each metric's own samples; those that share an image, a question or a pair
  are one group.
- **Floor**: beside the headline of a task that asks questions stands the best score of any constant
  reply on the same samples.

| task | headline | size |
|---|---|---|
"""
FIELDS = {
    "paper": "Paper",
    "protocol": "Protocol",
    "differs": "What differs from the original, and why",
    "compares": "How its numbers compare with those of other toolkits",
    "licence": "Licence of the data",
    "size": "Size",
    "cost": "Cost",
}


def pages() -> str:
    """The page. Raises UserError for a task that cannot be loaded."""
    tasks = {name: registry.task(name) for name in registry.bundled_task_names()}
    rows = [
        f"| [{name}](#{name}) | {_headline(task)} | {task.about.size} |"
        for name, task in tasks.items()
    ]
    return "\n\n".join([HEAD + "\n".join(rows), *map(_section, tasks, tasks.values())]) + "\n"


def _section(name: str, task: Task) -> str:
    """The docstring of the task's file, and what the task says about itself."""
    text = inspect.cleandoc(registry.task_module(name).__doc__ or "")
    facts = [f"- **{title}**: {getattr(task.about, field)}" for field, title in FIELDS.items()]
    if task.instruments:
        facts.insert(2, f"- **Instruments**: {_instruments(task)}")
    return f"## {name}\n\n{text.replace('``', '`')}\n\n" + "\n".join(facts)


def _instruments(task: Task) -> str:
    """Roles with the instrument that the task takes by default."""
    named = {
        role: spec if isinstance(spec, str) else spec.__name__
        for role, spec in task.instruments.items()
    }
    return ", ".join(
        f"{role} `{name}`" if name else f"{role} (yours)" for role, name in named.items()
    )


def _headline(task: Task) -> str:
    return f"{task.headline}, {'higher' if task.higher_is_better else 'lower'} is better"
