from __future__ import annotations

import numpy as np
import pytest
import torch

from dlcli.api import build_experiment
from dlcli.config.load import load_config
from dlcli.config.schema import MseLoss
from dlcli.data.scaling import Scaling
from dlcli.data.splits import Split
from dlcli.errors import DataError, UsageError
from dlcli.evaluation.evaluate import _measure, evaluate_fully, evaluate_model
from dlcli.evaluation.predictions import predict_examples
from dlcli.task import Regression
from dlcli.training import evaluation as training_evaluation
from evaluation.test_baselines import make_run


def test_results_do_not_depend_on_the_batch_size(monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = build_experiment(load_config("digits").config)
    names = experiment.splits.info.class_names
    in_one_batch = evaluate_model(experiment.model, experiment.task, experiment.splits.test, names)
    monkeypatch.setattr(training_evaluation, "BATCH_SIZE", 7)
    in_small_batches = evaluate_model(experiment.model, experiment.task, experiment.splits.test, names)
    assert in_small_batches["per_class"] == in_one_batch["per_class"]
    assert in_small_batches["loss"] == pytest.approx(in_one_batch["loss"], rel=1e-6)


def test_a_split_without_examples_has_no_metrics() -> None:
    experiment = build_experiment(load_config("digits").config)
    with pytest.raises(ValueError, match="without examples"):
        evaluate_model(experiment.model, experiment.task, Split(torch.zeros(0, 64), torch.zeros(0).long()), ())


def test_predictions_are_sorted_distributions_in_the_requested_order() -> None:
    experiment = build_experiment(load_config("digits").config)
    records = predict_examples(
        experiment.model, experiment.task, experiment.splits.test, experiment.splits.info, [5, 0]
    )
    assert [record["index"] for record in records] == [5, 0]
    expected = experiment.model(experiment.splits.test.inputs[5]).softmax(0)
    for record in records:
        probs = list(record["probs"].values())
        assert probs == sorted(probs, reverse=True)
        assert sum(probs) == pytest.approx(1, abs=1e-12)
        assert record["pred"] == next(iter(record["probs"]))
    assert records[0]["probs"]["3"] == pytest.approx(expected[3].item(), rel=1e-5)
    assert records[0]["label"] == str(experiment.splits.test.targets[5].item())


def test_regression_predictions_are_in_the_original_unit() -> None:
    experiment = build_experiment(load_config("diabetes").config)
    (record,) = predict_examples(experiment.model, experiment.task, experiment.splits.test, experiment.splits.info, [3])
    assert 25 <= record["target"] <= 346, "the range of the published targets"
    assert record["target"] == pytest.approx(round(record["target"]), abs=1e-3)


def test_an_index_outside_the_split_is_reported() -> None:
    experiment = build_experiment(load_config("digits").config)
    with pytest.raises(UsageError, match="example 359 does not exist; the split has examples 0 to 358"):
        predict_examples(experiment.model, experiment.task, experiment.splits.test, experiment.splits.info, [0, 359])


def test_the_probability_of_an_event_is_the_sum_over_its_classes() -> None:
    experiment = build_experiment(load_config("digits").config)
    arguments = (experiment.model, experiment.task, experiment.splits.test, experiment.splits.info, [5, 0])
    for event in (["3"], ["1", "7"], ["7", "1", "7", "7"], [str(i) for i in range(10)]):
        for record in predict_examples(*arguments, event):
            assert record["event"]["classes"] == list(dict.fromkeys(event))
            expected = sum(p for name, p in record["probs"].items() if name in event)
            assert record["event"]["probability"] == pytest.approx(expected, abs=1e-15)
            assert record["event"]["probability"] <= 1
    assert all("event" not in record for record in predict_examples(*arguments))
    with pytest.raises(UsageError, match="no class 'ten'"):
        predict_examples(*arguments, ["1", "ten"])
    with pytest.raises(UsageError, match="needs at least one class"):
        predict_examples(*arguments, [])


def test_full_evaluation_contains_the_basic_metrics() -> None:
    for preset in ("digits", "moons", "diabetes"):
        run = make_run(preset)
        basic = evaluate_model(run.model, run.task, run.split, run.info.class_names)
        full = evaluate_fully(run)
        assert {name: full[name] for name in basic} == basic
        assert len(full) > len(basic)


@pytest.mark.parametrize("preset", ["digits", "diabetes"])
def test_outputs_that_are_not_finite_are_refused(preset: str) -> None:
    run = make_run(preset)
    torch.nn.init.constant_(run.model[-1].bias, torch.nan)
    with pytest.raises(DataError, match="the model of here gives outputs that are not finite"):
        evaluate_fully(run)


def test_the_interval_of_the_rmse_covers_it_in_95_percent_of_test_sets() -> None:
    draw, covered, task = np.random.default_rng(0), 0, Regression(MseLoss(name="mse"), Scaling.identity())
    for errors in draw.normal(0, 3, (1000, 300, 1)):
        outputs = [(torch.from_numpy(part), torch.zeros(len(part), 1)) for part in (errors[:100], errors[100:])]
        metrics = _measure(task, outputs, ())
        assert metrics["rmse"] == pytest.approx(np.sqrt(np.square(errors).mean()))
        low, high = metrics["rmse_interval"]
        covered += low <= 3 <= high
    assert 930 <= covered <= 970
    assert "rmse_interval" not in _measure(task, [(torch.ones(1, 1), torch.zeros(1, 1))], ())
