"""How fast training is here, and what the time goes to."""

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
from dlcli.task import build_task
from dlcli.training.arithmetic import choose_arithmetic
from dlcli.training.batches import count_batches, examples_per_batch
from dlcli.training.events import EpochEnded
from dlcli.training.fit import Fit

_ROUND_SECONDS = 0.3  # each round is long enough to be timed well, and short enough that both loops see the same load


@dataclass(frozen=True)
class Workload:
    """Something to train.

    Attributes:
        name: For people.
        config: All settings.
        splits: On the config's device.
    """

    name: str
    config: Config
    splits: Splits


@dataclass(frozen=True)
class Speed:
    """How fast a workload trains; times are medians over the rounds, with the fastest and the slowest.

    Attributes:
        workload: Its name.
        step: How gradients are found; see `training.step`.
        batch_size: Examples per step.
        examples_per_second: In the training loop; validation is not counted.
        microseconds_per_step: (median, least, most).
        product_microseconds: Of a step's matrix products alone, as the step takes them, each by the better number of
            threads.
        against: Name of the loop that took turns with ours, or None.
        against_microseconds_per_step: That loop's (median, least, most).
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
        """Share of a step's time that no program can save: its matrix products."""
        return self.product_microseconds / self.microseconds_per_step[0]

    @property
    def times_as_fast(self) -> float | None:
        """How many times as long the other loop takes."""
        if self.against_microseconds_per_step is None:
            return None
        return self.against_microseconds_per_step[0] / self.microseconds_per_step[0]


@dataclass(frozen=True)
class BenchResult:
    """What `dlcli bench --json` prints.

    Attributes:
        device: What it ran on.
        torch: Version of torch.
        workloads: How fast each trains.
        start_up_seconds: Of each phase from the start of a process to the first look at the loss, in order.
    """

    device: str
    torch: str
    workloads: tuple[Speed, ...]
    start_up_seconds: Mapping[str, float]


def built_in_workloads(device: torch.device) -> list[Workload]:
    """Return an image classifier at two batch sizes, and a regression so small that only overhead counts."""
    return [
        _random_workload("images/64", 60_000, (784, 256, 128, 10), 64, device),
        _random_workload("images/512", 60_000, (784, 256, 128, 10), 512, device),
        _random_workload("tiny/32", 1_000, (1, 64, 64, 1), 32, device),
    ]


def _random_workload(name: str, n: int, sizes: tuple[int, ...], batch_size: int, device: torch.device) -> Workload:
    """Return sigmoid layers of these sizes, plain SGD and random examples."""
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
    some = train.select(torch.arange(100))
    splits = Splits(info, train, some, some, Scaling.identity(), Scaling.identity())
    return Workload(name, config, splits.to(device, torch.float32))


def measure_speed(workload: Workload, *, rounds: int, against: Literal["tutorial"] | None = None) -> Speed:
    """Train for some rounds, in turns with another loop where one is named, and time it.

    Args:
        workload: What to train.
        rounds: How many are counted; one more warms up.
        against: `tutorial`, the loop of PyTorch's tutorials: DataLoader, nn.Module, torch.optim, loss.item().
    """
    config, train = workload.config, workload.splits.train
    loops = {"dlcli": _our_rounds(workload)} | ({against: _tutorial_rounds(workload)} if against else {})
    seconds: dict[str, list[float]] = {name: [] for name in loops}
    for _ in range(rounds + 1):
        for name, loop in loops.items():
            seconds[name].append(next(loop))
    counted = {name: [one * 1e6 for one in values[1:]] for name, values in seconds.items()}
    spread = {name: (statistics.median(values), min(values), max(values)) for name, values in counted.items()}
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


def _our_rounds(workload: Workload) -> Iterator[float]:
    """Yield the seconds per step of `fit`, round after round; a round has one epoch at least."""
    endless = {
        "training": workload.config.training.model_copy(update={"epochs": 10**6}),
        "early_stopping": EarlyStoppingSection(),
    }
    config, splits = workload.config.model_copy(update=endless), workload.splits
    seconds, steps = 0.0, 0
    for event in Fit(_build(workload), build_task(config, splits), splits, config):
        if isinstance(event, EpochEnded):
            seconds += len(splits.train) / event.examples_per_second
            steps += count_batches(len(splits.train), config.training.batch_size)
            if seconds >= _ROUND_SECONDS:
                yield seconds / steps
                seconds, steps = 0.0, 0


def _tutorial_rounds(workload: Workload) -> Iterator[float]:
    """Yield the seconds per step of the loop that tutorials show, round after round."""
    from torch.utils.data import DataLoader, TensorDataset

    config, train = workload.config, workload.splits.train
    model, task = _build(workload), build_task(config, workload.splits)
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
    optimizers = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    settings = config.optimizer.model_dump(exclude={"name"})
    return optimizers[config.optimizer.name](model.parameters(), **settings)
