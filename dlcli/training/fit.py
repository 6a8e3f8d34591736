"""Training loop as a generator of events.

The parameters are updated in `Step.run`: `EagerStep` in step.py is the lecture's algorithm, and fast/ computes the same
step faster.
"""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator

import torch
from torch import Tensor, nn

from dlcli.config.schema import Config
from dlcli.data.splits import Splits
from dlcli.model import count_parameters
from dlcli.task import Task
from dlcli.training.arithmetic import Arithmetic, choose_arithmetic
from dlcli.training.batches import batches_per_chunk, count_batches, draw_chunks
from dlcli.training.evaluation import evaluate_split
from dlcli.training.events import EpochEnded, Event, FitEnded, StepEnded
from dlcli.training.generators import DropoutGenerators
from dlcli.training.isolation import RunSettings
from dlcli.training.progress import Progress
from dlcli.training.requests import Answer, Chunk, Look, Measured, Training
from dlcli.training.state import Position, TrainingState, name_memories, split_memories
from dlcli.training.step import build_step
from dlcli.training.trace import Tracer, is_traced
from dlcli.training.turns import Turns
from dlcli.training.world import ALONE, World

REPORT_SECONDS = 0.1  # least time between two StepEnded events, because each one waits for the device


class Fit:
    """Training of a model in place; iteration yields training events.

    The model does not change while an event is handled, so a listener can read it or call `state()`. The test split is
    never used. The same arguments give bit-identical parameters on the same machine, even if a run is stopped and
    resumed from its state.

    Args:
        model: Model, on the device to train on.
        task: Loss and metrics.
        splits: Training and validation data.
        config: `optimizer`, `scheduler`, `training`, `early_stopping`, `checkpoint.monitor` and `seed` are used.
        state: State of an interrupted run to resume; its parameters are copied into `model`.
        arithmetic: Step, threads and matrix library, if `state` does not contain them; None selects them by rule.
        report_seconds: Minimum time between two StepEnded events; 0 reports as often as possible.
        generator: Random generator of dropout, on the CPU and for the manual step only, so that trainings can take
            turns within an epoch; None uses torch's default generators.
        world: Processes that train the model together; each needs the same arguments.

    Attributes:
        arithmetic: Step, threads and matrix library, fixed for the whole run.
        step: Steps of the model.
        tracer: Measurements inside the model.
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
        generator: torch.Generator | None = None,
        world: World = ALONE,
    ) -> None:
        settings = config.training
        if state is not None:
            model.load_state_dict(dict(state.parameters))
        self._model, self._task, self._splits, self._config = model, task, splits, config
        self._device = next(model.parameters()).device
        self._tensors = model.state_dict()  # shares the memory of the model
        self._names = [name for name, _ in model.named_parameters()]
        self._world = world
        given = arithmetic if state is None else state.arithmetic
        self.arithmetic = given or choose_arithmetic(config, model, len(splits.train), world)
        self._batches = batches_per_chunk(splits.train, settings.batch_size, count_parameters(model), self._device)
        is_written_out = self.arithmetic.step == "manual" and self._device.type == "cpu"
        self.tracer = Tracer(model, task, splits, is_written_out=is_written_out)
        self._progress = Progress(config, count_batches(len(splits.train), settings.batch_size))
        self._report_seconds = REPORT_SECONDS if report_seconds is None else report_seconds
        # Processes that wait for each other cannot take turns.
        self._turns = Turns(self.arithmetic.threads if world.size == 1 else 1, self._device)
        self._settings = RunSettings(self.arithmetic.threads, self._device, tf32=settings.precision == "tf32")
        self._generators = DropoutGenerators(config.seed, self._settings, self._device, generator)
        with self._settings.entered():
            self.step = build_step(model, task, splits.train, config, self.arithmetic, generator, world)
            self._generators.seed(epoch=1)
            if state is not None:
                self._restore(state)

    def __iter__(self) -> Iterator[Event]:
        """Train to the end; the last event says why training ended.

        Raises:
            DivergedError: If the loss is not finite; the model is useless then.
        """
        training = self.train()
        while True:
            with self._settings.entered(), self._turns.taken():
                item = next(training, None)
                while isinstance(item, (Chunk, Look)):
                    if isinstance(item, Chunk):
                        self._turns.pass_on()
                        item = training.send(self.step.run(item.index, self.lrs(item.steps)))
                    else:
                        item = training.send(self.measure(item))
            if item is None:
                return
            yield item

    def train(self) -> Training:
        """Return the training as a generator of events and requests.

        The caller answers a `Chunk` with the result of `Step.run` and a `Look` with the result of `measure`, and
        applies the torch settings. Iteration over the Fit does all of this.
        """
        while (reason := self._progress.reason_to_end()) is None:
            start = time.perf_counter()
            yield from self._train_epoch()
            yield from self._end_epoch(start)
        best = self._progress.best
        assert best.best_value is not None, "at least one epoch has ended"
        yield FitEnded(self._progress.epochs, reason, best.best_epoch, best.best_value)

    def _train_epoch(self) -> Generator[StepEnded | Chunk, Answer | None, None]:
        config, epoch, running = self._config, self._progress.epochs + 1, self._progress.running
        train, batch_size = self._splits.train, config.training.batch_size
        if not running.examples:
            self._generators.seed(epoch)
        running.restart_clock()
        for chunk in draw_chunks(train, batch_size, self._batches, config.seed, epoch, done=running.examples):
            examples = len(train) if chunk is None else len(chunk)
            steps = range(running.step + 1, running.step + 1 + count_batches(examples, batch_size))
            sums = yield Chunk(chunk, examples, steps)
            assert isinstance(sums, tuple), "the answer to a chunk is its sums"
            loss_sum, weight = sums
            # On a GPU, reading every loss would make the host wait, so `_report` checks instead.
            if self._device.type == "cpu" and not math.isfinite(float(loss_sum)):
                self._progress.check_losses(self.step.losses().tolist(), float(loss_sum), steps)
            running.add(loss_sum, weight, examples, len(steps))
            if running.seconds_since_report() >= self._report_seconds or self._world.stop is not None:
                train_loss, examples_per_second = self._report()
                yield StepEnded(epoch, running.step, train_loss, examples_per_second)

    def _end_epoch(self, start: float) -> Generator[EpochEnded | Look, Answer | None, None]:
        """Validate and start the next epoch."""
        running, epoch = self._progress.running, self._progress.epochs + 1
        train_loss, examples_per_second = self._report()
        measured = yield Look(is_traced(epoch))
        assert isinstance(measured, Measured), "the answer to a look is its measurements"
        val = self._metrics(measured.sums)
        monitored = val or {"loss": train_loss}  # without a validation split, the training loss is monitored
        lr = self._progress.lr(running.step)
        is_best = self._progress.end_epoch(monitored)
        yield EpochEnded(
            epoch=epoch,
            step=running.step,
            lr=lr,
            train_loss=train_loss,
            val=val,
            epoch_seconds=time.perf_counter() - start,
            examples_per_second=examples_per_second,
            is_best=is_best,
            trace=measured.trace,
        )

    def measure(self, look: Look) -> Measured:
        """Return the measurements of the model, which must hold the current parameters."""
        sums = evaluate_split(self._model, self._task, self._splits.val, self._world) if len(self._splits.val) else None
        return Measured(sums, self.tracer.look() if look.is_traced else None)

    def _metrics(self, sums: dict[str, Tensor] | None) -> dict[str, float]:
        """Return the validation metrics; empty without a validation split."""
        if sums is None:
            return {}
        val = self._task.metrics(sums)
        self._progress.check_finite(val["loss"], "val/loss")
        return val

    def _report(self) -> tuple[float, float]:
        """Update the model; return the mean loss of the epoch so far and the examples per second."""
        running = self._progress.running
        train_loss, examples_per_second = running.look()
        self._progress.check_finite(train_loss, "train/loss")
        self.step.update_model()
        return train_loss, examples_per_second

    def lrs(self, steps: range) -> list[float]:
        """Return the learning rates of steps of the current epoch."""
        return [self._progress.lr(step) for step in steps]

    @property
    def best_epoch(self) -> int:
        """Epoch with the best monitored metric so far; 0 before the first epoch has ended."""
        return self._progress.best.best_epoch

    @property
    def position(self) -> Position:
        """Number of completed epochs, steps, and examples of the current epoch."""
        return self._progress.position

    def parameters(self) -> dict[str, Tensor]:
        """Return a copy of the model's parameters and running statistics on the CPU, by their names in its state dict.

        Raises:
            DivergedError: If a parameter is not finite.
        """
        parameters = {name: _copy(value) for name, value in self._tensors.items()}
        floats = {name: value for name, value in parameters.items() if value.is_floating_point()}
        largest = torch._foreach_norm(list(floats.values()), math.inf)
        for name, norm in zip(floats, torch.stack(largest).tolist(), strict=True):
            self._progress.check_finite(norm, f"the largest {name}")
        return parameters

    def state(self) -> TrainingState:
        """Return a copy of everything that is needed to resume.

        Raises:
            DivergedError: If a parameter is not finite; training cannot continue then.
        """
        generators = self._generators.states()
        with self._settings.entered():
            return TrainingState(
                parameters=self.parameters(),
                optimizer={name: _copy(value) for name, value in name_memories(self.step.state(), self._names).items()},
                generators=generators,
                arithmetic=self.arithmetic,
                **self._progress.state(),
            )

    def _restore(self, state: TrainingState) -> None:
        """Restore everything in `state` except the parameters, which the model holds already."""
        self.step.load_state(split_memories(state.optimizer, self._names), state.position.step)
        self._progress.restore(state, self._device)
        if state.position.examples:  # the state is from within an epoch; the start of an epoch seeds the generators
            self._generators.restore(state.generators)


def _copy(value: Tensor) -> Tensor:
    """Return a contiguous copy on the CPU."""
    return value.detach().to("cpu", copy=True).contiguous()
