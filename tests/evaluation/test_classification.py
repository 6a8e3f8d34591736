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
from dlcli.evaluation.classification import classification_metrics, per_class_metrics, wilson_interval
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


def check_figures(probs: torch.Tensor, labels: torch.Tensor) -> None:
    found = classification_metrics(probs, labels, names(probs.shape[1]))
    p, y, classes = probs.numpy(), labels.numpy(), range(probs.shape[1])
    preds = p.argmax(1)

    assert found["accuracy"] == pytest.approx(sklearn.metrics.accuracy_score(y, preds))
    interval = scipy.stats.binomtest(int((preds == y).sum()), len(y)).proportion_ci(method="wilson")
    assert found["accuracy_interval"] == pytest.approx([interval.low, interval.high], abs=1e-12)
    assert found["log_loss"] == pytest.approx(sklearn.metrics.log_loss(y, p, labels=classes), abs=1e-12)
    one_hot = np.eye(len(classes))[y]
    assert found["brier_score"] == pytest.approx(sum(((p[i] - one_hot[i]) ** 2).sum() for i in range(len(y))) / len(y))
    entropies = [-sum(one * math.log(one) for one in row if one > 0) for row in p]
    assert found["mean_entropy"] == pytest.approx(np.mean(entropies))
    for k, value in found["top_k"].items():
        ranks = [sum(row[j] > row[t] or (row[j] == row[t] and j < t) for j in classes) for row, t in zip(p, y)]  # noqa: B905
        assert value == pytest.approx(np.mean([rank < int(k) for rank in ranks]))
        if all(len(set(row)) == len(row) for row in p):
            assert value == pytest.approx(sklearn.metrics.top_k_accuracy_score(y, p, k=int(k), labels=classes))
    assert set(found["top_k"]) == {str(k) for k in (2, 3, 5) if k < len(classes)}


def check_figures_by_class(probs: torch.Tensor, labels: torch.Tensor) -> None:
    found = classification_metrics(probs, labels, names(probs.shape[1]))
    y, preds, classes = labels.numpy(), probs.numpy().argmax(1), range(probs.shape[1])
    expected = sklearn.metrics.precision_recall_fscore_support(y, preds, labels=classes, zero_division=np.nan)
    for i, one in enumerate(found["per_class"].values()):
        for key, values in zip(("precision", "recall", "f1", "support"), expected, strict=True):
            assert one[key] == pytest.approx(values[i]) if one[key] is not None else np.isnan(values[i])
    for key, values in zip(("precision", "recall", "f1"), expected, strict=False):
        assert found[f"macro_{key}"] == pytest.approx(np.nanmean(values))

    counts = sklearn.metrics.confusion_matrix(y, preds, labels=classes)
    confusion = found["confusion"]
    assert confusion["counts"] == counts.tolist()
    with np.errstate(invalid="ignore"):
        by_true, by_predicted = counts / counts.sum(1, keepdims=True), counts / counts.sum(0)
    for shares, wanted in (
        (confusion["predicted_given_true"], by_true),
        (confusion["true_given_predicted"], by_predicted),
    ):
        np.testing.assert_allclose(np.array(shares, dtype=float), wanted)
    pairs = sorted(-counts[i, j] for i in classes for j in classes if i != j and counts[i, j])[:10]
    assert [-one["count"] for one in found["most_confused"]] == pairs
    for one in found["most_confused"]:
        i, j = (int(one[key].split()[1]) for key in ("true", "predicted"))
        assert (one["count"], one["share"]) == (counts[i, j], pytest.approx(counts[i, j] / counts[i].sum()))


