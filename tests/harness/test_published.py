"""Published results keep every number with its source, and disagreements as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from harmon_eval.core import UserError
from harmon_eval.ranking import published

ROOT = Path(__file__).parents[2]
HEAD = ",".join(published.SOURCE_COLUMNS)


def test_every_number_has_its_source_and_protocol() -> None:
    frame = published.load()
    assert len(frame) == 1255
    assert (frame[["model", "source", "source_kind", "split"]] != "").all(axis=None)
    paper = frame[(frame["model"] == "Harmon-1.5B") & (frame["source_kind"] == "paper")]
    values = paper.set_index(["task", "metric"])["value"]
    assert values["geneval", "position"] == 0.74 and values["mjhq", "fid"] == 5.15
    assert values["pope", "score"] == 87.6 and values["mme_c", "score"] == 321


def test_values_that_disagree_are_all_kept() -> None:
    frame = published.load()
    janus = frame[(frame["model"] == "Janus-1.3B") & (frame["task"] == "coco30k")]
    assert set(janus["text"]) == {"8.53", "16"} and len(set(janus["source_kind"])) == 2


def test_weights_behind_a_number_are_known_to_be_public_or_not() -> None:
    frame = published.load()
    public = frame.set_index(["model", "task", "text"])["weights_public"]
    assert public["Show-o-256", "coco30k", "26.207"] == "yes"
    assert public["Show-o-256", "coco30k", "9.24"] == "no", "of weights that were not released"
    assert public["Show-o-512", "coco30k", "9.24"] == "no", "the same number in another list"
    assert public["BLIP3-o-8B (released weights)", "dpg", "80.733"] == "yes"
    pattern = frame[frame["trained_on_pattern"] == "yes"]
    assert {"Harmon-1.5B-o", "BLIP3-o-8B"} <= set(pattern["model"])


def test_a_number_is_copied_as_it_is_spelled(tmp_path: Path) -> None:
    source = tmp_path / "source.csv"
    source.write_text(f'{HEAD}\nA,1B,geneval,overall,0.80,553,arXiv:1,paper,"a, note"\n')
    assert published.build(source).splitlines()[1] == (
        'A,1B,geneval,overall,0.80,553,arXiv:1,paper,"a, note",,'
    )


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("A,,geneval,overall,0.8,553,,paper,", "no model, metric, split or source"),
        ("A,,geneval,overall,0.8,553,x,rumour,", "source_kind"),
        ("A,,genval,overall,0.8,553,x,paper,", "unknown task"),
        ("A,,geneval,overall,80,553,x,paper,", "outside the task's range"),
        ("A,,geneval,overall,,553,x,paper,", "outside the task's range"),
        ("A,,mjhq,fid,-1,30k,x,paper,", "outside the task's range"),
        ("A,,pope,score,80,t,x,paper,\nA,,pope,score,80,t,x,paper,", "twice"),
        ("A,,pope,score,80,t,x,paper,\nA,,pope,score,81,t,y,paper,", "does not say that sources"),
    ],
)
def test_a_faulty_line_is_named(tmp_path: Path, line: str, fault: str) -> None:
    source = tmp_path / "source.csv"
    source.write_text(f"{HEAD}\n{line}\n")
    with pytest.raises(UserError, match=fault) as caught:
        published.build(source)
    assert "line 2" in str(caught.value) or "line 3" in str(caught.value)


def test_results_hold_data_and_the_package_reads_it_there() -> None:
    assert published.FILE.is_symlink()
    assert published.FILE.resolve() == ROOT / "results/published.csv"
    assert not list((ROOT / "results").rglob("*.py"))
