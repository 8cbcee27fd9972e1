"""The linear probe against its protocol's worked figures, scikit-learn and cases worked by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression

from harmon_eval import registry
from harmon_eval.core import Answer, Responder, Sample, UserError
from harmon_eval.progress import Progress
from harmon_eval.runner import RunSettings, headline, prepare, run_job
from harmon_eval.scoring import probe_lars, probe_lbfgs, probe_table
from harmon_eval.scoring.probe_knn import knn_ranks
from harmon_eval.scoring.probe_table import Head, hold_out, ranks, standardised
from harmon_eval.store import RunFolder
from harmon_eval.suites.mini.scenes import SHAPES

TASK = registry.task("linear_probe")
PROBES = ("lbfgs", "lars-cached", "knn20")


def blobs(count: int, classes: int = 3, width: int = 5, seed: int = 0, spread: float = 1.5):
    """Features and labels of clouds that overlap a little; places of the clouds never change."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(classes, width)) * 2
    labels = np.arange(count) % classes
    return (centres[labels] + spread * rng.normal(size=(count, width))).astype(np.float32), labels


def rows_of(features: dict[str, np.ndarray], labels: dict[str, np.ndarray]) -> pd.DataFrame:
    """What ``mark`` and the runner make of one set's vectors."""
    made = []
    for split in ("train", "val"):
        for number, (vector, label) in enumerate(zip(features[split], labels[split], strict=True)):
            place = f"{split}/{label}/{number:05d}.png"
            target = {"source": "", "split": split, "label": str(label)}
            sample = Sample(place, None, target, place, f"{label}/{split}")
            row = TASK.mark([Answer(sample, vector)], {})[0]
            made.append({"id": place, "group": place, "stratum": sample.stratum, **row})
    return pd.DataFrame(made)


def drawn(train: int = 90, val: int = 60, **options) -> pd.DataFrame:
    sets = {"train": blobs(train, seed=1, **options), "val": blobs(val, seed=2, **options)}
    return rows_of({k: v[0] for k, v in sets.items()}, {k: v[1] for k, v in sets.items()})


# -- LARS, worked in the protocol's section 4 -----------------------------------------------------


def test_two_steps_of_lars_are_those_worked_by_hand():
    p = torch.tensor([[3.0, 4.0]], dtype=torch.float64)
    p.grad = torch.tensor([[0.6, 0.8]], dtype=torch.float64)
    lars = probe_lars.Lars([p])
    lars.step(1.0)
    assert p.tolist() == [pytest.approx([2.997, 3.996], abs=1e-9)]
    lars.step(1.0)
    assert p.tolist() == [pytest.approx([2.991303, 3.988404], abs=1e-9)]


def test_lars_leaves_a_bias_without_decay_and_trust_ratio():
    p = torch.tensor([3.0, 4.0])
    p.grad = torch.tensor([1.0, -1.0])
    probe_lars.Lars([p], weight_decay=0.5).step(0.5)
    assert p.tolist() == [2.5, 4.5]


def test_a_zero_weight_or_a_zero_gradient_has_trust_ratio_one():
    p = torch.zeros(1, 2)
    p.grad = torch.tensor([[1.0, 2.0]])
    probe_lars.Lars([p]).step(1.0)
    assert p.tolist() == [[-1.0, -2.0]]


@pytest.mark.parametrize(
    ("epoch", "share"), [(0, 0), (5, 0.5), (10, 1), (50, 0.5), (90, 0)], ids=str
)
def test_the_learning_rate_warms_up_and_falls_as_half_a_cosine(epoch, share):
    assert probe_lars.learning_rate(epoch, 6.4) == pytest.approx(6.4 * share, abs=1e-12)


# -- the convex probe -----------------------------------------------------------------------------


def test_standardised_features_have_mean_zero_and_the_biased_variance_one():
    table = standardised(np.array([[1.0, 5.0], [3.0, 5.0]], np.float32), np.array([0, 1]))
    x, _ = table.take(np.arange(2))
    assert x[:, 0] == pytest.approx(np.array([-1, 1]) / math.sqrt(1 + 1e-6))
    assert (x[:, 1] == 0).all()  # a constant feature says nothing


