"""The log of another tool as a run: replies are marked by our rules, its own marks stay beside.

Nothing of a log is trusted: no name in it is opened, no address is fetched, pictures are read by
the one reader, and what is of no known version is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harmon_eval import registry, suites
from harmon_eval.core import NOT_GIVEN, Task, Unscorable, UserError
from harmon_eval.exchange import drawings
from harmon_eval.exchange.logs import inspect_log, lm_eval, lmms_eval, vlmevalkit
from harmon_eval.exchange.logs.log import Log, LoggedSample, LoggedTask
from harmon_eval.exchange.matching import Matched, match
from harmon_eval.files.images import decode_image
from harmon_eval.files.question_files import find_image
from harmon_eval.metrics.text import counted
from harmon_eval.replies.thoughts import answered
from harmon_eval.running import engine as engines
from harmon_eval.running import preflight
from harmon_eval.running.engine import Engine, Pool
from harmon_eval.running.evaluate import Outcome, finish, run_jobs
from harmon_eval.running.jobs import Job, RunSettings, prepare
from harmon_eval.running.progress import Progress
from harmon_eval.running.provenance import environment, now
from harmon_eval.running.runner import start_job
from harmon_eval.store.digests import sha256_of
from harmon_eval.store.durable import write_whole
from harmon_eval.store.run_folder import IMPORTED, RunFolder
from harmon_eval.store.task_folder import check_sample_id
from harmon_eval.suites import Suite

READERS = (lm_eval.read, lmms_eval.read, inspect_log.read, vlmevalkit.read)
# What a folder is searched for; files of VLMEvalKit that are made from its predictions are no logs.
PATTERNS = ("results_*.json", "*_results.json", "*.eval", "*.json", "*.xlsx", "*.tsv")
DERIVED = re.compile(r"_(?:\w*result|auxmatch|score|acc|\w*judge)$")
QUESTIONS = "vqa:imported/"
PICTURES = "; pictures without a log are marked by `run --model folder:DIR --tasks TASK`"
ALONE = "; a file of samples needs the file of results that was written with it"
BATCH = 256


@dataclass(frozen=True)
class Request:
    """``tasks``: the other tool's name of a task -> ours; those that a task's ``also`` lists are
    known. ``data``: the benchmark's data; ``images``: where pictures lie that the log only names.
    ``command``: the command line and its options, for the manifest."""

    place: Path
    output: Path
    tasks: Mapping[str, str] = field(default_factory=dict)
    suite: str = "official"
    data: Path | None = None
    images: Path | None = None
    model: str = ""
    fresh: bool = False
    command: Mapping[str, Any] = field(default_factory=dict)


def bring_in(request: Request) -> Outcome:
    """Make a run of a log. Raises UserError for what is no log, or not of a known version."""
    log = find(request.place)
    if unknown := [name for name in request.tasks if name not in {t.name for t in log.tasks}]:
        known = ", ".join(task.name for task in log.tasks)
        raise UserError(f"{request.place} has no task {unknown[0]!r}: it has {known}")
    folder = RunFolder(request.output)
    named = {"name": request.model or log.model or "unknown"}
    model = {**named, "fingerprint": log.fingerprint or NOT_GIVEN, "settings": log.settings}
    suite = suites.load(request.suite, request.data)
    with folder.locked(), engines.opened(Pool(), folder.path) as engine:
        folder.start({"model": model, "suite": suite.name, "seed": 0}, request.fresh)
        folder.update(
            state="running",
            started=now(),
            environment=environment(),
            about={
                **{"imported": log.tool, "version": log.version, "files": _hashes(log)},
                **({"remarks": log.said} if log.said else {}),
            },
            data=str(request.data) if request.data else None,
            instruments={},
            command=dict(request.command),
        )
        for line in log.said:
            Progress(log.tool).warn(line)
        return _Import(request, log, folder, suite, engine).run()


def _hashes(log: Log) -> dict[str, str]:
    return {file.name: sha256_of(file) for file in log.files}


# -- finding the log ---------------------------------------------------------------------------


def find(place: Path) -> Log:
    """The log in a file, or the logs of one model in a folder, as one. Raises UserError."""
    if not place.exists():
        raise UserError(f"{place}: no such file or folder")
    files = [place] if not place.is_dir() else _inside(place)
    logs = [log for file in files if (log := _read(file)) is not None]
    if not logs:
        raise UserError(
            f"{place} holds no log that is known: give results_DATE.json of lm-eval, "
            "DATE_results.json of lmms-eval, a .eval or .json log of inspect_ai, or "
            "MODEL_DATASET.xlsx of VLMEvalKit"
            + ALONE * any(map(_is_samples, place.glob("*") if place.is_dir() else [place]))
            + PICTURES * _holds_pictures(place)
        )
    first = logs[0]
    for other in logs[1:]:
        if (other.tool, other.model) != (first.tool, first.model):
            raise UserError(
                f"{place} holds logs of {first.model!r} ({first.tool}) and {other.model!r} "
                f"({other.tool}): name one of them"
            )
    tasks = [task for log in logs for task in log.tasks]
    names = [task.name for task in tasks]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UserError(f"{place} holds two logs of {twice!r}: name one of them")
    return replace(
        first,
        tasks=tasks,
        files=[file for log in logs for file in log.files],
        said=[line for log in logs for line in log.said],
    )


def _inside(folder: Path) -> list[Path]:
    found: dict[Path, None] = {}
    for pattern in PATTERNS:
        for depth in ("", "*/", "*/*/"):
            paths = (p for p in sorted(folder.glob(depth + pattern)) if p.is_file())
            found |= dict.fromkeys(
                p for p in paths if not DERIVED.search(p.stem) or "results" in p.stem
            )
    # VLMEvalKit links the newest files of a model into its folder.
    return list({path.resolve(): path for path in found}.values())


def _is_samples(file: Path) -> bool:
    return any(layout.samples.fullmatch(file.name) for layout in (lm_eval.LAYOUT, lmms_eval.LAYOUT))


def _holds_pictures(place: Path) -> bool:
    own = (".png", ".jpg", ".jpeg", ".webp")
    return place.is_dir() and any(p.suffix.lower() in own for p in place.glob("**/*"))


def _read(file: Path) -> Log | None:
    for reader in READERS:
        if (log := reader(file)) is not None:
            return log
    return None


# -- making the run ----------------------------------------------------------------------------


class _Import:
    def __init__(
        self, request: Request, log: Log, folder: RunFolder, suite: Suite, engine: Engine
    ) -> None:
        self.request, self.log, self.folder = request, log, folder
        self.suite, self.engine = suite, engine
        self.own = suites.load(suite.name, None)
        self.results: dict[str, Any] = {}
        self.names: list[str] = []

    def run(self) -> Outcome:
        for task in self.log.tasks:
            if (ours := self._ours(task.name)) is not None:
                self._by_its_rules(task, *ours)
            elif drawn := sum(bool(one.drawn) for one in task.samples):
                Progress(task.name).say(
                    f"{counted(drawn, 'drawing')} left out, since no benchmark here has this name: "
                    f"--task {task.name}=OURS names one"
                )
            self._by_general_rules(task)
        return finish(self.names, self.folder, self.results)

    def _ours(self, theirs: str) -> tuple[str, Task] | None:
        """The benchmark here that a task of theirs is; None for an unknown one."""
        if named := self.request.tasks.get(theirs):
            return named, registry.task(named)
        for name in registry.bundled_task_names():
            if theirs in (name, *(task := registry.task(name)).also):
                return name, task
        return None

    def _by_its_rules(self, logged: LoggedTask, name: str, task: Task) -> None:
        """Samples of the benchmark that the log has replies to, marked by the benchmark's rules."""
        say = Progress(name).say
        try:
            job = prepare(name, task, self.suite, RunSettings())
        except UserError as error:
            if logged.name in self.request.tasks:
                raise
            say(
                f"{logged.name} is marked by general rules only, for its data are not here: {error}"
            )
            return
        gives = {sample.request.gives for sample in job.everything}
        if gives == {"image"}:
            matched, drawn = drawings.of_samples(job.everything, logged.samples, self._folders())
            _say_matched(say, matched, len(drawn), len(job.everything), "a drawing")
            if drawn:
                self._mark(job, drawn, self.suite)
        elif gives == {"text"}:
            matched = match(job.everything, logged.samples)
            _say_matched(say, matched, len(matched.found), len(job.everything), "a reply")
            if matched.found:
                of = {s.id: matched.found.get(s.id) for s in job.samples}
                self._mark(job, {i: _reply(one) for i, one in of.items() if one}, self.suite)
        else:
            say("no log holds what it asks for: only the marks of the log are kept")

    def _folders(self) -> list[Path]:
        """Where drawings lie that the log only names."""
        return [self.request.images] if self.request.images else [self.log.files[0].parent]

    def _by_general_rules(self, logged: LoggedTask) -> None:
        """All that the log has, with its own marks."""
        plain = _plain_name(logged.name)
        name = QUESTIONS + plain
        rows = _questions(logged, self.folder.path / IMPORTED / "images", self.request.images)
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row, _ in rows)
        write_whole(self.folder.path / IMPORTED / f"{plain}.jsonl", text, self.folder.path)
        from_rules = [one for _, one in rows if one.read is not None]
        suite = suites.load(self.suite.name, self.folder.path / IMPORTED)
        job = prepare(name, registry.task(name), suite, RunSettings())
        applies = _rules_apply(job, {row["id"] for row, one in rows if one in from_rules})
        if not applies and any(one.marks for one in logged.samples):
            name += "+theirs"
            job = prepare(name, registry.task(name), suite, RunSettings())
        replies = {row["id"]: _with_marks(one, logged, self.log.tool) for row, one in rows}
        self._mark(job, replies, suite)

    def _mark(self, job: Job, replies: Mapping[str, Any], suite: Suite) -> None:
        """Store what the model gave, and mark it if what marks is here."""
        lacking = preflight.missing(job.task, suite)
        if lacking:
            Progress(job.name).say(
                f"stored and not marked: {'; '.join(lacking)}; `python -m harmon_eval mark "
                f"{self.folder.path} --tasks {job.name}` does it once that is there"
            )
        start_job(job, self.folder)
        self.folder.update_task(job.name, imported=job.name.startswith(QUESTIONS))
        items = list(replies.items())
        for start in range(0, len(items), BATCH):
            self.folder.task(job.name).record(dict(items[start : start + BATCH]))
        done = run_jobs(
            [job], None, suite, self.folder, RunSettings(), self.engine, predict_only=bool(lacking)
        )
        self.names.append(job.name)
        self.results |= done.results


