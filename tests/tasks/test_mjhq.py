"""MJHQ-30K FID as a task: what is asked, what a row holds, what the rows come to."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from cleanfid.fid import fid_from_feats
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from harmon_eval.adapters.folder import FolderResponder
from harmon_eval.core import Answer, Data, Draw, Unscorable, UserError
from harmon_eval.instruments.features.mini import open_instrument
from harmon_eval.suites.mini.scenes import render, sample_scene
from harmon_eval.tasks import mjhq_gigagan256, mjhq_pytorch_fid
from harmon_eval.tasks.mjhq import task as mjhq

NET = open_instrument()
PER_CATEGORY = 80
CATEGORIES = ("art", "logo")


def write_benchmark(folder: Path, per_category: int = PER_CATEGORY, suite: str = "mini") -> Data:
    metadata = {}
    rng = np.random.default_rng(0)
    for category in CATEGORIES:
        (folder / "mjhq30k_imgs" / category).mkdir(parents=True)
        for index in range(per_category):
            key = hashlib.sha1(f"{category}{index}".encode()).hexdigest()
            metadata[key] = {"category": category, "prompt": f"{category}, a fern, {index} --v 5"}
            picture = Image.fromarray(render(sample_scene(rng)))
            picture.save(folder / "mjhq30k_imgs" / category / f"{key}.jpg", quality=95)
    (folder / "meta_data.json").write_text(json.dumps(metadata))
    return Data.at(folder, suite, images_per_prompt=1)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return write_benchmark(tmp_path_factory.mktemp("mjhq"))


@pytest.fixture(scope="module")
def drawings(data: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Answers of a model that draws other scenes of the same world, slightly blurred."""
    folder = tmp_path_factory.mktemp("run")
    rng = np.random.default_rng(1)
    answers = []
    for sample in mjhq.TASK.samples(data):
        file = folder / f"{sample.id}.png"
        file.parent.mkdir(exist_ok=True)
        image = Image.fromarray(render(sample_scene(rng)))
        image.filter(ImageFilter.GaussianBlur(0.6)).save(file)
        answers.append(Answer(sample, file))
    return answers


def marked(task: Any, answers: Any) -> Any:
    rows = task.mark(answers, {"features": NET})
    described = [
        {"id": a.sample.id, "group": a.sample.group, "stratum": a.sample.stratum, **row}
        for a, row in zip(answers, rows, strict=True)
    ]
    return pd.DataFrame(described)


@pytest.fixture(scope="module")
def rows(drawings: Any) -> Any:
    return marked(mjhq.TASK, drawings)


def gaussian_rows(
    rng: Any, count: Any, width: int = 4, shift: float = 0.5, reference: Any = None
) -> Any:
    drawn = rng.normal(shift, 1.2, size=(count, width)).astype(np.float32)
    if reference is None:
        reference = rng.normal(size=(count, width)).astype(np.float32)
    return pd.DataFrame(
        {
            "id": [f"{'ab'[i % 2]}/{i:05d}" for i in range(count)],
            "stratum": ["ab"[i % 2] for i in range(count)],
            "setting": "playground,test",
            "features": list(drawn),
            "reference_features": list(reference),
        }
    )


# -- what is asked -----------------------------------------------------------------------------


def test_one_drawing_a_prompt_named_as_its_reference(data: Any) -> None:
    samples = list(mjhq.TASK.samples(data))
    metadata = json.loads((data.folder / "meta_data.json").read_text())
    assert len(samples) == 2 * PER_CATEGORY
    for sample, (key, entry) in zip(samples, metadata.items(), strict=True):
        assert sample.id == f"{entry['category']}/{key}"
        assert sample.request == Draw(entry["prompt"], index=0)
        assert (sample.group, sample.stratum) == (key, entry["category"])
        assert sample.target["reference"].name == f"{key}.jpg"


def test_the_stored_drawings_can_be_marked_again_as_a_folder(tmp_path: Path) -> None:
    data = write_benchmark(tmp_path / "data", per_category=6)
    meta = tmp_path / "data" / "meta_data.json"
    entries = json.loads(meta.read_text())
    for number, entry in enumerate(entries.values()):
        entry["prompt"] = ["twice\nthe same", "another ☂"][number % 3 == 0]
    meta.write_text(json.dumps(entries))
    drawn = list(mjhq.TASK.samples(data))
    for sample in drawn:
        file = tmp_path / "images" / f"{sample.id}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (int(sample.group[:2], 16), int(sample.group[2:4], 16), 0)).save(
            file
        )
    for name, text in mjhq.TASK.files_before(drawn).items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    responder = FolderResponder(tmp_path / "images")
    again = responder.draw([sample.request for sample in drawn])
    for sample, image in zip(drawn, again, strict=True):
        expected = (int(sample.group[:2], 16), int(sample.group[2:4], 16), 0)
        assert image.getpixel((0, 0)) == expected