def check_calibration(probs: torch.Tensor, labels: torch.Tensor) -> None:
    """Naeini et al. (2015): 15 bins (low, high], Σ over bins of n / N |accuracy − confidence|."""
    found = classification_metrics(probs, labels, names(probs.shape[1]))
    bins: list[list[tuple[float, bool]]] = [[] for _ in range(15)]
    for row, label in zip(probs.tolist(), labels.tolist(), strict=True):
        where = next(i for i in range(15) if max(row) <= np.linspace(0, 1, 16)[i + 1])
        bins[where].append((max(row), row.index(max(row)) == label))
    ece = 0.0
    for bin_, one in zip(bins, found["reliability"], strict=True):
        assert one["examples"] == len(bin_)
        if bin_:
            sure, right = (float(np.mean([entry[i] for entry in bin_])) for i in (0, 1))
            assert (one["confidence"], one["accuracy"]) == (pytest.approx(sure), pytest.approx(right))
            assert one["low"] < one["confidence"] <= one["high"] + 1e-12
            ece += len(bin_) / len(labels) * abs(right - sure)
        else:
            assert one["confidence"] is one["accuracy"] is None
    assert found["ece"] == pytest.approx(ece, abs=1e-12)
    assert found["reliability"][0]["low"] == 0
    assert found["reliability"][-1]["high"] == 1
    assert all(a["high"] == b["low"] for a, b in pairwise(found["reliability"]))


@pytest.mark.parametrize("kind", KINDS)
def test_every_figure_is_scikit_learn_s_or_its_definition_written_out(kind: int) -> None:
    for probs, labels in cases(kind):
        check_figures(probs, labels)
        check_figures_by_class(probs, labels)
        check_calibration(probs, labels)


@pytest.mark.parametrize("seed", range(20))
def test_task_and_full_measure_agree_to_the_last_bit(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits, k = torch.randn(50, 5, generator=generator) * 3, 5
    labels = torch.randint(k, (50,), generator=generator)
    task = Classification(CrossEntropyLoss(name="cross_entropy"), k)
    expected = task.metrics(task.sums(logits, labels))
    found = classification_metrics(task.predictions(logits), labels, names(k))
    assert (found["accuracy"], found["macro_f1"]) == (expected["accuracy"], expected["macro_f1"])
    assert found["log_loss"] == pytest.approx(expected["loss"], rel=1e-5)


def test_certain_and_uncertain_examples_are_found_and_named() -> None:
    rows = [[0.5, 0.5, 0.0], [0.0, 1.0, 0.0], [1 / 3, 1 / 3, 1 / 3], [0.1, 0.1, 0.8]]
    probs = torch.tensor(rows, dtype=torch.float64)
    found = classification_metrics(probs, torch.tensor([1, 1, 2, 2]), "abc")
    assert [one["index"] for one in found["most_certain"]] == [1, 3, 0, 2]
    assert [one["index"] for one in found["least_certain"]] == [2, 0, 3, 1]
    assert found["least_certain"][1] == {
        "index": 0,
        "pred": "a",
        "label": "b",
        "probability": 0.5,
        "entropy": pytest.approx(math.log(2)),
    }
    assert found["most_certain"][0] == {"index": 1, "pred": "b", "label": "b", "probability": 1.0, "entropy": 0.0}


def test_what_has_no_share_has_none() -> None:
    found = per_class_metrics(torch.tensor([[2, 1, 0], [0, 0, 0], [1, 0, 0]]), "abc")
    assert found["b"] == {"precision": 0.0, "recall": None, "f1": 0.0, "support": 0}
    assert found["c"] == {"precision": None, "recall": 0.0, "f1": 0.0, "support": 1}


def test_a_share_of_all_or_nothing_has_an_interval_within_0_and_1() -> None:
    for n in (1, 3, 10_000):
        assert wilson_interval(0, n)[0] == 0 < wilson_interval(0, n)[1] < 1
        assert wilson_interval(n, n)[1] == 1 > wilson_interval(n, n)[0] > 0


def test_no_examples_have_no_metrics() -> None:
    with pytest.raises(ValueError, match="without examples"):
        classification_metrics(torch.zeros(0, 2).double(), torch.zeros(0).long(), "ab")
