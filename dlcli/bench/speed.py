"""Training speed on this machine, and the fraction of it spent in matrix products."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from dlcli.bench.matmul_floor import product_seconds
from dlcli.config.schema import Config, EarlyStoppingSection
from dlcli.data.scaling import Scaling
from dlcli.data.splits import DataInfo, Split, Splits
from dlcli.model import build_mlp
from dlcli.task import Task, build_task
from dlcli.training.arithmetic import choose_arithmetic
from dlcli.training.batches import count_batches, examples_per_batch
from dlcli.training.events import EpochEnded
from dlcli.training.fit import Fit

_ROUND_SECONDS = 0.3  # long enough for precise timing, short enough that both loops run under the same load


@dataclass(frozen=True)
class Workload:
    """Config and data to train with.

    Attributes:
        name: Name for display.
        config: Config of the training.
        splits: Data on the config's device.
    """

    name: str
    config: Config
    splits: Splits


@dataclass(frozen=True)
class Speed:
    """Training speed of a workload; times are medians over the rounds, with minimum and maximum.

    Attributes:
        workload: Name of the workload.
        step: Implementation of the training step, see `training.step`.
        batch_size: Number of examples per step.
        examples_per_second: Throughput of the training loop, without validation.
        microseconds_per_step: (median, minimum, maximum).
        product_microseconds: Time of a step's matrix products alone, each with the faster number of threads (one or all
            cores).
        against: Name of the other loop, timed alternately with dlcli's; None without one.
        against_microseconds_per_step: (median, minimum, maximum) of the other loop.
    """

    workload: str
    step: str
    batch_size: int
    examples_per_second: float
    microseconds_per_step: tuple[float, float, float]
    product_microseconds: float
    against: str | None = None
    against_microseconds_per_step: tuple[float, float, float] | None = None

    @property
    def product_share(self) -> float:
        """Fraction of a step's time spent in matrix products, which no implementation can avoid."""
        return self.product_microseconds / self.microseconds_per_step[0]

    @property
    def times_as_fast(self) -> float | None:
        """Time per step of the other loop divided by dlcli's."""
        if self.against_microseconds_per_step is None:
            return None
        return self.against_microseconds_per_step[0] / self.microseconds_per_step[0]


@dataclass(frozen=True)
class BenchResult:
    """Result of a benchmark, printed by `dlcli bench --json`.

    Attributes:
        device: Device of the benchmark.
        torch: Version of torch.
        workloads: Training speed of each workload.
        start_up_seconds: Seconds per phase from the start of a process to the first evaluation of the loss, in order.
    """

    device: str
    torch: str
    workloads: tuple[Speed, ...]
    start_up_seconds: Mapping[str, float]


def built_in_workloads(device: torch.device) -> list[Workload]:
    """Return workloads: an image classifier with two batch sizes, and a regression so small that overhead dominates."""
    return [
        _random_workload("images/64", 60_000, (784, 256, 128, 10), 64, device),
        _random_workload("images/512", 60_000, (784, 256, 128, 10), 512, device),
        _random_workload("tiny/32", 1_000, (1, 64, 64, 1), 32, device),
    ]


def _random_workload(name: str, n: int, sizes: tuple[int, ...], batch_size: int, device: torch.device) -> Workload:
    """Return a workload with sigmoid layers of these sizes, plain SGD and random examples."""
    generator = torch.Generator().manual_seed(0)
    is_regression = sizes[-1] == 1
    if is_regression:
        inputs = torch.rand(n, sizes[0], generator=generator)
        train = Split(inputs, torch.sin(6 * inputs))
    else:
        pixels = torch.randint(256, (n, sizes[0]), dtype=torch.uint8, generator=generator)
        train = Split(pixels, torch.randint(sizes[-1], (n,), generator=generator), Scaling.from_bytes())
    task: Literal["regression", "classification"] = "regression" if is_regression else "classification"
    config = Config.model_validate(
        {
            "task": task,
            "data": {"name": "synthetic_regression" if is_regression else "fashion_mnist"},
            "model": {"hidden_sizes": sizes[1:-1]},
            "training": {"batch_size": batch_size, "device": str(device)},
        }
    )
    info = DataInfo("random", task, sizes[0], sizes[-1])
    sample = train.select(torch.arange(100))
    splits = Splits(info, train, sample, sample, Scaling.identity(), Scaling.identity())
    return Workload(name, config, splits.to(device, torch.float32))


