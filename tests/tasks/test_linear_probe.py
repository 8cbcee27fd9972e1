"""The linear probe against its protocol's worked figures, scikit-learn and cases worked by hand."""

from __future__ import annotations

import math
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from harmon_eval import registry
from harmon_eval.core import Answer, Embed, Sample, UserError
from harmon_eval.instruments.probe.probes import Probes
from harmon_eval.instruments.probing import knn as probe_knn
from harmon_eval.instruments.probing import lars as probe_lars
from harmon_eval.instruments.probing import lbfgs as probe_lbfgs
from harmon_eval.instruments.probing import table as probe_table
from harmon_eval.instruments.probing.knn import knn_ranks
from harmon_eval.instruments.probing.table import Table, hold_out, ranks, standardised
from harmon_eval.metrics.intervals import intervals
from harmon_eval.running.results import headline
from harmon_eval.store.run_folder import RunFolder
from harmon_eval.store.task_folder import TaskFolder
from harmon_eval.tasks.linear_probe.folder import Labelled

TASK = registry.task("linear_probe")
PROBES = ("lbfgs", "lars-cached", "knn20")


def blobs(
    count: int, classes: int = 3, width: int = 5, seed: int = 0, spread: float = 1.5
) -> tuple[Any, ...]:
    """Features and labels of clouds that overlap a little; places of the clouds never change."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(classes, width)) * 2
    labels = np.arange(count) % classes
    return (centres[labels] + spread * rng.normal(size=(count, width))).astype(np.float32), labels


def marked(vectors: dict[str, np.ndarray], folder: Path, seed: int = 0) -> pd.DataFrame:
    """What the runner makes of one run's vectors (by id): stored in any order, then marked."""
    store = TaskFolder(folder / "linear_probe")
    order = np.random.default_rng(seed).permutation(sorted(vectors))
    store.record({str(name): vectors[name] for name in order})
    probes = Probes().bound_to(store.path)
    rows = []
    for name in sorted(vectors):
        image = Labelled.of(name)
        target = {"source": image.source, "split": image.split, "label": image.label}
        group = "/".join(filter(None, (image.source, image.split, image.label, image.name)))
        sample = Sample(name, Embed(folder), target, group, f"{image.label}/{image.split}")
        row = TASK.mark([Answer(sample, vectors[name])], {"probe": probes})[0]
        rows.append({"id": name, "group": group, "stratum": sample.stratum, **row})
    return pd.DataFrame(rows)


def named(features: dict[str, np.ndarray], labels: dict[str, np.ndarray]) -> dict:
    return {
        f"{split}/{label}/{number:05d}.png": np.asarray(vector, np.float32)
        for split in features
        for number, (vector, label) in enumerate(zip(features[split], labels[split], strict=True))
    }


def rows_of(features: Any, labels: Any, folder: Path) -> pd.DataFrame:
    return marked(named(features, labels), folder)


def drawn(train: int = 90, val: int = 60, **options: Any) -> dict[str, np.ndarray]:
    sets = {"train": blobs(train, seed=1, **options), "val": blobs(val, seed=2, **options)}
    return named({k: v[0] for k, v in sets.items()}, {k: v[1] for k, v in sets.items()})


# -- LARS, worked in the protocol's section 4 -----------------------------------------------------


def test_two_steps_of_lars_are_those_worked_by_hand() -> None:
    p = torch.tensor([[3.0, 4.0]], dtype=torch.float64)
    p.grad = torch.tensor([[0.6, 0.8]], dtype=torch.float64)
    lars = probe_lars.Lars([p])
    lars.step(1.0)
    assert p.tolist() == [pytest.approx([2.997, 3.996], abs=1e-9)]
    lars.step(1.0)
    assert p.tolist() == [pytest.approx([2.991303, 3.988404], abs=1e-9)]


def test_lars_leaves_a_bias_without_decay_and_trust_ratio() -> None:
    p = torch.tensor([3.0, 4.0])
    p.grad = torch.tensor([1.0, -1.0])
    probe_lars.Lars([p], weight_decay=0.5).step(0.5)
    assert p.tolist() == [2.5, 4.5]


def test_a_zero_weight_or_a_zero_gradient_has_trust_ratio_one() -> None:
    p = torch.zeros(1, 2)
    p.grad = torch.tensor([[1.0, 2.0]])
    probe_lars.Lars([p]).step(1.0)
    assert p.tolist() == [[-1.0, -2.0]]


