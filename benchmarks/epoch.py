"""Time an epoch of `fit` beside the loop most users would write: TensorDataset, DataLoader, torch.optim.

    python benchmarks/epoch.py [ROUNDS]

Both train the same network, 784-256-128-10 with sigmoid, cross-entropy and plain SGD, on 60,000 random examples in
batches of 64, in turns within one process. Printed are the median and the range of the rounds.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Iterator

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from dlcli.config.schema import Config, CrossEntropyLoss
from dlcli.data.scaling import Scaling
from dlcli.data.splits import DataInfo, Split, Splits
from dlcli.model import build_mlp
from dlcli.task import Classification
from dlcli.training.events import EpochEnded
from dlcli.training.fit import fit

N, VAL, FEATURES, CLASSES, BATCH_SIZE = 60_000, 100, 784, 10, 64


def make_splits() -> Splits:
    """Return random examples of the size of Fashion-MNIST, and a validation split too small to matter."""
    torch.manual_seed(0)
    train = Split(torch.randn(N, FEATURES), torch.randint(CLASSES, (N,)))
    val = train[torch.arange(VAL)]
    info = DataInfo("random", "classification", FEATURES, CLASSES)
    return Splits(info, train, val, val, Scaling.identity(), Scaling.identity())


def dlcli_epochs(splits: Splits, epochs: int) -> Iterator[float]:
    """Yield the seconds of each epoch of `fit`."""
    config = Config.model_validate(
        {"data": {"name": "fashion_mnist"}, "training": {"epochs": epochs, "batch_size": BATCH_SIZE}}
    )
    model = build_mlp(FEATURES, CLASSES, config.model, seed=0)
    task = Classification(CrossEntropyLoss(name="cross_entropy"), CLASSES)
    for event in fit(model, task, splits, config):
        if isinstance(event, EpochEnded):
            yield event.epoch_seconds


def plain_epochs(splits: Splits, epochs: int) -> Iterator[float]:
    """Yield the seconds of each epoch of the plain loop."""
    loader = DataLoader(TensorDataset(splits.train.inputs, splits.train.targets), BATCH_SIZE, shuffle=True)
    model = nn.Sequential(
        nn.Linear(FEATURES, 256), nn.Sigmoid(), nn.Linear(256, 128), nn.Sigmoid(), nn.Linear(128, CLASSES)
    )
    optimizer, criterion = torch.optim.SGD(model.parameters(), lr=0.1), nn.CrossEntropyLoss()
    for _ in range(epochs):
        start = time.perf_counter()
        total = 0.0
        for inputs, labels in loader:
            loss = criterion(model(inputs), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(inputs)
        yield time.perf_counter() - start


def main() -> None:
    """Run both in turns; the first round warms up and is not counted."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    splits = make_splits()
    seconds: dict[str, list[float]] = {"dlcli": [], "plain loop": []}
    for ours, plain in zip(dlcli_epochs(splits, rounds + 1), plain_epochs(splits, rounds + 1), strict=True):
        seconds["dlcli"].append(ours)
        seconds["plain loop"].append(plain)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {rounds} rounds, seconds an epoch")
    print(f"{'':<11}  median     min     max")
    for name, values in seconds.items():
        counted = values[1:]
        print(f"{name:<11}  {statistics.median(counted):6.3f}  {min(counted):6.3f}  {max(counted):6.3f}")
    ratios = [plain / ours for ours, plain in zip(*seconds.values(), strict=True)][1:]
    print(f"the plain loop takes {statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f}) times as long")


if __name__ == "__main__":
    main()
