"""Events of training, as immutable records of Python numbers and strings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

FLAT = 0.05  # fraction of an activation's steepest slope; units with a smaller slope pass back almost no gradient

FitEndReason: TypeAlias = Literal["epochs", "early_stopping"]


@dataclass(frozen=True)
class RunStarted:
    """Start of a run.

    Attributes:
        run: Run folder; empty if there is none.
        essentials: Description of data, model and training: (heading, text), in display order.
        notes: Warnings for the user.
        epochs: Largest possible number of epochs.
        steps_per_epoch: Number of optimizer updates per epoch.
        headline: Name of the validation metric to show next to the loss, without its prefix.
    """

    run: str
    essentials: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    epochs: int
    steps_per_epoch: int
    headline: str


@dataclass(frozen=True)
class StepEnded:
    """Progress within an epoch, reported at most a few times per second.

    Attributes:
        epoch: Epoch, counted from 1.
        step: Number of optimizer updates so far, over all epochs.
        train_loss: Mean loss over the examples of this epoch so far.
        examples_per_second: Speed in this epoch so far.
    """

    epoch: int
    step: int
    train_loss: float
    examples_per_second: float


@dataclass(frozen=True)
class LayerTrace:
    """Measurements of a Linear layer and its activation on a fixed batch of training examples.

    Attributes:
        gradient_norm: Euclidean norm of ∂loss/∂weight.
        weight_norm: Euclidean norm of the weight.
        saturated: Fraction of activations with a slope below `FLAT` of the steepest slope; None for the last layer and
            for activations that do not saturate.
    """

    gradient_norm: float
    weight_norm: float
    saturated: float | None


@dataclass(frozen=True)
class Trace:
    """Measurements inside a model at the end of an epoch.

    Attributes:
        layers: Measurements of the layers, first to last.
        paths: Predicted P(class | x) for each example of `followed_examples`; empty unless there are three classes.
    """

    layers: tuple[LayerTrace, ...]
    paths: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class EpochEnded:
    """End of an epoch, after validation.

    Attributes:
        epoch: Epoch, counted from 1.
        step: Number of optimizer updates so far, over all epochs.
        lr: Learning rate of the last step.
        train_loss: Mean loss over the epoch's examples, each computed before the step on its batch.
        val: Validation metrics after the epoch, by their names without prefix; empty without a validation split.
        epoch_seconds: Duration of training and validation.
        examples_per_second: Training speed without validation.
        is_best: Whether the monitored metric is the best so far.
        trace: Measurements inside the model; None after most epochs of a long run.
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
    """End of training.

    Attributes:
        epochs: Number of completed epochs.
        reason: Reason for the end: all epochs are done, or early stopping.
        best_epoch: Epoch with the best monitored metric.
        best_value: Best value of that metric.
    """

    epochs: int
    reason: FitEndReason
    best_epoch: int
    best_value: float


@dataclass(frozen=True)
class GroupStarted:
    """Start of the training of a group of seeds.

    Attributes:
        run: Group folder; empty if there is none.
        essentials: Description of data, model and training: (heading, text), in display order.
        notes: Warnings for the user.
        seeds: Number of seeds.
        epochs: Largest possible number of epochs over all seeds.
        headline: Name of the validation metric to show, without its prefix.
    """

    run: str
    essentials: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    seeds: int
    epochs: int
    headline: str


@dataclass(frozen=True)
class GroupProgress:
    """Progress of a group, reported at most a few times per second.

    Attributes:
        epochs: Number of completed epochs over all seeds.
        ended: Number of seeds whose training has ended, including the diverged ones.
        diverged: Number of seeds that diverged.
        loss: Mean of the newest validation loss, or training loss without a validation split, over the seeds that have
            not diverged; None before the first epoch.
        metric: Mean of the newest headline metric over the same seeds; None without a validation split.
    """

    epochs: int
    ended: int
    diverged: int
    loss: float | None
    metric: float | None


@dataclass(frozen=True)
class GroupEnded:
    """End of the training of a group.

    Attributes:
        progress: Progress at the end.
    """

    progress: GroupProgress


@dataclass(frozen=True)
class SweepStarted:
    """Start of a sweep, or of this process's work on an existing sweep.

    Attributes:
        run: Sweep folder.
        essentials: Description of the search: (heading, text), in display order.
        notes: Warnings for the user.
        trials: Number of trials.
        ended: Number of trials that had ended before.
    """

    run: str
    essentials: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    trials: int
    ended: int


@dataclass(frozen=True)
class TrialEnded:
    """End of a trial of a sweep.

    Attributes:
        number: Number of the trial, from 0.
        state: `finished`, `pruned` or `diverged`.
        metric: Metric of the search, such as `val/accuracy`.
        value: Best value of the metric in this trial; None if the trial diverged in the first epoch.
        epochs: Number of epochs of the trial.
        settings: Settings of the trial, as text.
        is_best: Whether the trial is the best so far.
        ended: Number of trials that have ended.
    """

    number: int
    state: str
    metric: str
    value: float | None
    epochs: int
    settings: str
    is_best: bool
    ended: int


@dataclass(frozen=True)
class SweepEnded:
    """End of a sweep: all trials have ended, or its time is up."""


Event: TypeAlias = (
    RunStarted
    | StepEnded
    | EpochEnded
    | FitEnded
    | GroupStarted
    | GroupProgress
    | GroupEnded
    | SweepStarted
    | TrialEnded
    | SweepEnded
)
