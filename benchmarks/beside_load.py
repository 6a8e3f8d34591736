"""Training time alone, two at once, and next to a busy process, for dlcli and a plain loop on tensors in memory.

    python benchmarks/beside_load.py DATA_ROOT [--rounds N]

DATA_ROOT contains FashionMNIST/raw/. Each training is a separate process that reports its time without start-up: two
epochs of 60,000 images in batches of 64. The last column is the time relative to the same training alone. The row
"alone, default spinning" runs dlcli with the default spin count of waiting OpenMP threads.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

BUSY = "while True: pass"
DEFAULT_SPINNING = {"GOMP_SPINCOUNT": "300000"}  # default of libgomp if no more threads than processors run
PLAIN_LOOP = """
import json, sys, time, torch, torchvision
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
root, *hidden = sys.argv[1:]
data = torchvision.datasets.FashionMNIST(root)
loader = DataLoader(TensorDataset(data.data.float().flatten(1) / 255, data.targets), 64, shuffle=True)
sizes = [784, *map(int, hidden)]
layers = [layer for pair in zip(sizes, sizes[1:]) for layer in (nn.Linear(*pair), nn.Sigmoid())]
model = nn.Sequential(*layers, nn.Linear(sizes[-1], 10))
criterion, optimizer = nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), lr=0.1)
start = time.perf_counter()
for _ in range(2):
    for inputs, labels in loader:
        loss = criterion(model(inputs), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
print(json.dumps({"seconds": time.perf_counter() - start}))
"""


def main() -> None:
    """Run all systems alternately and print medians, spread and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_root", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--without-peer", action="store_true", help="time dlcli only: the plain loop takes minutes")
    options = parser.parse_args()
    root = str(options.data_root.resolve())
    print("| network | system | | s | least-most | × alone |\n|---|---|---|---|---|---|")
    for hidden in ([256, 128], [512, 512]):
        commands = {
            "dlcli": [
                *(sys.executable, "-m", "dlcli", "train", "-c", "fashion_mnist", "--json", "-q", f"data.root={root}"),
                *("training.epochs=2", f"model.hidden_sizes={hidden}", "plots=never"),
            ],
        }
        if not options.without_peer:
            commands["plain loop"] = [sys.executable, "-c", PLAIN_LOOP, root, *map(str, hidden)]
        seconds: dict[tuple[str, str], list[float]] = {}
        for _ in range(options.rounds):
            for name, command in commands.items():
                seconds.setdefault((name, "alone"), []).extend(train(command, 1))
                if name == "dlcli":
                    spinning = train(command, 1, variables=DEFAULT_SPINNING)
                    seconds.setdefault((name, "alone, default spinning"), []).extend(spinning)
                seconds.setdefault((name, "two at once"), []).extend(train(command, 2))
                seconds.setdefault((name, "beside a busy process"), []).extend(train(command, 1, busy=1))
        for (name, condition), values in seconds.items():
            median, alone = statistics.median(values), statistics.median(seconds[name, "alone"])
            spread = f"{min(values):.2f}-{max(values):.2f}"
            network = f"784-{'-'.join(map(str, hidden))}-10"
            print(f"| {network} | {name} | {condition} | {median:.2f} | {spread} | {median / alone:.2f} |")


def train(command: list[str], count: int, *, busy: int = 0, variables: Mapping[str, str] | None = None) -> list[float]:
    """Return the training times in seconds of simultaneous trainings, next to busy processes."""
    environment = {**os.environ, **(variables or {})}
    load = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(busy)]
    try:
        with tempfile.TemporaryDirectory() as folder:
            options = {"cwd": folder, "env": environment, "stdout": subprocess.PIPE, "text": True}
            runs = [subprocess.Popen(command, **options) for _ in range(count)]
            return [json.loads(run.communicate()[0])["seconds"] for run in runs]
    finally:
        for process in load:
            process.kill()
            process.wait()


if __name__ == "__main__":
    main()
