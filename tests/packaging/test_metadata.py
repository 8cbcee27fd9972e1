"""What the package says of itself: what it needs, its extras, its README on an index; and what CI,
conda and Docker take from it."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import markdown
import pytest
import yaml
from packaging.requirements import Requirement

from harmon_eval import trackers

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS: dict[str, list[Requirement]] = {
    name: [Requirement(text) for text in texts]
    for name, texts in PROJECT["optional-dependencies"].items()
}
NEEDED = [Requirement(text) for text in PROJECT["dependencies"]]
# Import names that are not the package's, and packages whose own interface another one is.
PACKAGES = {
    **{"PIL": "pillow", "sklearn": "scikit-learn", "open_clip": "open-clip-torch"},
    **{"yaml": "pyyaml", "markupsafe": "jinja2", "pydantic": "fastapi", "starlette": "fastapi"},
}


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def code() -> list[Path]:
    rooms = (ROOT / "harmon_eval", ROOT / "tasks", ROOT / "model")
    return [file for room in rooms for file in sorted(room.rglob("*.py"))]


def imported(tree: ast.AST) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return {name.partition(".")[0] for name in found}


def test_every_package_that_the_code_imports_is_declared() -> None:
    """What only comes with another package goes when that one does without it."""
    declared = {plain(r.name).removesuffix("-skinny") for r in NEEDED}
    declared |= {plain(r.name).removesuffix("-skinny") for own in EXTRAS.values() for r in own}
    names = set().union(*(imported(ast.parse(file.read_text())) for file in code()))
    others = names - set(sys.stdlib_module_names) - {"harmon_eval"}
    assert {plain(PACKAGES.get(name, name)) for name in others} <= declared


def test_the_tests_need_what_the_extras_bring_from_the_same_version_on() -> None:
    tested = {plain(r.name): str(r.specifier) for r in EXTRAS["test"]}
    known = {plain(r.name): str(r.specifier) for r in NEEDED}
    for name, requirements in EXTRAS.items():
        for one in requirements:
            if name == "mmdet" or plain(one.name) == "pyte":  # mmdet: an environment of its own
                continue
            assert (known | tested).get(plain(one.name)) == str(one.specifier), (name, one)


def test_the_page_on_installing_tells_each_extra_and_what_it_brings() -> None:
    page = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1:3] for line in page.splitlines() if line.startswith("| `")]
    told = {name: brings for names, brings in rows for name in re.findall(r"`([\w-]+)`", names)}
    assert told.keys() == EXTRAS.keys() - {"mmdet"} and "`mmdet`" in page
    for name, brings in told.items():
        if "tracker's package" in brings or name in ("test", "docs", "real"):
            continue
        for one in EXTRAS[name]:
            assert plain(one.name) in plain(brings), (name, one.name)


def test_extras_that_anything_names_exist() -> None:
    """In messages, pages and commands."""
    places = [*code(), *(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "Dockerfile"]
    named: dict[str, Path] = {}
    for place in places:
        text = place.read_text(encoding="utf-8")
        for extras in re.findall(r"(?:harmon-eval|['\" ]\.)\[([a-z,]+)\]", text):
            named |= dict.fromkeys(extras.split(","), place)
    assert {"serve", "train", "vision"} <= named.keys()
    assert not {n: p for n, p in named.items() if n not in EXTRAS}
    assert set(trackers.NAMES) <= EXTRAS.keys(), "of which its message makes the name"


def test_conda_takes_the_versions_that_the_project_takes() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    own = {plain(r.name): str(r.specifier) for r in [*NEEDED, *EXTRAS["vision"]]}
    versions = {c.rpartition(" ")[2] for c in PROJECT["classifiers"]}
    for text in (one for one in environment if isinstance(one, str)):
        name, *version = re.split(r"(?==|>=)", text, maxsplit=1)
        if name == "python":
            assert version[0].lstrip("=") in versions
        elif name not in ("pip", "make"):
            assert version == [own[{"pytorch": "torch"}.get(name, name)]], text
    (pip,) = (one["pip"] for one in environment if isinstance(one, dict))
    assert pip == ["-e ."]


def steps(workflow: Path) -> list[dict[str, Any]]:
    jobs = yaml.safe_load(workflow.read_text())["jobs"]
    return [step for job in jobs.values() for step in job["steps"]]


@pytest.mark.parametrize("workflow", sorted((ROOT / ".github" / "workflows").iterdir()))
def test_what_a_workflow_calls_is_there(workflow: Path) -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    commands = "\n".join(step.get("run", "") for step in steps(workflow))
    called = set(re.findall(r"\bmake ([\w-]+)", commands))
    files = set(re.findall(r"(?:^|\s)(\.(?:ci|github)/[\w./]+)", commands))
    assert called | files and called <= targets
    assert all((ROOT / file).is_file() for file in files)


def test_ci_tries_every_python_that_the_package_names() -> None:
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]
    named = [c.rpartition(" ")[2] for c in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", c)]
    assert jobs["test"]["strategy"]["matrix"]["python"] == named
    assert PROJECT["requires-python"] == f">={named[0]}"


def test_on_an_index_every_link_of_the_readme_leads_to_the_repository() -> None:
    spec = spec_from_file_location("readme_links", ROOT / ".github" / "readme_links.py")
    assert spec is not None and spec.loader is not None
    spec.loader.exec_module(module := module_from_spec(spec))
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    own = "https://github.com/team/harmon-eval"
    page = markdown.markdown(
        module.absolute(text, own, "v1.0"), extensions=["fenced_code", "tables"]
    )
    places = re.findall(r'(?:href|src)="([^"]+)"', page)
    assert places and not [p for p in places if not p.startswith(("https://", "#"))]
    pictures = [p for p in places if p.endswith(".png")]
    assert pictures and all(p.startswith(f"{own}/raw/v1.0/docs/") for p in pictures)
    for place in places:
        if place.startswith(own):
            inside = re.sub(r"^/(?:raw|blob)/v1\.0/", "", place.removeprefix(own)).partition("#")[0]
            assert (ROOT / inside).exists(), place