def measure_speed(workload: Workload, *, rounds: int, against: Literal["tutorial"] | None = None) -> Speed:
    """Measure the training speed, alternately with another loop if `against` is given.

    Args:
        workload: Config and data to train with.
        rounds: Number of timed rounds, after one warm-up round.
        against: `tutorial`, the loop of PyTorch's tutorials: DataLoader, nn.Module, torch.optim, loss.item().
    """
    config, train = workload.config, workload.splits.train
    loops = {"dlcli": _dlcli_rounds(workload)} | ({against: _tutorial_rounds(workload)} if against else {})
    seconds: dict[str, list[float]] = {name: [] for name in loops}
    for _ in range(rounds + 1):
        for name, loop in loops.items():
            seconds[name].append(next(loop))
    microseconds = {name: [value * 1e6 for value in values[1:]] for name, values in seconds.items()}
    spread = {name: (statistics.median(values), min(values), max(values)) for name, values in microseconds.items()}
    batch_size = min(len(train), examples_per_batch(len(train), config.training.batch_size))
    steps = count_batches(len(train), config.training.batch_size)
    model = _build(workload)
    return Speed(
        workload=workload.name,
        step=choose_arithmetic(config, model, len(train)).step,
        batch_size=batch_size,
        examples_per_second=len(train) / steps / spread["dlcli"][0] * 1e6,
        microseconds_per_step=spread["dlcli"],
        product_microseconds=product_seconds(model, batch_size) * 1e6,
        against=against,
        against_microseconds_per_step=spread.get(str(against)),
    )


def _build(workload: Workload) -> nn.Sequential:
    info, train, config = workload.splits.info, workload.splits.train, workload.config
    model = build_mlp(info.in_features, info.out_features, config.model, seed=config.seed, dtype=train.dtype)
    return model.to(train.device)


def _task(workload: Workload) -> Task:
    splits = workload.splits
    return build_task(workload.config, splits.info, splits.target_scaling, splits.train.targets)


def _dlcli_rounds(workload: Workload) -> Iterator[float]:
    """Yield the seconds per step of `fit` for each round; a round has at least one epoch."""
    endless = {
        "training": workload.config.training.model_copy(update={"epochs": 10**6}),
        "early_stopping": EarlyStoppingSection(),
    }
    config, splits = workload.config.model_copy(update=endless), workload.splits
    seconds, steps = 0.0, 0
    for event in Fit(_build(workload), _task(workload), splits, config):
        if isinstance(event, EpochEnded):
            seconds += len(splits.train) / event.examples_per_second
            steps += count_batches(len(splits.train), config.training.batch_size)
            if seconds >= _ROUND_SECONDS:
                yield seconds / steps
                seconds, steps = 0.0, 0


def _tutorial_rounds(workload: Workload) -> Iterator[float]:
    """Yield the seconds per step of the tutorials' training loop for each round."""
    from torch.utils.data import DataLoader, TensorDataset

    config, train = workload.config, workload.splits.train
    model, task = _build(workload), _task(workload)
    batch_size = examples_per_batch(len(train), config.training.batch_size)
    loader = DataLoader(TensorDataset(train.inputs.cpu(), train.targets.cpu()), batch_size, shuffle=True)
    optimizer = _torch_optimizer(model, config)
    while True:
        start, steps = time.perf_counter(), 0
        while time.perf_counter() - start < _ROUND_SECONDS:
            total = 0.0
            for inputs, targets in loader:
                inputs, targets = inputs.to(train.device), targets.to(train.device)
                loss = task.loss(model(inputs), targets)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total += loss.item() * len(inputs)
                steps += 1
        yield (time.perf_counter() - start) / steps


def _torch_optimizer(model: nn.Module, config: Config) -> torch.optim.Optimizer:
    optimizers: dict[str, Callable[..., torch.optim.Optimizer]]
    optimizers = {
        "sgd": torch.optim.SGD,
        "adam": torch.optim.Adam,
        "adamw": torch.optim.AdamW,
        "rmsprop": torch.optim.RMSprop,
    }
    settings = config.optimizer.model_dump(exclude={"name"})
    return optimizers[config.optimizer.name](model.parameters(), **settings)