def test_a_missing_reference_is_named(tmp_path: Path) -> None:
    data = write_benchmark(tmp_path, per_category=2)
    lost = sorted(tmp_path.rglob("*.jpg"))[1]
    lost.unlink()
    with pytest.raises(UserError, match=lost.name):
        list(mjhq.TASK.samples(data))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read"),
        ("[]", "one object"),
        ('{"k": {"category": "art"}}', "'k' needs a category and a prompt"),
        ('{"k": {"category": "art", "prompt": 3}}', "must be text"),
        ('{"../k": {"category": "art", "prompt": "p"}}', "no file name"),
        ('{"k": {"category": "a/b", "prompt": "p"}}', "no file name"),
    ],
)
def test_a_broken_meta_data_file_is_a_clear_error(
    tmp_path: Path, content: str, message: str
) -> None:
    (tmp_path / "meta_data.json").write_text(content)
    with pytest.raises(UserError, match=message):
        list(mjhq.TASK.samples(Data.at(tmp_path, "mini")))


def test_an_incomplete_official_benchmark_is_said_but_runs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = write_benchmark(tmp_path, per_category=3, suite="official")
    assert len(list(mjhq.TASK.samples(data))) == 6
    assert "6 prompts in 2 categories instead of 30000 in 10" in caplog.text


# -- what a row holds --------------------------------------------------------------------------


def test_a_row_holds_the_features_of_the_drawing_and_of_its_reference(
    drawings: Any, rows: Any
) -> None:
    assert list(rows["setting"].unique()) == ["playground,mini"]
    image = np.asarray(Image.open(drawings[3].image)).astype(np.float32)
    expected = NET(image.transpose(2, 0, 1)[None])[0]
    np.testing.assert_allclose(rows["features"][3], expected, atol=1e-4)
    assert rows["features"][3].dtype == np.float32
    assert not np.allclose(rows["features"][3], rows["reference_features"][3], atol=0.1)


def test_an_unreadable_drawing_is_unscorable_and_a_damaged_reference_an_error(
    tmp_path: Path, drawings: Any
) -> None:
    instruments = {"features": NET}
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG not really")
    with pytest.raises(Unscorable, match=r"broken\.png"):
        mjhq.TASK.mark([Answer(drawings[0].sample, broken)], instruments)
    other = write_benchmark(tmp_path / "data", per_category=1)
    sample = next(iter(mjhq.TASK.samples(other)))
    sample.target["reference"].write_bytes(b"cut")
    with pytest.raises(UserError, match=f"{sample.group}.jpg"):
        mjhq.TASK.mark([Answer(sample, drawings[0].image)], instruments)


def test_marking_in_other_batches_gives_the_same_rows(drawings: Any, rows: Any) -> None:
    parts = [marked(mjhq.TASK, drawings[i : i + 7]) for i in range(0, 28, 7)]
    again = pd.concat(parts, ignore_index=True)
    for column in ("features", "reference_features"):
        np.testing.assert_allclose(np.stack(again[column]), np.stack(rows[column][:28]), atol=1e-4)


# -- what the rows come to ---------------------------------------------------------------------


def test_every_metric_names_its_protocol_and_network(rows: Any) -> None:
    metrics = mjhq.TASK.summarize(rows)
    assert set(metrics) == {
        "fid[playground,mini]",
        "fid[playground,mini]/art",
        "fid[playground,mini]/logo",
        "kid[playground,mini]",
        "kid_standard_error[playground,mini]",
        "fid_infinity[playground,mini]",
        "fid_infinity_spread[playground,mini]",
        "fid_matched[playground,mini]",
        "fid_matched_spread[playground,mini]",
    }
    assert all(np.isfinite(value) for value in metrics.values())


def test_the_other_protocols_are_other_tasks_with_other_names(drawings: Any) -> None:
    names = []
    for task in (mjhq.TASK, mjhq_gigagan256.TASK, mjhq_pytorch_fid.TASK):
        names.append(next(iter(task.summarize(marked(task, drawings[:70])))))
    assert names == ["fid[playground,mini]", "fid[gigagan256,mini]", "fid[pytorch-fid,mini]"]


def test_drawing_the_references_themselves_scores_zero(data: Any, rows: Any) -> None:
    perfect = [Answer(s, s.target["reference"]) for s in mjhq.TASK.samples(data)]
    metrics = mjhq.TASK.summarize(marked(mjhq.TASK, perfect))
    assert metrics["fid[playground,mini]"] < 1e-6
    assert metrics["fid[playground,mini]/art"] < 1e-6
    assert metrics["fid_matched[playground,mini]"] == pytest.approx(0, abs=1e-6)
    assert mjhq.TASK.summarize(rows)["fid[playground,mini]"] > 0.1


