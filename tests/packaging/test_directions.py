"""Who may import whom: read from the code of every module, none of which is imported."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("harmon_eval", "tasks", "model")

# From the ground up. A module imports from its own floor and from those below.
FLOORS = (
    ("core", "plugins", "registry", "settings", "parsing", "store.digests"),
    ("store", "metrics", "files", "replies"),
    ("instruments", "adapters", "suites"),
    ("running",),
    (
        *("comparing", "exchange", "people", "ranking", "report", "serving", "track"),
        "trackers",
    ),
    ("",),  # the API: harmon_eval itself
    ("commands", "cli", "__main__"),
)
FOR_TASKS = (*FLOORS[0], "files", "replies", "instruments", "metrics", "suites.mini", "tasks")
MODEL_IS_FOR = ("adapters", "track")  # track writes the checkpoints of a training run out

# What still goes the wrong way: (module, module it imports) and why it may, for now.
RECIPES = "recipes of training draw the mini suite's scenes"
EXCEPTIONS: dict[tuple[str, str], str] = {
    ("model.train.__main__", "core"): "knows a user's error by its type",
    ("model.train.__main__", "parsing"): "its help and errors are those of the other commands",
    ("model.train.__main__", "running.machine"): "shares the processor as the other commands do",
    ("model.train.evaluation", "core"): "knows a user's error by its type",
    ("model.train.evaluation", "registry"): "checks the names of tasks before the first step",
    ("model.train.run_folder", "running.provenance"): "notes versions as a run does",
    ("model.train.scenes", "suites.mini.edits"): RECIPES,
    ("model.train.scenes", "suites.mini.instructions"): RECIPES,
    ("model.train.scenes", "suites.mini.language"): RECIPES,
    ("model.train.scenes", "suites.mini.questions"): RECIPES,
    ("model.train.scenes", "suites.mini.scenes"): RECIPES,
    ("model.train.start", "suites.mini.language"): "the mini suite's words make the tokenizer",
}


@dataclass(frozen=True)
class Import:
    file: Path
    line: int
    importer: str  # a module without ``harmon_eval.``
    imported: str
    lazy: bool  # inside a function

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.line}: {self.importer} imports {self.imported}"


def modules() -> dict[str, Path]:
    """Module name, without ``harmon_eval.``, to file; of the package itself the name is empty."""
    found = {}
    for room in ROOMS:
        for file in sorted((ROOT / room).rglob("*.py")):
            inside = file.relative_to(ROOT)
            parts = inside.with_suffix("").parts
            if room == "harmon_eval":
                parts = parts[1:]
                if parts[0] in ("tasks", "model"):
                    continue  # the links to the other two rooms
            found[".".join(parts).removesuffix("__init__").rstrip(".")] = file
    return found


MODULES = modules()


def imports(name: str, file: Path, code: str) -> Iterator[Import]:
    """All imports of the harness in a module, but for those that only a type checker follows."""

    def walk(node: ast.AST, lazy: bool) -> Iterator[Import]:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            children: Iterable[ast.AST] = node.orelse
        else:
            children = ast.iter_child_nodes(node)
        for child in children:
            for imported in _targets(child, file):
                yield Import(file, child.lineno, name, imported, lazy)
            function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
            yield from walk(child, lazy or function)

    yield from walk(ast.parse(code), False)


def _targets(node: ast.AST, file: Path) -> list[str]:
    """The modules that a statement imports, as they are named in MODULES."""
    if isinstance(node, ast.Import):
        full = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        assert not node.level, f"{file}:{node.lineno}: relative import"
        full = [f"{node.module}.{alias.name}" for alias in node.names]
    else:
        return []
    own = [
        "" if name == "harmon_eval" else name.removeprefix("harmon_eval.")
        for name in full
        if name == "harmon_eval" or name.startswith("harmon_eval.")
    ]
    # ``from package import name``: the module ``package.name`` where there is one.
    modules = [name if name in MODULES else name.rpartition(".")[0] for name in own]
    return list(dict.fromkeys(modules))


IMPORTS = [
    found
    for name, file in MODULES.items()
    for found in imports(name, file, file.read_text(encoding="utf-8"))
]


def within(module: str, rooms: tuple[str, ...]) -> bool:
    return any(module == room or (room and module.startswith(f"{room}.")) for room in rooms)


def floor(module: str) -> int:
    for number, rooms in enumerate(FLOORS):
        if within(module, rooms):
            return number
    raise AssertionError(f"harmon_eval.{module} has no place in FLOORS: give it one")


def _names(number: int) -> str:
    return ", ".join(room or "the API" for room in FLOORS[number])


def broken_rule(found: Import) -> str:
    """The rule that an import breaks; empty where it breaks none."""
    importer, imported = found.importer, found.imported
    if within(importer, ("model",)):
        api = within(importer, ("model.train",)) and imported == "" and found.lazy
        if not within(imported, ("model",)) and not api:
            return "model imports nothing of the harness; model.train the API, in a function"
        return ""
    if importer == "registry" and found.lazy:
        return ""
    if within(imported, ("model",)):
        return "" if within(importer, MODEL_IS_FOR) else "only adapters and track import model"
    if within(importer, ("tasks",)):
        return "" if within(imported, FOR_TASKS) else f"tasks import only {', '.join(FOR_TASKS)}"
    if within(imported, ("tasks",)):
        return "nothing in harmon_eval imports a task but the registry, by name"
    if floor(imported) > floor(importer):
        return f"{_names(floor(importer))} stand below {_names(floor(imported))}"
    return ""


def test_every_import_goes_down() -> None:
    wrong = [
        f"{found}: {rule}"
        for found in IMPORTS
        if (rule := broken_rule(found)) and (found.importer, found.imported) not in EXCEPTIONS
    ]
    assert not wrong, "\n" + "\n".join(wrong)


def test_an_exception_that_is_no_longer_needed_is_struck_off() -> None:
    needed = {(found.importer, found.imported) for found in IMPORTS if broken_rule(found)}
    assert not (stale := EXCEPTIONS.keys() - needed), f"strike off EXCEPTIONS: {sorted(stale)}"


@pytest.mark.parametrize(
    ("importer", "code", "rule"),
    [
        ("store.log", "from harmon_eval.core import UserError", ""),
        ("store.log", "from harmon_eval.running import progress", "stand below running"),
        ("store.log", "def f():\n    import harmon_eval.running.progress", "stand below running"),
        ("store.log", "if TYPE_CHECKING:\n    import harmon_eval.running.progress", ""),
        ("comparing.means", "from harmon_eval import load", "stand below the API"),
        ("commands.run", "from harmon_eval import load", ""),
        ("comparing.means", "from harmon_eval.tasks.pope import files", "imports a task"),
        ("registry", "def f():\n    import harmon_eval.tasks.pope.files", ""),
        ("registry", "import harmon_eval.tasks.pope.files", "imports a task"),
        ("tasks.pope.task", "from harmon_eval.suites.mini.scenes import render", ""),
        ("tasks.pope.task", "from harmon_eval.suites import official", "tasks import only"),
        ("tasks.pope.task", "from harmon_eval.model import vae", "only adapters"),
        ("model.vae", "from harmon_eval.core import UserError", "nothing of the harness"),
        ("model.vae", "def f():\n    import harmon_eval", "nothing of the harness"),
        ("model.train.loop", "def f():\n    import harmon_eval", ""),
        ("model.train.loop", "import harmon_eval", "nothing of the harness"),
    ],
)
def test_the_rules(importer: str, code: str, rule: str) -> None:
    broken = [broken_rule(found) for found in imports(importer, ROOT / "x.py", code)]
    assert all(rule in said for said in broken) and any(broken) == bool(rule), broken


def test_no_module_waits_for_itself_to_be_imported() -> None:
    graph: dict[str, set[str]] = {name: set() for name in MODULES}
    for found in IMPORTS:
        if not found.lazy:
            graph[found.importer].add(found.imported)
    while leaves := [name for name, needs in graph.items() if not needs & graph.keys()]:
        for name in leaves:
            del graph[name]
    cycles = {name: sorted(needs & graph.keys()) for name, needs in graph.items()}
    assert not cycles, f"import cycles run through {cycles}"
