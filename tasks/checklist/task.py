"""Your own checklists: prompts, each with yes/no points about its image. ``--tasks checklist:FILE``

Each line of FILE is a prompt with the points that its image should show. Points can depend on
others, weigh more than others, and have kinds. A file ``checklist.toml`` beside FILE says how a
judge is asked and how the points are added up. docs/checklists.md describes both. ``dsg``,
``checklist:datasets:NAME?prompt=P&points=Q`` takes the prompts of a dataset. ``dsg``,
``tiif``, ``unigenbench`` and ``specv`` are tasks of this form that read their official files.
"""

from __future__ import annotations

from pathlib import Path

from harmon_eval.core import About, Data, Source, Task
from harmon_eval.files.hub_datasets import PREFIX
from harmon_eval.tasks.checklist import asking, mini
from harmon_eval.tasks.checklist.benchmark import Checklist, benchmark, shuffle_of
from harmon_eval.tasks.checklist.convert import convert
from harmon_eval.tasks.checklist.files import ITEMS, check_prompts, read_items
from harmon_eval.tasks.checklist.from_dataset import items_of_dataset
from harmon_eval.tasks.checklist.rules import Protocol

__all__ = ["TASK", "convert", "open_task"]


def load(file: Path) -> Checklist:
    """Raises UserError for flaws in the items, the protocol or between them."""
    items, protocol = read_items(file), asking.protocol_beside(file)
    asking.check_groups(items, protocol, str(file))
    check_prompts(file, items)
    return Checklist(items, protocol, asking.read_templates(file.parent))


def _protocol(path: str) -> Protocol:
    if path.startswith(PREFIX):
        return Protocol()
    return asking.protocol_beside(Path(path)) if path else mini.RULES


def open_task(argument: str = "") -> Task:
    """``checklist:FILE``, ``checklist:FILE+shuffle=SEED``."""
    path, shuffle = shuffle_of(argument)

    def found(data: Data) -> Checklist:
        if path.startswith(PREFIX):
            return Checklist(items_of_dataset(path.removeprefix(PREFIX), data.fetching))
        return load(Path(path) if path else data.folder / ITEMS)

    return benchmark(
        "checklist",
        found,
        protocol=_protocol(path),
        about=About(
            paper="none",
            version="2",
            protocol="this one; the dependency rules are those of DSG (direct), DPG (in_order) and "
            "ours (transitive: a point counts only if all that it depends on do)",
            differs="There is no original.",
            compares="Two checklists compare only if points, rules and judge are the same.",
            licence="that of your data",
            size="as many items as the file has, 4 images each unless the item says otherwise",
            cost="one drawing an image; one judge request for each point, or one for all of them",
        ),
        sources={"mini": Source(make=mini.make)},
        shuffle=shuffle,
    )


TASK = open_task()
