"""The training loop: gradient descent as on the slide, told as a stream of events."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from copy import copy

import torch
from torch import Tensor, nn

from dlcli.config.schema import Config
from dlcli.data.splits import Splits
from dlcli.errors import DivergedError
from dlcli.model import count_parameters
from dlcli.task import Task
from dlcli.training.arithmetic import Arithmetic, choose_arithmetic
from dlcli.training.batches import batches_per_span, count_batches, derive_seed, draw_spans
from dlcli.training.evaluation import evaluate_split
from dlcli.training.events import EpochEnded, Event, FitEnded, FitEndReason, StepEnded
from dlcli.training.isolation import RunSettings
from dlcli.training.optim import Schedule
from dlcli.training.progress import Running
from dlcli.training.state import (
    Monitor,
    Position,
    TrainingState,
    restore_generators,
    seed_generators,
)
from dlcli.training.step import build_step
from dlcli.training.trace import Tracer, is_traced

REPORT_SECONDS = 0.1  # between two looks at the running loss; each waits for the device


class Fit:
    """Trains `model` in place; iterating yields what happens while it happens.

    Between two events nothing changes: whoever listens can read the model, or take `state()`. The test split is not
    looked at. The same arguments give the same parameters, bit for bit, on the same machine, and so do a run that
    stops and another that goes on from its state.

    Args:
        model: On the device it trains on.
        task: Loss and metrics.
        splits: What to learn from, and what to validate on.
        config: `optimizer`, `scheduler`, `training`, `early_stopping`, `checkpoint.monitor` and `seed`.
        state: Where an earlier run stopped; its parameters go into `model`.
        arithmetic: What decides the last bits, where `state` does not say; None chooses it by the rule.
        report_seconds: Between two looks within an epoch; 0 looks as often as can be.

    Attributes:
        arithmetic: Fixed for the whole run.
    """

    def __init__(
        self,
        model: nn.Sequential,
        task: Task,
        splits: Splits,
        config: Config,
        state: TrainingState | None = None,
        *,
        arithmetic: Arithmetic | None = None,
        report_seconds: float | None = None,
    ) -> None:
        settings = config.training
        if state is not None:
            model.load_state_dict(dict(state.parameters))
        self._model, self._task, self._splits, self._config = model, task, splits, config
        self._device = next(model.parameters()).device
        given = state.arithmetic if state is not None else arithmetic
        self.arithmetic = given or choose_arithmetic(config, model, len(splits.train))
        self._steps_per_epoch = count_batches(len(splits.train), settings.batch_size)
        self._batches = batches_per_span(splits.train, settings.batch_size, count_parameters(model), self._device)
        self._tracer = Tracer(model, task, splits)
        self._schedule = Schedule(config.scheduler, settings.epochs, self._steps_per_epoch)
        self._best = Monitor.of(config.checkpoint.monitor)
        self._stopping = Monitor.of(config.early_stopping.monitor, config.early_stopping.min_delta)
        self._report_seconds = REPORT_SECONDS if report_seconds is None else report_seconds
        self._epochs = 0  # ended
        self._running = Running(steps_before=0)
        self._settings = RunSettings(self.arithmetic.threads, self._device, tf32=settings.precision == "tf32")
        with self._settings.entered():
            self._step = build_step(model, task, splits.train, config, self.arithmetic)
            self._seed_epoch()
            if state is not None:
                self._restore(state)

    def __iter__(self) -> Iterator[Event]:
        """Train to the end; the last event says why it is the end.

        Raises:
            DivergedError: When the loss is not a finite number; the model is of no use then.
        """
        events = self._train()
        while True:
            with self._settings.entered():
                event = next(events, None)
            if event is None:
                return
            yield event

    def _train(self) -> Iterator[Event]:
        while (reason := self._reason_to_end()) is None:
            start = time.perf_counter()
            yield from self._train_epoch()
            yield self._end_epoch(start)
        assert self._best.best_value is not None, "there is an epoch at least"
        yield FitEnded(self._epochs, reason, self._best.best_epoch, self._best.best_value)

    def _reason_to_end(self) -> FitEndReason | None:
        if self._epochs >= self._config.training.epochs:
            return "epochs"
        patience = self._config.early_stopping.patience or math.inf
        return "early_stopping" if self._epochs - self._stopping.best_epoch >= patience else None

    def _train_epoch(self) -> Iterator[StepEnded]:
        config, epoch, running = self._config, self._epochs + 1, self._running
        train, batch_size = self._splits.train, config.training.batch_size
        if not running.examples:
            self._seed_epoch()
        running.restart_clock()
        for span in draw_spans(train, batch_size, self._batches, config.seed, epoch, done=running.examples):
            examples = len(train) if span is None else len(span)
            steps = range(running.step + 1, running.step + 1 + count_batches(examples, batch_size))
            loss_sum, weight = self._step.run(span, [self._lr(step) for step in steps])
            self._check_span(loss_sum, steps)
            running.add(loss_sum, weight, examples, len(steps))
            if running.seconds_since_report() >= self._report_seconds:
                train_loss, examples_per_second = self._look()
                yield StepEnded(epoch, running.step, train_loss, examples_per_second)

    def _seed_epoch(self) -> None:
        """Seed the generators that dropout draws from in the epoch to come."""
        seed_generators(self._device, derive_seed(self._config.seed, "dropout", self._epochs + 1))

    def _end_epoch(self, start: float) -> EpochEnded:
        """Validate, and move on to the next epoch."""
        running, epoch = self._running, self._epochs + 1
        train_loss, examples_per_second = self._look()
        val = self._task.metrics(evaluate_split(self._model, self._task, self._splits.val))
        self._check_finite(val["loss"], "val/loss", running.step)
        lr = self._lr(running.step)
        self._schedule.epoch_ended(val["loss"])
        self._stopping.update(epoch, val)
        self._epochs, self._running = epoch, Running(steps_before=running.step)
        return EpochEnded(
            epoch=epoch,
            step=running.step,
            lr=lr,
            train_loss=train_loss,
            val=val,
            epoch_seconds=time.perf_counter() - start,
            examples_per_second=examples_per_second,
            is_best=self._best.update(epoch, val),
            trace=self._tracer.look() if is_traced(epoch) else None,
        )

    def _look(self) -> tuple[float, float]:
        """Bring the model up to date; return the epoch's mean loss so far and its examples per second."""
        running = self._running
        train_loss, examples_per_second = running.look()
        self._check_finite(train_loss, "train/loss", running.step)
        self._step.update_model()
        return train_loss, examples_per_second

    def _lr(self, step: int) -> float:
        return self._config.optimizer.lr * self._schedule.factor(step)

    def _check_span(self, loss_sum: Tensor, steps: range) -> None:
        """Stop at the first step whose loss is not finite; a GPU is not waited for, it is asked at the next look."""
        if self._device.type == "cpu" and not math.isfinite(float(loss_sum)):
            losses = zip(steps, self._step.losses().tolist(), strict=True)
            only_the_sum = steps[-1], float(loss_sum)  # of losses near the largest float32
            step, loss = next((pair for pair in losses if not math.isfinite(pair[1])), only_the_sum)
            self._check_finite(loss, "train/loss", step)

    def _check_finite(self, value: float, name: str, step: int) -> None:
        if not math.isfinite(value):
            raise DivergedError(
                f"training diverged: {name} is {value} in epoch {self._epochs + 1}, step {step}",
                hint="a smaller optimizer.lr, or training.gradient_clip_norm=1, keeps updates in bounds",
            )

    @property
    def best_epoch(self) -> int:
        """The epoch whose monitored metric was best so far; 0 before the first has ended."""
        return self._best.best_epoch

    @property
    def position(self) -> Position:
        """How far training has come."""
        return Position(self._epochs, self._running.step, self._running.examples)

    def parameters(self) -> dict[str, Tensor]:
        """Return a copy of the model's parameters, on the CPU, by their names in its state dict.

        Raises:
            DivergedError: If one is not a finite number.
        """
        parameters = {name: _copy(value) for name, value in self._model.state_dict().items()}
        largest = torch._foreach_norm(list(parameters.values()), math.inf)
        for name, norm in zip(parameters, torch.stack(largest).tolist(), strict=True):
            self._check_finite(norm, f"the largest {name}", self._running.step)
        return parameters

    def state(self) -> TrainingState:
        """Return a copy of all that decides how training goes on.

        Raises:
            DivergedError: If a parameter is not a finite number: nothing can go on from there.
        """
        names = [name for name, _ in self._model.named_parameters()]
        generators = dict(self._settings.generators)
        with self._settings.entered():
            return TrainingState(
                position=self.position,
                parameters=self.parameters(),
                optimizer={
                    f"{memory}.{name}": _copy(value)
                    for memory, values in self._step.memory().items()
                    for name, value in zip(names, values, strict=True)
                },
                sums=self._running.sums(),
                generators=generators,
                best=copy(self._best),
                stopping=copy(self._stopping),
                plateau=copy(self._schedule.plateau),
                arithmetic=self.arithmetic,
            )

    def _restore(self, state: TrainingState) -> None:
        """Go on from `state`, whose parameters are in the model already."""
        names = [name for name, _ in self._model.named_parameters()]
        memories = {key.partition(".")[0] for key in state.optimizer}
        memory = {one: [state.optimizer[f"{one}.{name}"] for name in names] for one in memories}
        self._step.remember(memory, state.position.step)
        self._best, self._stopping, self._schedule.plateau = copy(state.best), copy(state.stopping), copy(state.plateau)
        self._epochs = state.position.epochs
        self._running = Running(state.position.step, state.position.examples)
        self._running.restore(state.sums["loss"].to(self._device), state.sums["weight"].to(self._device))
        if state.position.examples:  # within an epoch; at its start the generators are seeded
            restore_generators(state.generators, self._device)


def _copy(value: Tensor) -> Tensor:
    """Return a copy on the CPU that later steps leave alone."""
    return value.detach().to("cpu", copy=True).contiguous()
