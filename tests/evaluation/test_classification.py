from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
import torch

from dlcli.config.schema import CrossEntropyLoss
from dlcli.evaluation.classification import classification_metrics, per_class_metrics
from dlcli.evaluation.split_interval import wilson_interval
from dlcli.task import Classification

CASES = 40
KINDS = range(6)


def cases(kind: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield distributions and labels of a kind: any, a class missing in truth or predictions, right, wrong, tied."""
    return (make_case(kind, np.random.default_rng((kind, seed))) for seed in range(CASES))


def make_case(kind: int, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    n, k = int(rng.choice([1, 2, 7, 60])), int(rng.choice([2, 3, 4, 6, 11]))
    labels = rng.integers(0, k, n)
    probs = rng.dirichlet(np.full(k, rng.choice([0.1, 1.0, 5.0])), n)
    match kind:
        case 1:
            labels = rng.integers(0, k - 1, n)
        case 2:
            probs[:, 0] = 0
            probs /= probs.sum(1, keepdims=True)
        case 3:
            probs = np.eye(k)[labels]
        case 4:
            probs = np.eye(k)[(labels + 1) % k]
        case 5:
            probs = rng.integers(1, 3, (n, k)).astype(float)
            probs /= probs.sum(1, keepdims=True)
    return torch.tensor(probs), torch.tensor(labels)


def names(k: int) -> list[str]:
    return [f"class {i}" for i in range(k)]


def check_metrics(probs: torch.Tensor, labels: torch.Tensor) -> None:
    metrics = classification_metrics(probs, labels, names(probs.shape[1]))
    p, y, classes = probs.numpy(), labels.numpy(), range(probs.shape[1])
    preds = p.argmax(1)

    assert metrics["accuracy"] == pytest.approx(sklearn.metrics.accuracy_score(y, preds))
    interval = scipy.stats.binomtest(int((preds == y).sum()), len(y)).proportion_ci(method="wilson")
    assert metrics["accuracy_interval"] == pytest.approx([interval.low, interval.high], abs=1e-12)
    assert metrics["log_loss"] == pytest.approx(sklearn.metrics.log_loss(y, p, labels=classes), abs=1e-12)
    one_hot = np.eye(len(classes))[y]
    assert metrics["brier_score"] == pytest.approx(
        sum(((p[i] - one_hot[i]) ** 2).sum() for i in range(len(y))) / len(y)
    )
    entropies = [-sum(q * math.log(q) for q in row if q > 0) for row in p]
    assert metrics["mean_entropy"] == pytest.approx(np.mean(entropies))
    for k, value in metrics["top_k"].items():
        ranks = [sum(row[j] > row[t] or (row[j] == row[t] and j < t) for j in classes) for row, t in zip(p, y)]  # noqa: B905
        assert value == pytest.approx(np.mean([rank < int(k) for rank in ranks]))
        if all(len(set(row)) == len(row) for row in p):
            assert value == pytest.approx(sklearn.metrics.top_k_accuracy_score(y, p, k=int(k), labels=classes))
    assert set(metrics["top_k"]) == {str(k) for k in (2, 3, 5) if k < len(classes)}


def check_per_class_metrics(probs: torch.Tensor, labels: torch.Tensor) -> None:
    metrics = classification_metrics(probs, labels, names(probs.shape[1]))
    y, preds, classes = labels.numpy(), probs.numpy().argmax(1), range(probs.shape[1])
    expected = sklearn.metrics.precision_recall_fscore_support(y, preds, labels=classes, zero_division=np.nan)
    for i, row in enumerate(metrics["per_class"].values()):
        for key, values in zip(("precision", "recall", "f1", "support"), expected, strict=True):
            assert row[key] == pytest.approx(values[i]) if row[key] is not None else np.isnan(values[i])
    for key, values in zip(("precision", "recall", "f1"), expected, strict=False):
        assert metrics[f"macro_{key}"] == pytest.approx(np.nanmean(values))

    counts = sklearn.metrics.confusion_matrix(y, preds, labels=classes)
    confusion = metrics["confusion"]
    assert confusion["counts"] == counts.tolist()
    with np.errstate(invalid="ignore"):
        by_true, by_predicted = counts / counts.sum(1, keepdims=True), counts / counts.sum(0)
    for fractions, expected_fractions in (
        (confusion["predicted_given_true"], by_true),
        (confusion["true_given_predicted"], by_predicted),
    ):
        np.testing.assert_allclose(np.array(fractions, dtype=float), expected_fractions)
    pairs = sorted(-counts[i, j] for i in classes for j in classes if i != j and counts[i, j])[:10]
    assert [-pair["count"] for pair in metrics["most_confused"]] == pairs
    for pair in metrics["most_confused"]:
        i, j = (int(pair[key].split()[1]) for key in ("true", "predicted"))
        assert (pair["count"], pair["share"]) == (counts[i, j], pytest.approx(counts[i, j] / counts[i].sum()))


def check_calibration(probs: torch.Tensor, labels: torch.Tensor) -> None:
    """Naeini et al. (2015): 15 bins (low, high], Σ over bins of n / N |accuracy − confidence|."""
    metrics = classification_metrics(probs, labels, names(probs.shape[1]))
    bins: list[list[tuple[float, bool]]] = [[] for _ in range(15)]
    for row, label in zip(probs.tolist(), labels.tolist(), strict=True):
        index = next(i for i in range(15) if max(row) <= np.linspace(0, 1, 16)[i + 1])
        bins[index].append((max(row), row.index(max(row)) == label))
    ece = 0.0
    for bin_, row in zip(bins, metrics["reliability"], strict=True):
        assert row["examples"] == len(bin_)
        if bin_:
            confidence, accuracy = (float(np.mean([entry[i] for entry in bin_])) for i in (0, 1))
            assert (row["confidence"], row["accuracy"]) == (pytest.approx(confidence), pytest.approx(accuracy))
            assert row["low"] < row["confidence"] <= row["high"] + 1e-12
            ece += len(bin_) / len(labels) * abs(accuracy - confidence)
        else:
            assert row["confidence"] is row["accuracy"] is None
    assert metrics["ece"] == pytest.approx(ece, abs=1e-12)
    assert metrics["reliability"][0]["low"] == 0
    assert metrics["reliability"][-1]["high"] == 1
    assert all(a["high"] == b["low"] for a, b in pairwise(metrics["reliability"]))


@pytest.mark.parametrize("kind", KINDS)
def test_every_metric_matches_scikit_learn_or_its_definition(kind: int) -> None:
    for probs, labels in cases(kind):
        check_metrics(probs, labels)
        check_per_class_metrics(probs, labels)
        check_calibration(probs, labels)


@pytest.mark.parametrize("seed", range(20))
def test_training_metrics_and_full_evaluation_are_bit_identical(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits, k = torch.randn(50, 5, generator=generator) * 3, 5
    labels = torch.randint(k, (50,), generator=generator)
    task = Classification(CrossEntropyLoss(name="cross_entropy"), k)
    expected = task.metrics(task.sums(logits, labels))
    metrics = classification_metrics(task.predictions(logits), labels, names(k))
    assert (metrics["accuracy"], metrics["macro_f1"]) == (expected["accuracy"], expected["macro_f1"])
    assert metrics["log_loss"] == pytest.approx(expected["loss"], rel=1e-5)


def test_most_and_least_certain_examples_are_listed() -> None:
    rows = [[0.5, 0.5, 0.0], [0.0, 1.0, 0.0], [1 / 3, 1 / 3, 1 / 3], [0.1, 0.1, 0.8]]
    probs = torch.tensor(rows, dtype=torch.float64)
    metrics = classification_metrics(probs, torch.tensor([1, 1, 2, 2]), "abc")
    assert [example["index"] for example in metrics["most_certain"]] == [1, 3, 0], "one of each predicted class"
    assert [example["index"] for example in metrics["least_certain"]] == [2, 0, 3, 1]
    assert metrics["least_certain"][1] == {
        "index": 0,
        "pred": "a",
        "label": "b",
        "probability": 0.5,
        "entropy": pytest.approx(math.log(2)),
    }
    assert metrics["most_certain"][0] == {"index": 1, "pred": "b", "label": "b", "probability": 1.0, "entropy": 0.0}


def test_undefined_precision_and_recall_are_none() -> None:
    metrics = per_class_metrics(torch.tensor([[2, 1, 0], [0, 0, 0], [1, 0, 0]]), "abc")
    assert metrics["b"] == {"precision": 0.0, "recall": None, "f1": 0.0, "support": 0}
    assert metrics["c"] == {"precision": None, "recall": 0.0, "f1": 0.0, "support": 1}


def test_wilson_interval_stays_within_0_and_1() -> None:
    for n in (1, 3, 10_000):
        assert wilson_interval(0, n)[0] == 0 < wilson_interval(0, n)[1] < 1
        assert wilson_interval(n, n)[1] == 1 > wilson_interval(n, n)[0] > 0


def test_metrics_of_an_empty_split_are_refused() -> None:
    with pytest.raises(ValueError, match="without examples"):
        classification_metrics(torch.zeros(0, 2).double(), torch.zeros(0).long(), "ab")
