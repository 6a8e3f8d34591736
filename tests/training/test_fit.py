from __future__ import annotations

import itertools
import math

import pytest
import torch

from dlcli.api import build_experiment
from dlcli.config.load import load_config
from dlcli.errors import DivergedError
from dlcli.training import batches
from dlcli.training import fit as fit_module
from dlcli.training.events import EpochEnded, FitEnded, StepEnded
from dlcli.training.fit import Fit
from dlcli.training.state import Monitor


def train(*overrides: str, preset: str = "digits") -> tuple[list[EpochEnded], FitEnded, torch.nn.Sequential]:
    config = load_config(preset, overrides).config
    experiment = build_experiment(config)
    events = list(Fit(experiment.model, experiment.task, experiment.splits, config))
    epochs = [event for event in events if isinstance(event, EpochEnded)]
    assert isinstance(events[-1], FitEnded)
    return epochs, events[-1], experiment.model


def test_epochs_and_steps_count_from_one_and_best_epoch_is_marked() -> None:
    epochs, end, _ = train("training.epochs=6")
    steps = math.ceil(1295 / 64)
    assert [(event.epoch, event.step) for event in epochs] == [(epoch, epoch * steps) for epoch in range(1, 7)]
    losses = [event.val["loss"] for event in epochs]
    assert end == FitEnded(6, "epochs", losses.index(min(losses)) + 1, min(losses))
    assert [event.is_best for event in epochs] == [loss == min(losses[: i + 1]) for i, loss in enumerate(losses)]


def test_train_loss_is_the_mean_over_examples_not_over_batches() -> None:
    """With a negligible learning rate, it equals the loss of the whole split; a shorter last batch counts less."""
    epochs, _, model = train("training.epochs=1", "training.batch_size=1000", "optimizer.lr=1e-12")
    splits = build_experiment(load_config("digits").config).splits
    expected = torch.nn.functional.cross_entropy(model(splits.train.inputs), splits.train.targets).item()
    assert epochs[0].train_loss == pytest.approx(expected, rel=1e-6)


def test_early_stopping_respects_patience() -> None:
    epochs, end, _ = train("training.epochs=100", "early_stopping={patience: 3, min_delta: 0.01}", "optimizer.lr=0.3")
    assert end.reason == "early_stopping"
    best = 0
    for i, event in enumerate(epochs):
        if event.val["loss"] < epochs[best].val["loss"] - 0.01:
            best = i
    assert len(epochs) == best + 1 + 3


def test_without_a_validation_split_train_loss_is_monitored() -> None:
    settings = ["training.epochs=10", "data.val_fraction=0", "scheduler={name: plateau, patience: 0, factor: 0.5}"]
    epochs, end, _ = train(*settings, "optimizer.lr=20")
    losses = [event.train_loss for event in epochs]
    assert all(event.val == {} for event in epochs)
    assert end.best_value == min(losses) == losses[end.best_epoch - 1]
    rose = [losses[i] >= min(losses[:i]) for i in range(1, len(losses))]
    assert any(rose)
    assert [2 * after.lr == before.lr for before, after in itertools.pairwise(epochs)] == [False, *rose[:-1]]
    _, end, _ = train(*settings, "optimizer.lr=5", "early_stopping.patience=1")
    assert (end.reason, end.best_epoch) == ("early_stopping", end.epochs - 1)


def test_monitor_maximises_accuracy_and_minimises_loss() -> None:
    accuracy, loss = Monitor.of("val/accuracy"), Monitor.of("val/loss", min_delta=0.1)
    assert [accuracy.update(i, {"accuracy": value}) for i, value in enumerate((0.5, 0.6, 0.6), 1)] == [
        True,
        True,
        False,
    ]
    assert [loss.update(i, {"loss": value}) for i, value in enumerate((0.5, 0.45, 0.3), 1)] == [True, False, True]
    assert (accuracy.best_epoch, loss.best_epoch, loss.best_value) == (2, 3, 0.3)


def test_first_non_finite_loss_stops_the_run_and_error_names_its_step() -> None:
    for step in ("manual", "eager"):
        with pytest.raises(DivergedError, match=r"train/loss is nan in epoch 1, step 3"):
            train("optimizer.lr=1e18", "model.activation=relu", f"training.step={step}")


def test_frequent_reports_leave_results_bit_identical(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = ("training.epochs=2", "model.dropout=0.3")
    _, _, expected = train(*settings)
    monkeypatch.setattr(fit_module, "REPORT_SECONDS", 0.0)
    monkeypatch.setattr(batches, "MOST_BATCHES", 1)  # report after every step
    config = load_config("digits", settings).config
    experiment = build_experiment(config)
    looks = [
        event
        for event in Fit(experiment.model, experiment.task, experiment.splits, config)
        if isinstance(event, StepEnded)
    ]
    assert [look.step for look in looks] == list(range(1, 43))
    for a, b in zip(experiment.model.parameters(), expected.parameters(), strict=True):
        assert torch.equal(a, b)


def test_heaviside_trains_only_the_last_layer() -> None:
    config = load_config("digits", ["model.activation=heaviside", "training.epochs=1"]).config
    experiment = build_experiment(config)
    before = {name: value.clone() for name, value in experiment.model.state_dict().items()}
    for _ in Fit(experiment.model, experiment.task, experiment.splits, config):
        pass
    changed = {name for name, value in experiment.model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"2.weight", "2.bias"}


@pytest.mark.parametrize("loss", ["{name: mse}", "{name: cross_entropy, label_smoothing: 0.1}"])
def test_every_classification_loss_learns(loss: str) -> None:
    epochs, _, _ = train("training.epochs=15", f"loss={loss}")
    assert epochs[-1].val["accuracy"] > 0.9
    assert epochs[-1].train_loss < epochs[0].train_loss


@pytest.mark.parametrize("loss", ["mse", "l1", "huber"])
def test_every_regression_loss_learns(loss: str) -> None:
    epochs, _, _ = train("training.epochs=30", f"loss.name={loss}", preset="sine_regression")
    assert epochs[-1].val["r2"] > 0.8


def test_bf16_rounds_products_but_keeps_float32_parameters() -> None:
    exact, _, model = train("training.epochs=5", "training.step=eager")
    rounded, _, rounded_model = train("training.epochs=5", "training.precision=bf16")
    assert {parameter.dtype for parameter in rounded_model.parameters()} == {torch.float32}
    assert not torch.equal(rounded_model[0].weight, model[0].weight)
    assert rounded[-1].train_loss == pytest.approx(exact[-1].train_loss, rel=0.05)


def test_overflow_of_the_loss_sum_stops_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    config = load_config("diabetes", ["training.epochs=1", "training.device=cpu", "training.step=eager"]).config
    experiment = build_experiment(config)
    monkeypatch.setattr(type(experiment.task), "loss", lambda self, outputs, targets: (outputs * 0).sum() + 3e38)
    with pytest.raises(DivergedError, match="train/loss is inf in epoch 1, step 9"):
        list(Fit(experiment.model, experiment.task, experiment.splits, config))
