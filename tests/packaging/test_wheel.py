"""What is installed is what stands in the checkout, under the one import name harmon_eval."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", ["tasks", "model"])
def test_the_package_folders_are_links(name: str) -> None:
    link = ROOT / "harmon_eval" / name
    assert link.is_symlink()
    assert os.readlink(link) == f"../{name}"


def test_a_clone_that_turned_the_links_into_text_files_says_what_to_do(tmp_path: Path) -> None:
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "harmon_eval", tmp_path / "harmon_eval", symlinks=True, ignore=ignored)
    for name in ("tasks", "model"):
        link = tmp_path / "harmon_eval" / name
        link.unlink()
        link.write_text(f"../{name}")
    done = subprocess.run(
        [sys.executable, "-m", "harmon_eval", "list"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert "core.symlinks=true" in done.stderr and "WSL" in done.stderr


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split("\0")
    for name in filter(None, tracked):
        file = ROOT / name
        copy = source / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        if file.is_symlink():
            copy.symlink_to(os.readlink(file))
        elif file.exists():
            copy.write_bytes(file.read_bytes())
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q"]
    subprocess.run([*build, "-w", str(folder), str(source)], check=True)
    return zipfile.ZipFile(next(folder.glob("*.whl")))


def test_the_wheel_holds_what_git_tracks(wheel: zipfile.ZipFile) -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "tasks", "model"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.splitlines()
    expected = {f"harmon_eval/{name}" for name in tracked if (ROOT / name).exists()}
    packed = {
        name
        for name in wheel.namelist()
        if name.startswith(("harmon_eval/tasks/", "harmon_eval/model/"))
    }
    assert packed == expected


def test_the_report_has_its_templates_in_the_wheel(wheel: zipfile.ZipFile) -> None:
    folder = "harmon_eval/report/templates"
    tracked = {f"{folder}/{file.name}" for file in (ROOT / folder).iterdir()}
    assert tracked and tracked <= set(wheel.namelist())


def test_nothing_but_harmon_eval_is_installed_at_the_top(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"harmon_eval"}


def test_the_demo_runs_from_the_wheel_outside_of_the_checkout(
    wheel: zipfile.ZipFile, tmp_path: Path
) -> None:
    """The suite's data, prompts and instruments are inside; ``make package`` adds an environment
    of its own and the bundled model."""
    wheel.extractall(tmp_path / "installed")
    run = ["--model", "scripted", "--tasks", "geneval", "--limit", "2", "--output", "run"]
    done = subprocess.run(
        [sys.executable, "-m", "harmon_eval", *run],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": str(tmp_path / "installed"),
            "HARMON_EVAL_CACHE": str(tmp_path / "cache"),
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "geneval" / "metrics.json").exists()


def test_the_source_distribution_holds_what_the_wheel_holds(
    wheel: zipfile.ZipFile, tmp_path: Path
) -> None:
    source = Path(str(wheel.filename)).parent / "source"
    build = f"import setuptools.build_meta as b; b.build_sdist({str(tmp_path)!r})"
    subprocess.run([sys.executable, "-c", build], cwd=source, check=True, capture_output=True)
    with tarfile.open(next(tmp_path.glob("*.tar.gz"))) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    inside = {name for name in wheel.namelist() if name.startswith("harmon_eval/")}
    places = {name.removeprefix("harmon_eval/") for name in inside}
    assert not {p for p in places if f"harmon_eval/{p}" not in packed and p not in packed}
