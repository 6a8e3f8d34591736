from __future__ import annotations

import pytest
import torch

from dlcli.api import set_up
from dlcli.config.load import load_config
from dlcli.data.splits import Split
from dlcli.errors import DataError, UsageError
from dlcli.evaluation.metrics import evaluate_in_full, evaluate_model
from dlcli.evaluation.predictions import predict_examples
from dlcli.runs.trained_run import TrainedRun
from dlcli.training import evaluation as training_evaluation


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


def test_an_event_has_the_probability_of_its_classes_together() -> None:
    setup = set_up(load_config("digits").config)
    arguments = (setup.model, setup.task, setup.splits.test, setup.splits.info, [5, 0])
    for event in (["3"], ["1", "7"], ["7", "1", "7", "7"], [str(i) for i in range(10)]):
        for record in predict_examples(*arguments, event):
            assert record["event"]["classes"] == list(dict.fromkeys(event))
            expected = sum(p for name, p in record["probs"].items() if name in event)
            assert record["event"]["probability"] == pytest.approx(expected, abs=1e-15)
            assert record["event"]["probability"] <= 1
    assert all("event" not in record for record in predict_examples(*arguments))
    with pytest.raises(UsageError, match="no class 'ten'"):
        predict_examples(*arguments, ["1", "ten"])
    with pytest.raises(UsageError, match="needs a class"):
        predict_examples(*arguments, [])


def make_run(preset: str, *overrides: str) -> TrainedRun:
    """Return a run that has not been trained."""
    setup = set_up(load_config(preset, overrides).config)
    return TrainedRun(
        "here", setup.config, (), {}, setup.splits, setup.model, setup.task, 1, "finished", split_name="test"
    )


def test_the_full_measure_holds_the_light_one() -> None:
    for preset in ("digits", "moons", "diabetes"):
        run = make_run(preset)
        light = evaluate_model(run.model, run.task, run.split, run.info.class_names)
        full = evaluate_in_full(run)
        assert {name: full[name] for name in light} == light
        assert len(full) > len(light)


@pytest.mark.parametrize("preset", ["digits", "diabetes"])
def test_outputs_that_are_no_numbers_are_refused(preset: str) -> None:
    run = make_run(preset)
    torch.nn.init.constant_(run.model[-1].bias, torch.nan)
    with pytest.raises(DataError, match="the model of here gives outputs that are not finite"):
        evaluate_in_full(run)