@pytest.mark.parametrize(
    ("epoch", "share"), [(0, 0), (5, 0.5), (10, 1), (50, 0.5), (90, 0)], ids=str
)
def test_the_learning_rate_warms_up_and_falls_as_half_a_cosine(epoch: int, share: float) -> None:
    assert probe_lars.learning_rate(epoch, 6.4) == pytest.approx(6.4 * share, abs=1e-12)


# -- the convex probe -----------------------------------------------------------------------------


def test_standardised_features_have_mean_zero_and_the_biased_variance_one() -> None:
    table = standardised(np.array([[1.0, 5.0], [3.0, 5.0]], np.float32), np.array([0, 1]))
    x, _ = table.take(np.arange(2))
    assert x[:, 0] == pytest.approx(np.array([-1, 1]) / math.sqrt(1 + 1e-6))
    assert (x[:, 1] == 0).all()  # a constant feature says nothing


def test_at_zero_the_loss_is_the_logarithm_of_the_number_of_classes() -> None:
    """And the gradient of the biases is 1/K less the share of the class."""
    table = standardised(np.zeros((4, 2), np.float32), np.array([0, 0, 0, 1]))
    loss, gradient = probe_lbfgs.loss_and_gradient(np.zeros(6), table, 2, 0.1)
    assert loss == pytest.approx(math.log(2))
    assert gradient.reshape(3, 2)[-1] == pytest.approx([0.5 - 0.75, 0.5 - 0.25])


def test_one_feature_and_two_classes_give_the_root_of_the_stationarity_equation() -> None:
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


def test_it_is_the_logistic_regression_of_scikit_learn() -> None:
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


def test_chunks_change_the_sum_by_rounding_only(monkeypatch: pytest.MonkeyPatch) -> None:
    table = standardised(*blobs(50))
    flat = np.random.default_rng(0).normal(size=6 * 3)
    whole = probe_lbfgs.loss_and_gradient(flat, table, 3, 1e-3)
    monkeypatch.setattr(probe_table, "CHUNK", 7)
    parts = probe_lbfgs.loss_and_gradient(flat, table, 3, 1e-3)
    assert parts[0] == pytest.approx(whole[0], rel=1e-12)
    assert parts[1] == pytest.approx(whole[1], rel=1e-9, abs=1e-12)


def test_a_table_beyond_memory_is_mapped_and_holds_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    features, _ = blobs(50)
    monkeypatch.setattr(probe_table, "IN_MEMORY", 100)
    monkeypatch.setattr(probe_table, "CHUNK", 16)
    mapped = probe_table.stacked(list(features))
    assert isinstance(mapped, np.memmap)
    assert np.array_equal(mapped, features)


def test_the_hold_out_takes_ten_of_a_class_a_fifth_of_a_small_one_and_none_of_a_single_row() -> (
    None
):
    labels = np.repeat([0, 1, 2, 3], [100, 20, 2, 1])
    kept, held = hold_out(standardised(np.zeros((123, 1), np.float32), labels), 4)
    assert np.bincount(labels[held.rows]).tolist() == [10, 4, 1]
    assert sorted([*kept.rows, *held.rows]) == list(range(123))


def test_equal_logits_are_ranked_by_the_number_of_the_class() -> None:
    logits = np.array([[1.0, 1.0, 0.0]] * 4)
    assert ranks(logits, np.array([0, 1, 2, -1])).tolist() == [0, 1, 2, 3]


# -- k-NN -----------------------------------------------------------------------------------------


def test_nearest_neighbours_vote_by_cosine_and_closeness() -> None:
    """Fewer than 20 training images: all vote. One close voter outweighs two far ones: at cosine 1
    and 0 the weights differ by exp(1 / 0.07), and length does not count."""
    train = raw([[10.0, 0.0], [0.0, 1.0], [0.0, 2.0]], [1, 0, 0])
    for labels, expected in (([1, 0], 0), ([0, 1], 1)):
        found = knn_ranks(train, raw([[0.1, 0.0], [0.0, 9.0]], labels), 2)
        assert found.tolist() == [expected, expected]


def raw(features: Any, labels: Any) -> Table:
    features = np.asarray(features, np.float32)
    return Table(features, np.asarray(labels), np.arange(len(features)), np.zeros(1), np.ones(1))


