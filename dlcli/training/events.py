"""What training tells: frozen, plain scalars, the same for every listener."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

FitEndReason: TypeAlias = Literal["epochs", "early_stopping"]


@dataclass(frozen=True)
class RunStarted:
    """Said before training, by whoever set it up.

    Attributes:
        run: The run's folder, empty where there is none.
        essentials: What will be trained, on what and how: (heading, text), in the order to be shown.
        notes: What the user should know before waiting for it.
        epochs: At most.
        steps_per_epoch: Optimizer updates in an epoch.
        headline: Bare name of the validation metric to show beside the loss.
    """

    run: str
    essentials: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    epochs: int
    steps_per_epoch: int
    headline: str


@dataclass(frozen=True)
class StepEnded:
    """A look into a running epoch, a few times a second at most.

    Attributes:
        epoch: Counted from 1.
        step: Optimizer updates so far, over all epochs.
        train_loss: Mean over the examples of this epoch so far.
        examples_per_second: In this epoch so far.
    """

    epoch: int
    step: int
    train_loss: float
    examples_per_second: float


@dataclass(frozen=True)
class LayerTrace:
    """One Linear layer, and the activation behind it, on a fixed batch of training examples.

    Attributes:
        gradient_norm: Euclidean norm of ∂loss/∂weight.
        weight_norm: Euclidean norm of the weight.
        saturated: Share of the activation's values where its slope is under a twentieth of the steepest; None for the
            last layer and for activations that do not saturate.
    """

    gradient_norm: float
    weight_norm: float
    saturated: float | None


@dataclass(frozen=True)
class Trace:
    """What is to be seen inside a model.

    Attributes:
        layers: From the first to the last.
        paths: P(class | x) of the followed examples, see `followed_examples`; empty but for three classes.
    """

    layers: tuple[LayerTrace, ...]
    paths: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class EpochEnded:
    """One pass over train, and what validation says after it.

    Attributes:
        epoch: Counted from 1.
        step: Optimizer updates so far, over all epochs.
        lr: Learning rate of the last step.
        train_loss: Mean over the epoch's examples, each measured when its batch was taken.
        val: Metrics of the validation split by their bare names, after the epoch.
        epoch_seconds: Training and validation.
        examples_per_second: Training alone.
        is_best: Whether the monitored metric has never been better.
        trace: What is to be seen inside the model; None after most of many epochs.
    """

    epoch: int
    step: int
    lr: float
    train_loss: float
    val: Mapping[str, float]
    epoch_seconds: float
    examples_per_second: float
    is_best: bool
    trace: Trace | None = None


@dataclass(frozen=True)
class FitEnded:
    """The last event.

    Attributes:
        epochs: How many were done.
        reason: Whether all epochs were done, or early stopping found no more improvement.
        best_epoch: The epoch whose monitored metric was best.
        best_value: That metric's value.
    """

    epochs: int
    reason: FitEndReason
    best_epoch: int
    best_value: float


Event: TypeAlias = RunStarted | StepEnded | EpochEnded | FitEnded
