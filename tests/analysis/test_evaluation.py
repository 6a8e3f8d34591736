from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics
import torch

from dlcli.analysis.evaluation import evaluate_model, per_class_metrics
from dlcli.analysis.predictions import predict_examples
from dlcli.api import set_up
from dlcli.config.load import load_config
from dlcli.data.splits import Split
from dlcli.errors import UsageError
from dlcli.training import evaluation as training_evaluation


def test_per_class_figures_are_scikit_learn_s() -> None:
    rng = np.random.default_rng(0)
    labels, preds = rng.integers(0, 4, 200), rng.integers(0, 3, 200)  # class 3 is never predicted
    confusion = torch.tensor(sklearn.metrics.confusion_matrix(labels, preds, labels=range(5)))
    found = per_class_metrics(confusion, "abcde")
    expected = sklearn.metrics.precision_recall_fscore_support(labels, preds, labels=range(5), zero_division=np.nan)
    for i, name in enumerate("abcde"):
        for key, values in zip(("precision", "recall", "f1", "support"), expected, strict=True):
            value = found[name][key]
            assert value == pytest.approx(values[i]) if value is not None else np.isnan(values[i])


def test_batch_size_changes_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    setup = set_up(load_config("digits").config)
    names = setup.splits.info.class_names
    whole = evaluate_model(setup.model, setup.task, setup.splits.test, names)
    monkeypatch.setattr(training_evaluation, "BATCH_SIZE", 7)
    parts = evaluate_model(setup.model, setup.task, setup.splits.test, names)
    assert parts["per_class"] == whole["per_class"]
    assert parts["loss"] == pytest.approx(whole["loss"], rel=1e-6)


def test_a_split_without_examples_has_no_metrics() -> None:
    setup = set_up(load_config("digits").config)
    with pytest.raises(ValueError, match="without examples"):
        evaluate_model(setup.model, setup.task, Split(torch.zeros(0, 64), torch.zeros(0).long()), ())


def test_predictions_are_sorted_distributions_in_the_order_asked_for() -> None:
    setup = set_up(load_config("digits").config)
    records = predict_examples(setup.model, setup.task, setup.splits.test, setup.splits.info, [5, 0])
    assert [record["index"] for record in records] == [5, 0]
    expected = setup.model(setup.splits.test.inputs[5]).softmax(0)
    for record in records:
        probs = list(record["probs"].values())
        assert probs == sorted(probs, reverse=True)
        assert sum(probs) == pytest.approx(1, abs=1e-12)
        assert record["pred"] == next(iter(record["probs"]))
    assert records[0]["probs"]["3"] == pytest.approx(expected[3].item(), rel=1e-5)
    assert records[0]["label"] == str(setup.splits.test.targets[5].item())


def test_regression_predictions_are_in_the_target_s_own_unit() -> None:
    setup = set_up(load_config("diabetes").config)
    (record,) = predict_examples(setup.model, setup.task, setup.splits.test, setup.splits.info, [3])
    assert 25 <= record["target"] <= 346, "the range of the published targets"
    assert record["target"] == pytest.approx(round(record["target"]), abs=1e-3)


def test_an_index_outside_the_split_is_named() -> None:
    setup = set_up(load_config("digits").config)
    with pytest.raises(UsageError, match="no example 359; the split has 0 to 358"):
        predict_examples(setup.model, setup.task, setup.splits.test, setup.splits.info, [0, 359])