def test_the_votes_are_those_of_scikit_learn_whatever_the_blocks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    train, test = raw(*blobs(200, seed=3, spread=4)), raw(*blobs(90, seed=4, spread=4))
    peer = KNeighborsClassifier(
        20, weights=lambda d: np.exp(-np.square(d) / 0.14), algorithm="brute"
    ).fit(probe_knn.unit(train.features), train.labels)
    expected = ranks(peer.predict_proba(probe_knn.unit(test.features)), test.labels)
    assert 0 < (expected > 0).mean() < 1
    assert knn_ranks(train, test, 3).tolist() == expected.tolist()
    monkeypatch.setattr(probe_knn, "CHUNK", 17)
    assert knn_ranks(train, test, 3).tolist() == expected.tolist()


def test_of_equal_neighbours_the_first_vote_whatever_the_blocks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    blank = raw(np.ones((60, 2)), np.repeat([0, 1, 2], 20))
    assert (knn_ranks(blank, blank, 3) == blank.labels).all()
    monkeypatch.setattr(probe_knn, "CHUNK", 7)
    assert (knn_ranks(blank, blank, 3) == blank.labels).all()


# -- the whole task -------------------------------------------------------------------------------


def test_features_that_hold_the_label_score_100_in_every_probe(tmp_path: Path) -> None:
    labels = {"train": np.arange(60) % 6, "val": np.arange(30) % 6}
    perfect = {k: np.eye(6)[v] for k, v in labels.items()}
    metrics = TASK.summarize(rows_of(perfect, labels, tmp_path))
    for name in PROBES:
        assert metrics[f"top1[{name}]"] == metrics[f"top5[{name}]"] == 100
    assert metrics["converged[lbfgs]"] == 1 and metrics["dimension"] == 6
    assert metrics["majority"] == pytest.approx(100 / 6)


def test_features_that_are_the_same_for_all_images_get_what_one_class_gets(tmp_path: Path) -> None:
    """A perfect blank: the first class is answered always, as the classes are equally frequent."""
    labels = {"train": np.arange(40) % 4, "val": np.arange(20) % 4}
    blank = {k: np.ones((len(v), 3)) for k, v in labels.items()}
    metrics = TASK.summarize(rows_of(blank, labels, tmp_path))
    assert metrics["top1[lbfgs]"] == metrics["top1[knn20]"] == metrics["majority"] == 25
    assert metrics["top1[lars-cached]"] == 25