def _rules_apply(job: Job, said: set[str]) -> bool:
    """Whether our rules for answers apply to any question that has a reply."""
    for sample in job.everything:
        target = sample.target
        short = all(len(text.split()) <= 6 for text in target["answers"])
        if sample.id in said and target["answers"] and (target["options"] or short):
            return True
    return False


def _say_matched(say: Any, matched: Matched, found: int, ours: int, what: str) -> None:
    say(f"{found:,} of {ours:,} samples have {what} in the log")
    if matched.several:
        say(
            f"{matched.several:,} of the log fit several samples, and nothing tells which: left out"
        )
    if matched.none:
        say(f"{matched.none:,} of the log fit no sample: left out")
    if matched.again:
        say(
            f"{matched.again} of the log are further replies to the same question: the first counts"
        )


def _reply(one: LoggedSample) -> str | Exception:
    if one.error or one.reply is None:
        return Unscorable(one.error or "the log has no reply")
    try:
        answered(one.reply)
    except Unscorable as error:
        return error
    return one.reply


def _with_marks(one: LoggedSample, task: LoggedTask, tool: str) -> str | Exception:
    """What ``vqa:imported`` reads. No tag of a thought stands in it as such."""
    if one.error or (one.reply is None and not one.marks):
        return Unscorable(one.error or "the log has no reply")
    marks = {_metric(name, task, tool): value for name, value in one.marks.items()}
    said = {"reply": one.reply or "", "read": one.read, "marks": marks, "stated": task.stated}
    return json.dumps(said, ensure_ascii=False).replace("<", "\\u003c")