def test_at_zero_the_loss_is_the_logarithm_of_the_number_of_classes():
    """And the gradient of the biases is 1/K less the share of the class."""
    table = standardised(np.zeros((4, 2), np.float32), np.array([0, 0, 0, 1]))
    loss, gradient = probe_lbfgs.loss_and_gradient(np.zeros(6), table, 2, 0.1)
    assert loss == pytest.approx(math.log(2))
    assert gradient.reshape(3, 2)[-1] == pytest.approx([0.5 - 0.75, 0.5 - 0.25])


def test_one_feature_and_two_classes_give_the_root_of_the_stationarity_equation():
    """Features -x and x, weights -w and w: x / (1 + exp(2 w x)) = lambda w, solved by bisection."""
    table = standardised(np.array([[-1.0], [1.0]], np.float32), np.array([0, 1]))
    x = float(table.take(np.array([1]))[0][0, 0])
    strength = 0.1
    low, high = 0.0, 10.0
    for _ in range(60):
        w = (low + high) / 2
        low, high = (w, high) if x / (1 + math.exp(2 * w * x)) > strength * w else (low, w)
    found = probe_lbfgs.fit(table, 2, strength)
    assert found.head.weight[0] == pytest.approx([-w, w], abs=1e-4)
    assert found.head.bias == pytest.approx([0, 0], abs=1e-6)
    assert found.converged


def test_it_is_the_logistic_regression_of_scikit_learn():
    features, labels = blobs(120)
    table = standardised(features, labels)
    x, _ = table.take(np.arange(len(table)))
    own = probe_lbfgs.fit(table, 3, 1e-2)
    peer = LogisticRegression(C=1 / (1e-2 * 120), tol=1e-8, max_iter=5000).fit(x, labels)
    logits = own.head.logits(x)
    assert logits - logits.mean(axis=1, keepdims=True) == pytest.approx(
        peer.decision_function(x) - peer.decision_function(x).mean(axis=1, keepdims=True), abs=2e-3
    )
    assert own.converged and own.gradient <= 1e-5


def test_chunks_change_the_sum_by_rounding_only(monkeypatch):
    table = standardised(*blobs(50))
    flat = np.random.default_rng(0).normal(size=6 * 3)
    whole = probe_lbfgs.loss_and_gradient(flat, table, 3, 1e-3)
    monkeypatch.setattr(probe_table, "CHUNK", 7)
    parts = probe_lbfgs.loss_and_gradient(flat, table, 3, 1e-3)
    assert parts[0] == pytest.approx(whole[0], rel=1e-12)
    assert parts[1] == pytest.approx(whole[1], rel=1e-9, abs=1e-12)


def test_a_table_beyond_memory_is_mapped_and_holds_the_same(monkeypatch):
    features, _ = blobs(50)
    monkeypatch.setattr(probe_table, "IN_MEMORY", 100)
    monkeypatch.setattr(probe_table, "CHUNK", 16)
    mapped = probe_table.stacked(list(features))
    assert isinstance(mapped, np.memmap)
    assert np.array_equal(mapped, features)


def test_the_hold_out_takes_ten_of_a_class_a_fifth_of_a_small_one_and_none_of_a_single_row():
    labels = np.repeat([0, 1, 2, 3], [100, 20, 2, 1])
    kept, held = hold_out(standardised(np.zeros((123, 1), np.float32), labels), 4)
    assert np.bincount(labels[held.rows]).tolist() == [10, 4, 1]
    assert sorted([*kept.rows, *held.rows]) == list(range(123))


def test_equal_logits_are_ranked_by_the_number_of_the_class():
    logits = np.array([[1.0, 1.0, 0.0]] * 4)
    assert ranks(logits, np.array([0, 1, 2, -1])).tolist() == [0, 1, 2, 3]


# -- k-NN -----------------------------------------------------------------------------------------


