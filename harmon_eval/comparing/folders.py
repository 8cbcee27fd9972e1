"""Compare run folders: verdicts and the samples that changed. Prints nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from harmon_eval.comparing.changes import Changes
from harmon_eval.comparing.margins import Settings, by_task, check_options
from harmon_eval.comparing.runs import maximum, pairs, pooled
from harmon_eval.comparing.verdict import Comparison, compare
from harmon_eval.core import Task, UserError
from harmon_eval.store.run_folder import RunFolder, settings_of


def wanted(
    tolerance: str, effect: str, no_worse_than: str, every_metric: bool = False, looks: int = 1
) -> Settings:
    """What the caller's texts say. Raises UserError for what they cannot mean."""
    found = Settings(
        by_task(tolerance, "--tolerance"),
        by_task(effect, "--effect"),
        every_metric,
        by_task(no_worse_than, "--no-worse-than"),
        looks,
    )
    check_options(found.tolerance, found.effect, found.no_worse_than or {})
    return found


def compared(
    baseline: Path,
    candidate: Path,
    *,
    tasks: Sequence[str] | None = None,
    tolerance: str = "",
    effect: str = "",
    no_worse_than: str = "",
    every_metric: bool = False,
    any_settings: bool = False,
    pool: Sequence[tuple[Path, Path]] = (),
    known: Mapping[str, Task] | None = None,
    looks: int = 1,
) -> Comparison:
    """Compare the candidate with the baseline.

    ``tolerance``, ``effect`` and ``no_worse_than`` are a number, or TASK=NUMBER,...; ``pool`` holds
    further pairs of runs, of the same two models with other seeds; ``known`` holds tasks that are
    not in the registry; ``looks`` is how many candidates share the 5 %. Raises UserError if a path
    is not a run folder, or if neither run has one of the ``tasks``."""
    settings = wanted(tolerance, effect, no_worse_than, every_metric, looks)
    folders = [(RunFolder(a), RunFolder(b)) for a, b in ((baseline, candidate), *pool)]
    if pool:
        _check_sides(folders)
    for side in zip(*folders, strict=True):
        _check_same_model(side)
    each = [list(pairs(*two, tasks, any_settings, known, ids=bool(pool))) for two in folders]
    by_name = [{pair.name: pair for pair in own} for own in each]
    chosen = []
    for name in by_name[0]:
        for own, two in zip(by_name, folders, strict=True):
            if name not in own:
                raise UserError(
                    f"--pool: {two[0].path} has no results of {name}: finish it with the same "
                    "command, or leave the pair out"
                )
        chosen.append([own[name] for own in by_name])
    together = [pooled(parts) for parts in chosen]
    settings.check({pair.name: maximum(pair.task or pair.name, pair.headline) for pair in together})
    changed = Changes.of(
        (pair, two) for parts in chosen for pair, two in zip(parts, folders, strict=True)
    )
    chosen.clear()
    each.clear()
    by_name.clear()
    return replace(compare(together, settings), changed=changed)


def _seed(run: RunFolder) -> int:
    """Raises UserError for a manifest without a seed."""
    identity = run.manifest.get("identity")
    seed = identity.get("seed") if isinstance(identity, Mapping) else None
    if type(seed) is not int:
        raise UserError(f"{run.path}: its manifest.json holds no seed: it cannot be pooled")
    return seed


def _check_sides(folders: Sequence[tuple[RunFolder, RunFolder]]) -> None:
    """Raises UserError for a run on both sides: it would cancel itself, and no loss could show."""
    before = {one.path.resolve() for one, _ in folders}
    for _, after in folders:
        if after.path.resolve() in before:
            raise UserError(
                f"--pool: {after.path} is both baseline and candidate: "
                "give two runs of the baseline's model as A, and two of the candidate's as B"
            )


def _check_same_model(side: Sequence[RunFolder]) -> None:
    """Raises UserError if runs to be pooled differ in model or settings, or share a seed."""
    first, *others = side
    for other in others:
        ours, theirs = first.model, other.model
        same = ours["fingerprint"] == theirs["fingerprint"]
        if not same or settings_of(ours) != settings_of(theirs):
            raise UserError(
                f"{first.path} and {other.path} are of different models or settings: only seeds "
                "can be pooled"
            )
    if not others:
        return
    by_seed: dict[int, RunFolder] = {}
    for run in side:
        other = by_seed.setdefault(_seed(run), run)
        if other is not run:
            raise UserError(
                f"--pool: {other.path} and {run.path} have the same seed, {_seed(run)}: pool runs "
                "with new ones"
            )