def _metric(name: str, task: LoggedTask, tool: str) -> str:
    """``NAME[TOOL]``, and what must be known of it to compare: no bounds, less is better."""
    values = (one.marks[name] for one in task.samples if name in one.marks)
    unbounded = "" if all(0 <= value <= 1 for value in values) else ", unbounded"
    lower = ", lower is better" if name.partition(",")[0] in task.lower else ""
    return f"{name}[{tool}{unbounded}{lower}]"


def _questions(
    logged: LoggedTask, images: Path, named: Path | None
) -> list[tuple[dict[str, Any], LoggedSample]]:
    """Rows of the file of questions; pictures are stored by their content."""
    rows: list[tuple[dict[str, Any], LoggedSample]] = []
    ids: set[str] = set()
    for one in logged.samples:
        pictures = [name for image in one.images if (name := _stored(image, images, named))]
        name = _plain_id(one.id)
        row = {
            "id": name,
            "question": one.question,
            "images": pictures,
            "options": one.options,
            "answers": [text for text in one.answers if text],
            "group": one.group or "+".join(pictures) or "+".join(_names(one)) or one.id,
        }
        if name in ids:
            raise UserError(f"the log has two samples {one.id[:60]!r} of {logged.name}")
        ids.add(name)
        rows.append((row, one))
    return rows


def _names(one: LoggedSample) -> Sequence[str]:
    return [image for image in one.images if isinstance(image, str)]


def _stored(image: bytes | str, folder: Path, named: Path | None) -> str:
    """Name of the picture in the run; empty for one that is not at hand or no sound picture."""
    try:
        data = image if isinstance(image, bytes) else b""
        if isinstance(image, str):
            if named is None:
                return ""
            data = find_image(image, [named]).read_bytes()
        decode_image(data, "a picture of the log")
    except (Unscorable, UserError):
        return ""
    name = f"{sha256_of(data)[:32]}.png"
    write_whole(folder / name, data, folder.parent.parent)
    return name


def _plain_id(text: str) -> str:
    plain = re.sub(r"[^\w.+=@()-]+", "-", text).strip(".-")
    try:
        check_sample_id(plain)
    except UserError:
        return sha256_of(text)[:32]
    return plain if len(plain) <= 100 else f"{plain[:60]}-{sha256_of(text)[:16]}"


def _plain_name(text: str) -> str:
    return re.sub(r"[^\w.-]+", "-", text).strip(".-")[:80] or "task"