def test_rows_survive_parquet(rows: Any, tmp_path: Path) -> None:
    rows.to_parquet(tmp_path / "rows.parquet")
    stored = pd.read_parquet(tmp_path / "rows.parquet")
    assert mjhq.TASK.summarize(stored) == mjhq.TASK.summarize(rows)


@settings(max_examples=10)
@given(st.integers(0, 2**32 - 1))
def test_the_order_of_the_rows_does_not_matter(seed: Any) -> None:
    rows = gaussian_rows(np.random.default_rng(0), 60)
    shuffled = rows.sample(frac=1, random_state=np.random.default_rng(seed))
    assert mjhq.TASK.summarize(shuffled) == mjhq.TASK.summarize(rows)
    assert mjhq.TASK.intervals(shuffled, mjhq.TASK.summarize) == mjhq.TASK.intervals(
        rows, mjhq.TASK.summarize
    )


def test_equals_clean_fid_on_the_same_features_overall_and_by_category(
    rows: Any, clean_fid_scipy: None
) -> None:
    metrics = mjhq.TASK.summarize(rows)
    for part, name in [(rows, ""), (rows[rows["stratum"] == "art"], "/art")]:
        drawn, reference = (np.stack(part[c]) for c in ("features", "reference_features"))
        expected = float(fid_from_feats(drawn, reference))
        assert metrics[f"fid[playground,mini]{name}"] == pytest.approx(expected, rel=1e-4)


def test_too_few_images_leave_fid_out_and_offer_kid(
    rows: Any, caplog: pytest.LogCaptureFixture
) -> None:
    metrics = mjhq.TASK.summarize(rows[:30])
    assert set(metrics) == {
        "kid[playground,mini]",
        "kid_standard_error[playground,mini]",
    }
    assert caplog.text.count("30 reference images are fewer than the 64 features") == 1
    assert "KID" in caplog.text
    assert mjhq.TASK.summarize(rows[:2]) == {}


def test_rows_of_different_protocols_are_refused() -> None:
    rows = gaussian_rows(np.random.default_rng(0), 20)
    rows.loc[3, "setting"] = "gigagan256,test"
    with pytest.raises(UserError, match=r"gigagan256,test, playground,test"):
        mjhq.TASK.summarize(rows)


def test_a_category_has_kid_only_with_enough_images_for_its_interval(rows: Any) -> None:
    for count, expected in ((49, False), (50, True)):
        art = rows[:count]
        name = "kid[playground,mini]/art"
        assert (name in mjhq.TASK.summarize(art)) is expected
        assert (name in mjhq.TASK.intervals(art, mjhq.TASK.summarize)) is expected


def test_intervals_are_of_metrics_there_are(rows: Any) -> None:
    for part in (rows, rows[:70], rows[:30]):
        assert set(mjhq.TASK.intervals(part, mjhq.TASK.summarize)) <= set(mjhq.TASK.summarize(part))
    found = mjhq.TASK.intervals(rows, mjhq.TASK.summarize)
    wanted = {f"{name}[playground,mini]" for name in ("fid", "fid_matched", "kid")}
    assert wanted <= set(found)
    assert not [name for name in found if "spread" in name]


def test_every_interval_holds_its_value_and_can_be_compared() -> None:
    rows = gaussian_rows(np.random.default_rng(3), 300)
    values = mjhq.TASK.summarize(rows)
    intervals = mjhq.TASK.intervals(rows, mjhq.TASK.summarize)
    assert {name for name in values if "spread" not in name and "error" not in name} == set(
        intervals
    )
    assert all(low < values[name] < high for name, (low, high) in intervals.items())
    assert set(mjhq.TASK.replicates(rows)) == set(intervals)


def test_a_prompt_under_two_keys_is_one_prompt_for_kid() -> None:
    rows = gaussian_rows(np.random.default_rng(5), 60)
    rows["group"] = rows["id"]
    texts = [f"prompt {n // 2}" for n in range(60)]
    by_key, by_text = (
        mjhq.TASK.summarize(frame)["kid[playground,test]"]
        for frame in (rows, rows.assign(prompt=texts))
    )
    assert by_text != by_key
    assert by_text == mjhq.TASK.summarize(rows.assign(group=texts))["kid[playground,test]"]


def test_rows_of_one_prompt_stay_together() -> None:
    """Two captions of one photograph: leaving one out but not the other would hide the spread."""
    half = gaussian_rows(np.random.default_rng(4), 100)
    twice = pd.concat([half, half.assign(id=half["id"] + "b")], ignore_index=True)
    twice["group"] = [*half["id"], *half["id"]]
    for name, parts in mjhq.TASK.replicates(half.assign(group=half["id"])).items():
        if name == "fid[playground,test]":
            together = mjhq.TASK.replicates(twice)[name]
            assert together.error == pytest.approx(parts.error, rel=0.1)