def test_nearest_neighbours_vote_by_cosine_and_closeness():
    """Fewer than 20 training images: all vote. One close voter outweighs two far ones: at cosine 1
    and 0 the weights differ by exp(1 / 0.07), and length does not count."""
    train = np.array([[10.0, 0.0], [0.0, 1.0], [0.0, 2.0]], np.float32)
    labels = np.array([1, 0, 0])
    test = np.array([[0.1, 0.0], [0.0, 9.0]], np.float32)
    assert knn_ranks(train, labels, test, np.array([1, 0])).tolist() == [0, 0]
    assert knn_ranks(train, labels, test, np.array([0, 1])).tolist() == [1, 1]


# -- the whole task -------------------------------------------------------------------------------


def test_features_that_hold_the_label_score_100_in_every_probe():
    labels = {"train": np.arange(60) % 6, "val": np.arange(30) % 6}
    metrics = TASK.summarize(rows_of({k: np.eye(6)[v] for k, v in labels.items()}, labels))
    for name in PROBES:
        assert metrics[f"top1[{name}]"] == metrics[f"top5[{name}]"] == 100
    assert metrics["converged[lbfgs]"] == 1 and metrics["dimension"] == 6
    assert metrics["majority"] == pytest.approx(100 / 6)


def test_features_that_are_the_same_for_all_images_get_what_one_class_gets():
    """A perfect blank: the first class is answered always, as the classes are equally frequent."""
    labels = {"train": np.arange(40) % 4, "val": np.arange(20) % 4}
    blank = {k: np.ones((len(v), 3)) for k, v in labels.items()}
    metrics = TASK.summarize(rows_of(blank, labels))
    assert metrics["top1[lbfgs]"] == metrics["top1[knn20]"] == metrics["majority"] == 25
    assert metrics["top1[lars-cached]"] == 25


def test_random_features_are_at_chance():
    rng = np.random.default_rng(0)
    labels = {"train": np.arange(200) % 4, "val": np.arange(400) % 4}
    noise = {k: rng.normal(size=(len(v), 6)) for k, v in labels.items()}
    metrics = TASK.summarize(rows_of(noise, labels))
    error = 100 * math.sqrt(0.25 * 0.75 / 400)
    for name in PROBES:
        assert abs(metrics[f"top1[{name}]"] - 25) < 4 * error


def test_the_order_of_rows_and_the_scale_of_a_feature_do_not_matter():
    rows = drawn()
    metrics = TASK.summarize(rows)
    assert TASK.summarize(rows.sample(frac=1, random_state=1)) == metrics
    scaled = rows.assign(features=[v * np.float32([1000, 1, 1, 1, 1]) for v in rows["features"]])
    again = TASK.summarize(scaled)
    assert again["top1[lbfgs]"] == metrics["top1[lbfgs]"]
    assert again["loss[lbfgs]"] == pytest.approx(metrics["loss[lbfgs]"], abs=1e-4)


def test_the_penalty_is_chosen_without_the_test_images():
    rows = drawn()
    other = rows.assign(
        features=[
            vector[::-1] if split == "val" else vector
            for vector, split in zip(rows["features"], rows["split"], strict=True)
        ]
    )
    facts = [TASK.summarize(every) for every in (rows, other)]
    for name in ("lambda[lbfgs]", "loss[lbfgs]", "base_lr[lars-cached]"):
        assert facts[0][name] == facts[1][name]
    assert facts[0]["top1[lbfgs]"] != facts[1]["top1[lbfgs]"]


def test_intervals_are_those_of_a_share_of_the_test_images():
    """Bootstrap of a proportion: about p +- 1.96 sqrt(p (1 - p) / n)."""
    rows = drawn(val=240, spread=3.0)
    share = TASK.summarize(rows)["top1[lbfgs]"] / 100
    low, high = TASK.intervals(rows, TASK.summarize, resamples=400)["top1[lbfgs]"]
    assert low < 100 * share < high
    assert high - low == pytest.approx(2 * 196 * math.sqrt(share * (1 - share) / 240), rel=0.15)