def test_random_features_are_at_chance(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = {"train": np.arange(200) % 4, "val": np.arange(400) % 4}
    noise = {k: rng.normal(size=(len(v), 6)) for k, v in labels.items()}
    metrics = TASK.summarize(rows_of(noise, labels, tmp_path))
    error = 100 * math.sqrt(0.25 * 0.75 / 400)
    for name in PROBES:
        assert abs(metrics[f"top1[{name}]"] - 25) < 4 * error


def test_the_order_of_answers_and_the_scale_of_a_feature_do_not_matter(tmp_path: Path) -> None:
    vectors = drawn()
    metrics = TASK.summarize(marked(vectors, tmp_path / "a"))
    assert TASK.summarize(marked(vectors, tmp_path / "b", seed=1)) == metrics
    scaled = {name: v * np.float32([1000, 1, 1, 1, 1]) for name, v in vectors.items()}
    again = TASK.summarize(marked(scaled, tmp_path / "c"))
    assert again["top1[lbfgs]"] == metrics["top1[lbfgs]"]
    assert again["loss[lbfgs]"] == pytest.approx(metrics["loss[lbfgs]"], abs=1e-4)


def test_the_penalty_is_chosen_without_the_test_images(tmp_path: Path) -> None:
    vectors = drawn()
    other = {name: v[::-1] if name.startswith("val") else v for name, v in vectors.items()}
    facts = [TASK.summarize(marked(v, tmp_path / str(i))) for i, v in enumerate((vectors, other))]
    for name in ("lambda[lbfgs]", "loss[lbfgs]", "base_lr[lars-cached]"):
        assert facts[0][name] == facts[1][name]
    assert facts[0]["top1[lbfgs]"] != facts[1]["top1[lbfgs]"]


def test_intervals_are_those_of_a_share_of_the_test_images(tmp_path: Path) -> None:
    """Wilson's interval; the spread between classes is not that of the share."""
    rows = marked(drawn(val=240, spread=3.0), tmp_path)
    share = TASK.summarize(rows)["top1[lbfgs]"] / 100
    low, high = intervals(TASK, rows)["top1[lbfgs]"]
    assert low < 100 * share < high
    assert high - low == pytest.approx(2 * 196 * math.sqrt(share * (1 - share) / 240), rel=0.15)


def test_what_cannot_be_probed_gives_no_number_and_features_must_be_finite(tmp_path: Path) -> None:
    only = {name: v for name, v in drawn().items() if name.startswith("train")}
    rows = marked(only, tmp_path)
    assert TASK.summarize(rows) == {} == intervals(TASK, rows)
    sample = Sample("a", None, {"source": "", "split": "val", "label": "x"}, "a")
    (row,) = TASK.mark([Answer(sample, np.array([1.0, np.nan]))], {})
    assert "finite" in row["unscored"]


def test_parts_of_the_features_are_probed_each_by_itself(tmp_path: Path) -> None:
    """The first part knows nothing, the second the label; the first is what the run is about."""
    labels = {"train": np.arange(60) % 3, "val": np.arange(30) % 3}
    both = {k: np.hstack([np.ones((len(v), 2)), np.eye(3)[v]]) for k, v in labels.items()}
    run = RunFolder(tmp_path)
    parts = {"blind": [0, 2], "seeing": [2, 5]}
    with run.locked():
        run.start({"model": {"settings": {"parts": parts}}, "suite": "mini", "seed": 0})
        metrics = TASK.summarize(rows_of(both, labels, tmp_path))
    assert metrics["top1[lbfgs]"] == pytest.approx(100 / 3) and metrics["dimension"] == 2
    assert metrics["top1[lbfgs]@seeing"] == metrics["top1[knn20]@seeing"] == 100
    assert headline(TASK, metrics) == "top1[lbfgs]"


def test_random_crops_are_views_of_the_same_images_that_lars_alone_sees(tmp_path: Path) -> None:
    """Crops that hold another label than the image spoil the LARS probe and no other."""
    labels = {"train": np.arange(60) % 3, "val": np.arange(30) % 3}
    vectors = named({k: np.eye(3)[v] for k, v in labels.items()}, labels)
    for name in [name for name in vectors if name.startswith("train")]:
        for view in (1, 2):
            crop = f"train+{view}/{name.removeprefix('train/')}"
            vectors[crop] = np.roll(vectors[name], 1)
    metrics = TASK.summarize(marked(vectors, tmp_path))
    assert metrics["top1[lbfgs]"] == metrics["top1[knn20]"] == 100
    assert metrics["top1[lars-cached,2views]"] < 40 and "top1[lars-cached]" not in metrics


def test_marks_are_stale_once_a_training_vector_is_another(tmp_path: Path) -> None:
    store = TaskFolder(tmp_path / "linear_probe")
    before = Probes(store.path).learned_from
    store.record({"train/a/1.png": np.ones(3)})
    known = Probes(store.path).learned_from
    store.record({"train/a/1.png": np.zeros(3)})
    assert len({before, known, Probes(store.path).learned_from}) == 3


def test_memory_does_not_grow_with_the_features(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mapped features eight times as many: what the probes allocate grows by bookkeeping only."""
    for module in (probe_table, probe_knn):
        monkeypatch.setattr(module, "CHUNK", 64)
    monkeypatch.setattr(probe_lars, "EPOCHS", 11)
    monkeypatch.setattr(probe_lbfgs, "ITERATIONS", 3)
    width, peaks = 256, {}
    for count in (500, 4000):
        file = np.memmap(tmp_path / f"{count}.f32", np.float32, "w+", shape=(count, width))
        file[:] = np.random.default_rng(0).normal(size=(count, width))
        table = standardised(np.asarray(file), np.arange(count) % 2)
        tracemalloc.start()
        probe_lbfgs.fit(table, 2, 1e-3)
        probe_lars.fit([table], 2, 1.0, 64)
        knn_ranks(table, table.part(np.arange(64)), 2)
        peaks[count] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peaks[4000] - peaks[500] < 0.1 * 4 * width * 3500


def test_vectors_of_different_lengths_are_refused() -> None:
    with pytest.raises(UserError, match="different lengths"):
        probe_table.stacked([np.ones(2), np.ones(3)])
