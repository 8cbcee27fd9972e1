"""Published results keep every number with its source, and disagreements as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from harmon_eval.core import UserError
from harmon_eval.ranking import protocols, published

ROOT = Path(__file__).parents[2]
HEAD = ",".join(published.SOURCE_COLUMNS)


def test_every_number_has_its_source_and_protocol() -> None:
    frame = published.load()
    assert len(frame) == 1255 + 986
    assert (frame[["model", "source", "source_kind", "split"]] != "").all(axis=None)
    paper = frame[(frame["model"] == "Harmon-1.5B") & (frame["source_kind"] == "paper")]
    values = paper.set_index(["task", "metric"])["value"]
    assert values["geneval", "position"] == 0.74 and values["mjhq", "fid"] == 5.15
    assert values["pope", "score"] == 87.6 and values["mme_c", "score"] == 321


def test_values_that_disagree_are_all_kept() -> None:
    frame = published.load()
    harmon = frame[(frame["model"] == "Harmon-1.5B") & (frame["task"] == "geneval")]
    overall = harmon[(harmon["metric"] == "overall") & (harmon["split"] == "553")]
    assert set(overall["text"]) == {"0.729", "0.76"} and len(set(overall["source_kind"])) == 2
    assert overall["note"].str.contains("sources disagree: 0.729 / 0.76").all()


def splits(model: str, task: str) -> dict[str, str]:
    """Split of each headline value of a model."""
    frame = published.load()
    own = frame[(frame["model"] == model) & (frame["task"] == task)]
    own = own[own["metric"].isin(("fid", "overall"))]
    return dict(zip(own["text"], own["split"], strict=True))


def test_fid_is_split_by_how_images_were_prepared() -> None:
    """Janus-Pro-7B looks worse than Janus-1.3B only across protocols."""
    pro = splits("Janus-Pro-1B", "mjhq")
    assert pro["9.53"] != pro["14.33"] == splits("Janus-Pro-7B", "mjhq")["13.48"]
    assert splits("Janus-1.3B", "mjhq")["10.10"] == splits("JanusFlow", "mjhq")["9.51"]
    assert len(set(splits("Janus-1.3B", "coco30k").values())) == 2


def test_rewritten_prompts_and_reinforcement_learning_have_their_own_split() -> None:
    flux = splits("FLUX.1-dev", "geneval")
    assert flux["0.82"] == "553, rewritten prompts" and flux["0.66"] == flux["0.67"] == "553"
    omnigen = splits("OmniGen2", "geneval")
    assert omnigen["0.95"] == "553, after RL with a GenEval reward" and omnigen["0.80"] == "553"


def test_an_overall_of_wise_says_how_it_is_weighted_and_is_so() -> None:
    frame = published.load()
    wise = frame[(frame["task"] == "wise") & frame["split"].str.startswith("legacy (GPT-4o")]
    overall = wise[(wise["metric"] == "overall") & ~wise["split"].str.contains("rewritten")]
    assert overall["split"].str.contains("weight").all()
    assert splits("BAGEL", "wise")["0.52"] == "legacy (GPT-4o), unweighted"
    weights = {"cultural": 0.4, "time": 0.167, "space": 0.133}
    checked = 0
    for row in overall.to_dict("records"):
        judge = row["split"].rpartition(",")[0]
        own = wise[(wise["model"] == row["model"]) & (wise["split"] == judge)]
        parts = own[own["metric"] != "overall"].set_index("metric")["value"]
        if len(parts) == 6:
            shares = {name: weights.get(name, 0.1) for name in parts.index}
            means = {
                "weighted": sum(parts[name] * share for name, share in shares.items()),
                "unweighted": parts.mean(),
            }
            if (kind := row["split"].rpartition(", ")[2]) in means:
                # Parts and whole are rounded to two places.
                assert row["value"] == pytest.approx(means[kind], abs=0.01), row["model"]
                checked += 1
    assert checked > 30


def test_editing_and_the_models_that_were_missing_are_there() -> None:
    frame = published.load()
    assert {"imgedit", "gedit", "risebench", "kris", "omnicontext"} <= set(frame["task"])
    assert splits("UniPic-1", "geneval") == {"0.86": "553"}
    assert set(splits("BAGEL-RecA", "dpg")) == {"85.20", "85.29"}


def test_every_rule_about_protocols_finds_its_rows() -> None:
    known = set(published.load()["split"])
    assert {rule.protocol for rule in protocols.RULES} <= known


def test_a_range_of_different_protocols_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "source.csv"
    rows = [
        "A,,mjhq,fid,9.5,30k clean,https://a,paper,",
        "A,,mjhq,fid,14.3,30k clean,https://b,third_party,user re-run with clean-fid",
    ]
    source.write_text("\n".join([HEAD, *rows]) + "\n")
    with pytest.raises(UserError, match=r"line 3: values of different protocols"):
        published.build(source)


def test_no_published_range_mixes_protocols() -> None:
    for _, own in published.load().groupby(published.CELL):
        if own["value"].nunique() > 1:
            assert len({protocols.said(note) for note in own["note"]}) == 1


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
    ],
)
def test_a_faulty_line_is_named(tmp_path: Path, line: str, fault: str) -> None:
    source = tmp_path / "source.csv"
    source.write_text(f"{HEAD}\n{line}\n")
    with pytest.raises(UserError, match=fault) as caught:
        published.build(source)
    assert "line 2" in str(caught.value) or "line 3" in str(caught.value)


def test_sources_that_disagree_are_noted_and_a_list_without_it_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "source.csv"
    rows = ["A,,pope,score,81,t,x,paper,", "A,,pope,score,80,t,y,paper,seen"]
    source.write_text("\n".join([HEAD, *rows]) + "\n")
    made = published.build(source)
    assert made.count("sources disagree: 80 / 81") == 2 and "seen; sources disagree" in made
    table = tmp_path / "published.csv"
    table.write_text(made.replace("seen; sources disagree: 80 / 81", "seen"))
    with pytest.raises(UserError, match="line 3: one of several values, but its note does not say"):
        published.load(table)


def test_results_hold_data_and_the_package_reads_it_there() -> None:
    assert published.FILE.is_symlink()
    assert published.FILE.resolve() == ROOT / "results/published.csv"
    assert not list((ROOT / "results").rglob("*.py"))