def test_what_cannot_be_probed_gives_no_number_and_features_must_be_finite():
    rows = drawn()
    assert TASK.summarize(rows[rows["split"] == "train"]) == {}
    assert TASK.intervals(rows[rows["split"] == "train"], TASK.summarize) == {}
    sample = Sample("a", None, {"source": "", "split": "val", "label": "x"}, "a")
    (row,) = TASK.mark([Answer(sample, np.array([1.0, np.nan]))], {})
    assert "finite" in row["unscored"]


def test_vectors_of_different_lengths_are_refused():
    with pytest.raises(UserError, match="different lengths"):
        probe_table.stacked([np.ones(2), np.ones(3)])


# -- folders and runs -----------------------------------------------------------------------------


def write(place) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4)).save(place)


def test_a_folder_in_imagenets_layout_is_one_set(tmp_path, folder_suite):
    for name in ("train/n01/a.JPEG", "train/n02/b.JPEG", "val/n01/c.JPEG"):
        write(tmp_path / name)
    (tmp_path / "train/n01/notes.txt").write_text("no image")
    found = list(TASK.samples(folder_suite()))
    assert [s.id for s in found] == ["train/n01/a.JPEG", "train/n02/b.JPEG", "val/n01/c.JPEG"]
    assert found[2].target == {"source": "", "split": "val", "label": "n01"}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ((), "has no train/"),
        (("train/a/1.png", "val/a/1.png"), "fewer than two"),
        (("train/a/1.png", "train/b/1.png"), "val is missing"),
        (("train/a/1.png", "train/b/1.png", "val/c/1.png"), "class 'c'"),
    ],
)
def test_what_is_wrong_with_a_folder_is_said(tmp_path, folder_suite, files, message):
    for name in files:
        write(tmp_path / name)
    with pytest.raises(UserError, match=message):
        list(TASK.samples(folder_suite()))


CLASSES = [*"0123456789", *SHAPES]


class Embedder(Responder):
    """Knows the class of every image (``sees``), or nothing."""

    name = fingerprint = "embedder"

    def __init__(self, sees: bool) -> None:
        self.sees = sees

    def embed(self, requests):
        names = [r.image.parent.name for r in requests]
        numbers = [CLASSES.index(name) * self.sees for name in names]
        return [np.eye(len(CLASSES), dtype=np.float32)[n] for n in numbers]


@pytest.mark.parametrize("sees", [True, False])
def test_the_mini_suite_gives_100_to_labels_and_chance_to_a_blind_model(mini, tmp_path, sees):
    """Ten digits and six shapes, equally frequent: chance is the mean of 10 % and 1/6."""
    task = replace(TASK, intervals=partial(TASK.intervals, resamples=20))
    job = prepare("linear_probe", task, mini, RunSettings())
    splits = pd.Series([s.target["split"] for s in job.samples]).value_counts()
    assert splits.to_dict() == {"train": 600, "val": 300}
    run = RunFolder(tmp_path)
    with run.locked():
        run.start({"suite": "mini", "seed": 0})
        result = run_job(job, Embedder(sees), mini, run, 64, Progress("linear_probe"))
    assert result is not None and not result.unscored
    assert headline(TASK, result.metrics) == "top1[lbfgs]"
    for name in PROBES:
        expected = 100 if sees else (100 / 10 + 100 / 6) / 2
        assert result.metrics[f"top1[{name}]"] == pytest.approx(expected)
    low, high = result.intervals["top1[lbfgs]"]
    assert low <= result.metrics["top1[lbfgs]"] <= high


def test_a_limit_takes_both_splits_of_whole_classes(mini):
    job = prepare("linear_probe", TASK, mini, RunSettings(limit=64))
    splits = pd.Series([s.target["split"] for s in job.samples]).value_counts()
    assert splits.to_dict() == {"train": 32, "val": 32}


def test_a_head_reads_standardised_features():
    head = Head(np.array([[0.0, 1.0]]), np.array([0.0, 0.0]))
    table = standardised(np.array([[1.0], [3.0]], np.float32), np.array([0, 1]))
    assert probe_table.top1(head, table) == 1.0
    assert probe_table.head_ranks(head, table).tolist() == [0, 0]
