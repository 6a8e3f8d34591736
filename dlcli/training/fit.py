"""The training loop: gradient descent as on the slide, told as a stream of events."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dlcli.config.schema import HIGHER_IS_BETTER, Config
from dlcli.data.splits import Splits
from dlcli.errors import DivergedError
from dlcli.model import count_parameters
from dlcli.task import Task
from dlcli.training.batches import batches_per_span, count_batches, derive_seed, draw_spans
from dlcli.training.evaluation import evaluate_split
from dlcli.training.events import EpochEnded, Event, FitEnded, StepEnded
from dlcli.training.optim import Schedule
from dlcli.training.step import build_step

REPORT_SECONDS = 0.1  # between two looks at the running loss; each waits for the device


@dataclass
class Monitor:
    """The best value of a metric so far, and when it was.

    Attributes:
        metric: Bare name of a validation metric; whether higher or lower is better follows from it.
        min_delta: Least change that counts as better.
    """

    metric: str
    min_delta: float = 0.0
    best_value: float = math.nan
    best_epoch: int = 0

    @classmethod
    def of(cls, monitor: str, min_delta: float = 0.0) -> Monitor:
        """Return a monitor of a setting such as `val/accuracy`."""
        return cls(monitor.removeprefix("val/"), min_delta)

    def update(self, epoch: int, val: Mapping[str, float]) -> bool:
        """Take note of an epoch's metrics; return whether they are the best so far."""
        value = val[self.metric]
        gain = value - self.best_value if self.metric in HIGHER_IS_BETTER else self.best_value - value
        improved = self.best_epoch == 0 or gain > self.min_delta
        if improved:
            self.best_value, self.best_epoch = value, epoch
        return improved


def fit(model: nn.Sequential, task: Task, splits: Splits, config: Config) -> Iterator[Event]:
    """Train `model` in place, and yield what happens while it happens.

    Between two events nothing changes, so that whoever listens can save the model. The test split is not
    looked at. The same arguments give the same parameters, bit for bit, on the same machine.

    Args:
        model: On the device of `splits`.
        task: Loss and metrics.
        splits: What to learn from, and what to validate on.
        config: `optimizer`, `scheduler`, `training`, `early_stopping`, `checkpoint.monitor` and `seed`.

    Raises:
        DivergedError: When the loss is not a finite number; the model is of no use then.
    """
    settings, n = config.training, len(splits.train)
    steps_per_epoch = count_batches(n, settings.batch_size)
    batches = batches_per_span(splits.train, settings.batch_size, count_parameters(model))
    step = build_step(model, task, splits.train, config)
    schedule = Schedule(config.scheduler, settings.epochs, steps_per_epoch)
    best = Monitor.of(config.checkpoint.monitor)
    stopping = Monitor.of(config.early_stopping.monitor, config.early_stopping.min_delta)
    patience = config.early_stopping.patience or math.inf

    for epoch in range(1, settings.epochs + 1):
        start = time.perf_counter()
        torch.manual_seed(derive_seed(config.seed, "dropout", epoch))
        running = _Running(epoch, steps_before=(epoch - 1) * steps_per_epoch)
        for span in draw_spans(splits.train, settings.batch_size, batches, config.seed, epoch):
            examples = n if span is None else len(span)
            steps = range(running.step + 1, running.step + 1 + count_batches(examples, settings.batch_size))
            lrs = [config.optimizer.lr * schedule.factor(one) for one in steps]
            running.add(*step.run(span, lrs), examples, len(steps))
            if running.report_is_due():
                step.update_model()
                yield running.report()
        train_loss, examples_per_second = running.finish()
        step.update_model()

        val = task.metrics(evaluate_split(model, task, splits.val))
        _check_finite(val["loss"], "val/loss", epoch, running.step)
        schedule.epoch_ended(val["loss"])
        yield EpochEnded(
            epoch=epoch,
            step=running.step,
            lr=lrs[-1],
            train_loss=train_loss,
            val=val,
            epoch_seconds=time.perf_counter() - start,
            examples_per_second=examples_per_second,
            is_best=best.update(epoch, val),
        )
        stopping.update(epoch, val)
        if epoch - stopping.best_epoch >= patience:
            break

    yield FitEnded(epoch, "epochs" if epoch == settings.epochs else "early_stopping", best.best_epoch, best.best_value)


class _Running:
    """Loss and speed of the epoch under way; the sums stay on the device."""

    def __init__(self, epoch: int, steps_before: int) -> None:
        self._epoch = epoch
        self.step = steps_before
        self._examples = 0
        self._loss_sum: Tensor | float = 0.0
        self._weight: Tensor | float = 0.0
        self._start = self._last_report = time.perf_counter()

    def add(self, loss_sum: Tensor, weight: Tensor, examples: int, steps: int) -> None:
        self._loss_sum = self._loss_sum + loss_sum
        self._weight = self._weight + weight
        self._examples += examples
        self.step += steps

    def report_is_due(self) -> bool:
        return time.perf_counter() - self._last_report >= REPORT_SECONDS

    def report(self) -> StepEnded:
        """Return a look at the epoch so far; waits for the device."""
        train_loss, examples_per_second = self.finish()
        self._last_report = time.perf_counter()
        return StepEnded(self._epoch, self.step, train_loss, examples_per_second)

    def finish(self) -> tuple[float, float]:
        """Return the mean loss and the examples per second so far; waits for the device."""
        train_loss = float(self._loss_sum) / float(self._weight)
        _check_finite(train_loss, "train/loss", self._epoch, self.step)
        return train_loss, self._examples / (time.perf_counter() - self._start)


def _check_finite(loss: float, name: str, epoch: int, step: int) -> None:
    if not math.isfinite(loss):
        raise DivergedError(
            f"the loss diverged: {name} is {loss} in epoch {epoch}, seen at step {step}",
            hint="a smaller optimizer.lr, or training.gradient_clip_norm=1, keeps updates in bounds",
        )
