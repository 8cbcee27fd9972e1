"""The command lines of the benchmarks teach their call, and refuse in a line what is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

from benchmarks import __main__ as everything

BENCHMARKS = Path(everything.__file__).parent
NAMES = [f.stem for f in sorted(BENCHMARKS.glob("*.py")) if "parsing.Parser(" in f.read_text()]
Refused = Callable[..., str]


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Refused:
    """What a benchmark says, in one line, where its arguments are wrong."""

    def called(name: str, *arguments: str) -> str:
        monkeypatch.setattr("sys.argv", [name, *arguments])
        with pytest.raises(SystemExit, match="2"):
            import_module(f"benchmarks.{name}").main()
        said = capsys.readouterr().err
        assert re.fullmatch(r"error: .*\n", said)
        return said

    return called


@pytest.mark.parametrize("name", NAMES)
def test_every_benchmark_teaches_its_call_and_names_a_wrong_option_in_a_line(
    name: str,
    refused: Refused,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.argv", [name, "--help"])
    with pytest.raises(SystemExit, match="0"):
        import_module(f"benchmarks.{name}").main()
    called = "python -m benchmarks" + f".{name}" * (name != "__main__")
    assert capsys.readouterr().out.startswith(f"usage: {called} ")
    assert re.search(r"did you mean|--help|known: ", refused(name, "--reslts", "x"))


@pytest.mark.parametrize(
    ("name", "given", "says"),
    [
        ("start", "--repeats=0", "whole number above 0, not '0'"),
        ("sampling", "--repeats=x", "whole number above 0, not 'x'"),
        *(
            (*option, f"whole number above 0, not {wrong!r}")
            for each, wrong in (("", ""), ("0", "0"), ("1,,4", ""), ("1,x", "x"), ("-2", "-2"))
            for option in (("distilled", f"--batch={each}"), ("scale", f"--sizes={each}"))
        ),
        ("loading", "--workers=-1", "whole number from 0, not '-1'"),
        ("pareto", "--first-seed=-5", "whole number from 0, not '-5'"),
        ("pareto", "--model=NOWHERE", "argument --model: unknown model 'NOWHERE'"),
        ("pareto", "--student=NOWHERE", "argument --student: unknown model 'NOWHERE'"),
        ("understanding", "--tasks=pope,gqq", "unknown task 'gqq': did you mean 'gqa'?"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_is_measured(
    name: str, given: str, says: str, refused: Refused
) -> None:
    assert says in refused(name, given)


def test_a_folder_of_somebody_is_not_deleted(tmp_path: Path, refused: Refused) -> None:
    (tmp_path / "mine").write_text("kept")
    said = refused("loading", "--size=mini", f"--folder={tmp_path}")
    assert "exists: delete it, or name a --folder" in said
    assert (tmp_path / "mine").read_text() == "kept"


@pytest.mark.parametrize("text", [None, "no JSON", "{}", "[]", '{"ratios": {"a": "b"}}'])
def test_a_file_that_no_benchmark_wrote_is_refused_in_a_line(
    text: str | None, tmp_path: Path, refused: Refused
) -> None:
    file = tmp_path / "other.json"
    if text is not None:
        file.write_text(text)
    assert "other.json is no JSON of a benchmark " in refused("compare", str(file), str(file))
