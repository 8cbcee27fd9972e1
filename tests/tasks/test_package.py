"""Plug-ins bring everything: a benchmark with data, instrument and metric of its own, a model with
settings, and one more instrument for a role that exists; installed, or included from a path."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT = """[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "parity-bench"
version = "1.0"

[project.entry-points."harmon_eval.tasks"]
parity = "parity_bench.task:open_task"

[project.entry-points."harmon_eval.models"]
toy = "parity_bench.toy:open_model"

[project.entry-points."harmon_eval.instruments"]
"calculator.binary" = "parity_bench.calculator:open_instrument"
"calculator.constant" = "parity_bench.calculator:open_constant"
"detector.blind" = "parity_bench.blind:open_instrument"

[tool.setuptools]
packages = ["parity_bench"]
"""
TASK = '''"""Parity: does a number stay even or odd?"""

from functools import partial

from harmon_eval.core import About, Ask, Metric, Sample, Source, Task

FILE = "numbers.txt"


def make(folder):
    (folder / FILE).write_text("".join(f"{number}\\n" for number in range(10)))


def samples(data, count):
    lines = (data.folder / FILE).read_text().split()
    for line in lines[:count]:
        yield Sample(f"n{line}", Ask(line), {"even": int(line) % 2 == 0}, f"n{line}")


def mark(answers, instruments):
    even = instruments["calculator"].even
    return [
        {"even": a.sample.target["even"], "correct": even(int(a.reply)) == a.sample.target["even"]}
        for a in answers
    ]


def summarize(rows):
    odd = rows[~rows["even"]]
    metrics = {"accuracy": rows["correct"].mean()}
    return metrics | ({"accuracy_odd": odd["correct"].mean()} if len(odd) else {})


def open_task(argument=""):
    return Task(
        samples=partial(samples, count=int(argument or 4)),
        mark=mark,
        summarize=summarize,
        metrics=(
            Metric("accuracy", headline=True),
            Metric("accuracy_odd", rows=lambda rows, name: ~rows["even"]),
        ),
        about=About(paper="none", version="1"),
        sources={
            "official": Source((FILE,), f"{FILE} (a number in each line)"),
            "mini": Source(make=make),
        },
        instruments={"calculator": "binary"},
    )
'''
CALCULATOR = '''"""Instruments of a role that this package brings."""


class Calculator:
    identity = "binary-calculator-1"

    def even(self, number):
        return number % 2 == 0


class Constant(Calculator):
    identity = "constant-calculator-1"

    def even(self, number):
        return True


def open_instrument():
    return Calculator()


def open_constant():
    return Constant()
'''
TOY = '''"""A model with settings: it replies NUMBER times strength, plus what its name says."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from harmon_eval.core import Responder


@dataclass(frozen=True)
class Settings:
    strength: int = 1


class Toy(Responder):
    def __init__(self, argument, settings):
        self.name = f"toy:{argument}"
        self.fingerprint = "toy-1"
        self.settings = asdict(settings)
        self.plus, self.strength = int(argument or 0), settings.strength

    def ask(self, requests):
        return [str(int(r.question) * self.strength + self.plus) for r in requests]


def open_model(argument: str, settings: Settings) -> Toy:
    return Toy(argument, settings)
'''
BLIND = '''"""A detector that finds nothing."""


class Blind:
    identity = "blind-1"

    def __call__(self, images):
        return [{} for _ in images]


def open_instrument():
    return Blind()
'''
MODULES = {"task": TASK, "calculator": CALCULATOR, "toy": TOY, "blind": BLIND}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the package is installed, outside of the checkout."""
    source, site = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    (source / "pyproject.toml").write_text(PROJECT)
    package = source / "parity_bench"
    package.mkdir()
    (package / "__init__.py").touch()
    for name, code in MODULES.items():
        (package / f"{name}.py").write_text(code)
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*install, "--target", str(site), str(source)], check=True)
    return site


def called(folder: Path, *arguments: str, site: Path | None = None) -> subprocess.CompletedProcess:
    """The command line in a process of its own, in ``folder``."""
    paths = [str(path) for path in (site, ROOT) if path]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, "-m", "harmon_eval", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def result(folder: Path, run: str, task: str) -> dict:
    return json.loads((folder / run / task / "metrics.json").read_text())


def test_a_task_of_an_installed_package_runs_by_its_name(site: Path, tmp_path: Path) -> None:
    for name in ("parity", "parity:7"):
        done = called(tmp_path, "--model", "scripted", "--tasks", name, site=site)
        assert done.returncode == 0, done.stderr
        assert "accuracy" in done.stdout and "1.000" in done.stdout
    assert "7 of 7" in done.stdout


def test_its_data_may_be_given_or_made_and_what_is_missing_is_said(
    site: Path, tmp_path: Path
) -> None:
    official = ("--model", "scripted", "--suite", "official", "--tasks", "parity")
    done = called(tmp_path, *official, "--output", "none", site=site)
    assert done.returncode == 2
    said = " ".join(done.stderr.split())
    assert "needs numbers.txt: put numbers.txt (a number in each line) into DIR/parity" in said
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "numbers.txt").write_text("11\n12\n13\n")
    done = called(tmp_path, *official, "--data", "data", "--output", "run", site=site)
    assert done.returncode == 0, done.stderr
    found = result(tmp_path, "run", "parity")
    assert (found["n"], found["headline"]) == (3, "accuracy")
    assert found["metrics"] == {"accuracy": 1.0, "accuracy_odd": 1.0}
    assert found["provenance"]["instruments"] == {"calculator": "binary-calculator-1"}


def test_its_instrument_can_be_exchanged_by_name(site: Path, tmp_path: Path) -> None:
    command = ("--model", "scripted", "--tasks", "parity", "--output", "run")
    done = called(tmp_path, *command, "--instrument", "calculator=constant", site=site)
    assert done.returncode == 0, done.stderr
    found = result(tmp_path, "run", "parity")
    assert found["metrics"] == {"accuracy": 0.5, "accuracy_odd": 0.0}
    assert found["provenance"]["instruments"] == {"calculator": "constant-calculator-1"}
    command = (*command[:-1], "wrong", "--instrument", "calculator=constants")
    done = called(tmp_path, *command, site=site)
    assert done.returncode == 2 and "did you mean 'constant'" in done.stderr


def test_a_model_of_an_installed_package_takes_its_own_settings(site: Path, tmp_path: Path) -> None:
    """3 + 2 n is always odd: right for the two odd numbers of four."""
    done = called(
        tmp_path,
        *("--model", "toy:3?strength=2", "--tasks", "parity", "--output", "run"),
        site=site,
    )
    assert done.returncode == 0, done.stderr
    assert result(tmp_path, "run", "parity")["metrics"] == {"accuracy": 0.5, "accuracy_odd": 1.0}
    identity = json.loads((tmp_path / "run" / "manifest.json").read_text())["identity"]
    assert "toy:3" in json.dumps(identity) and '"strength": 2' in json.dumps(identity)
    for model, said in (
        ("toy:3?strenth=2", "did you mean 'strength'"),
        ("toy:3?strength=two", "give a whole number"),
    ):
        done = called(tmp_path, "--model", model, "--tasks", "parity", site=site)
        assert done.returncode == 2 and said in " ".join(done.stderr.split())


def test_one_more_instrument_for_a_role_that_exists(site: Path, tmp_path: Path) -> None:
    command = ("--model", "scripted", "--tasks", "geneval", "--limit", "6", "--output", "run")
    done = called(tmp_path, *command, "--instrument", "detector=blind", site=site)
    assert done.returncode == 0, done.stderr
    found = result(tmp_path, "run", "geneval")
    assert found["metrics"]["overall"] == 0
    assert found["provenance"]["instruments"]["detector"] == "blind-1"


def test_a_broken_plug_in_is_named_and_disturbs_no_other(site: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    (broken / "parity_bench-9.dist-info").mkdir(parents=True)
    info = broken / "parity_bench-9.dist-info"
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bad-bench\nVersion: 9\n")
    (info / "entry_points.txt").write_text("[harmon_eval.tasks]\nbad = nowhere.at_all:TASK\n")
    done = called(tmp_path, "--tasks", "bad", "--model", "scripted", site=broken)
    said = " ".join(done.stderr.split())
    assert done.returncode == 2
    assert "plug-in 'bad' of package 'bad-bench' is broken" in said
    done = called(tmp_path, "--tasks", "vqa", "--model", "scripted", "--limit", "1", site=broken)
    assert done.returncode == 0, done.stderr


ENTRY = "[harmon_eval.tasks]\nnew = new_bench:{}\n"


def installed(folder: Path, code: str, what: str = "TASK") -> Path:
    """A folder that holds a package with one task, as if it were installed there."""
    info = folder / "new_bench-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: new-bench\nVersion: 1\n")
    (info / "entry_points.txt").write_text(ENTRY.format(what))
    (folder / "new_bench.py").write_text(code)
    return folder


@pytest.mark.parametrize(
    ("code", "what", "said"),
    [
        ("x = 1 / 0\n", "TASK", "ZeroDivisionError: division by zero, in line 1 of new_bench.py"),
        ("raise SystemExit(3)\n", "TASK", "is broken (SystemExit: 3"),
        (
            "def open_task(argument):\n    return int(argument)\n",
            "open_task",
            "task 'new' cannot be opened (ValueError: invalid literal for int()",
        ),
    ],
)
def test_the_list_goes_on_past_a_package_that_fails_in_any_way(
    tmp_path: Path, code: str, what: str, said: str
) -> None:
    done = called(tmp_path, "list", site=installed(tmp_path / "site", code, what))
    assert done.returncode == 0 and done.stderr == ""
    assert "geneval" in done.stdout and said in done.stdout


@pytest.mark.parametrize(
    "used",
    [
        "from numpy import array\nassert array([1, 2]).sum() == 3",
        "import numpy.typing as npt\nX: npt.NDArray = numpy.zeros(2)",
        "import importlib.util\nassert importlib.util.find_spec('numpy') is not None",
        "import numpy as np\nassert 'zeros' in vars(np) and 'zeros' in dir(np)",
        "import numpy as np\nnp.mine = 1\nimport sys\nassert sys.modules['numpy'].mine == 1",
        "import numpy as np, pandas as pd\nassert pd.Series(np.arange(3)).sum() == 3",
    ],
)
def test_a_package_may_use_numpy_in_any_way_where_it_is_listed(tmp_path: Path, used: str) -> None:
    """NumPy is kept from being loaded only while the tasks of this repository are imported."""
    code = f"import numpy\n{used}\nfrom harmon_eval.tasks.pope.task import TASK\n"
    done = called(tmp_path, "list", site=installed(tmp_path / "site", code))
    assert done.returncode == 0 and "is broken" not in done.stdout, done.stdout[-500:]


# -- --include -------------------------------------------------------------------------------------


def test_a_file_is_included_by_its_path(tmp_path: Path) -> None:
    """Its instrument is the function itself, so that one file is enough."""
    code = TASK.replace('{"calculator": "binary"}', '{"calculator": Calculator}')
    instrument = CALCULATOR.partition("\n\n\n")[2].partition("class Constant")[0]
    (tmp_path / "mine.py").write_text(code.replace("def make", instrument + "def make", 1))
    command = ("--include", "mine.py", "--model", "scripted", "--tasks")
    for name, count in (("mine", 4), ("mine:7", 7)):
        done = called(tmp_path, *command, name, "--output", f"run{count}")
        assert done.returncode == 0, done.stderr
        assert f"{count} of {count}" in done.stdout
    found = result(tmp_path, "run4", "mine")
    assert found["provenance"]["instruments"] == {"calculator": "binary-calculator-1"}
    done = called(tmp_path, *command[2:], "mine", "--output", "run4")
    assert done.returncode == 2 and "unknown task 'mine'" in done.stderr


def test_a_folder_is_included_with_the_modules_beside_its_task(tmp_path: Path) -> None:
    folder = tmp_path / "plugins" / "mine"
    folder.mkdir(parents=True)
    code = TASK.replace('{"calculator": "binary"}', '{"calculator": open_instrument}')
    imported = "from functools import partial\n\nfrom .calculator import open_instrument\n"
    (folder / "task.py").write_text(code.replace("from functools import partial\n", imported))
    (folder / "calculator.py").write_text(CALCULATOR)
    (tmp_path / "plugins" / "toy.py").write_text(TOY)
    (tmp_path / "plugins" / "blind.py").write_text('ROLE = "detector"\n' + BLIND)
    (tmp_path / "plugins" / "notes.py").write_text("# no plug-in\n")
    command = ("--tasks", "mine", "--model", "toy:3?strength=2", "--output")
    for number, path in enumerate(("plugins", "plugins/mine")):
        included = ("--include", path, "--include", "plugins/toy.py")
        done = called(tmp_path, *included, *command, f"run{number}")
        assert done.returncode == 0, done.stderr
        assert result(tmp_path, f"run{number}", "mine")["metrics"]["accuracy_odd"] == 1.0
    done = called(
        tmp_path,
        *("--include", "plugins", "--instrument", "detector=blind"),
        *("--model", "scripted", "--tasks", "geneval", "--limit", "6", "--output", "drawn"),
    )
    assert done.returncode == 0, done.stderr
    found = result(tmp_path, "drawn", "geneval")
    assert found["provenance"]["instruments"]["detector"] == "blind-1"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no such file or folder"),
        ("x = 1\n", "holds no plug-in"),
        ("import nowhere_at_all\n", "cannot be imported (ModuleNotFoundError"),
        ("TASK = \n", "cannot be imported (SyntaxError"),
        ("\nx = 1 / 0\n", "(ZeroDivisionError: division by zero, in line 2 of mine.py)"),
        ("import os\nKEY = os.environ['NO_KEY']\n", "(KeyError: 'NO_KEY', in line 2 of mine.py)"),
    ],
)
def test_what_cannot_be_included_is_said_in_one_line(
    tmp_path: Path, content: str | None, said: str
) -> None:
    if content is not None:
        (tmp_path / "mine.py").write_text(content)
    done = called(tmp_path, "--include", "mine.py", "--model", "scripted", "--tasks", "vqa")
    assert done.returncode == 2
    assert done.stderr.startswith("error: --include mine.py") and said in done.stderr
    assert done.stderr.count("\n") == 1
