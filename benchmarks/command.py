"""Run time of whole commands: one epoch of Fashion-MNIST in batches of 64, and evaluation on the test images.

    python benchmarks/command.py DATA_ROOT [--rounds N]

DATA_ROOT contains FashionMNIST/raw/ in the layout of torchvision. dlcli shows progress and saves a run folder with
checkpoints; the tutorial and Lightning only print. `import torch` alone is also timed.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TUTORIAL = """
import sys, torch, torchvision
from torch import nn
from torch.utils.data import DataLoader
from torchvision.transforms import ToTensor
root = sys.argv[1]
train, test = (torchvision.datasets.FashionMNIST(root, train=one, transform=ToTensor()) for one in (True, False))
model = nn.Sequential(
    nn.Flatten(), nn.Linear(784, 256), nn.Sigmoid(), nn.Linear(256, 128), nn.Sigmoid(), nn.Linear(128, 10))
criterion, optimizer = nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), lr=0.1)
for inputs, labels in DataLoader(train, 64, shuffle=True):
    loss = criterion(model(inputs), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
with torch.no_grad():
    print(sum((model(inputs).argmax(1) == labels).sum().item() for inputs, labels in DataLoader(test, 64)) / len(test))
"""
LIGHTNING = """
import sys, torch, torchvision, lightning as pl
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
def tensors(train):
    data = torchvision.datasets.FashionMNIST(sys.argv[1], train=train)
    return TensorDataset(data.data.float() / 255, data.targets)
class Module(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.model = nn.Sequential(
            nn.Flatten(), nn.Linear(784, 256), nn.Sigmoid(), nn.Linear(256, 128), nn.Sigmoid(), nn.Linear(128, 10))
        self.criterion = nn.CrossEntropyLoss()
    def training_step(self, batch, index): return self.criterion(self.model(batch[0]), batch[1])
    def test_step(self, batch, index): self.log("accuracy", (self.model(batch[0]).argmax(1) == batch[1]).float().mean())
    def configure_optimizers(self): return torch.optim.SGD(self.parameters(), lr=0.1)
trainer, module = pl.Trainer(max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False), Module()
trainer.fit(module, DataLoader(tensors(True), 64, shuffle=True))
trainer.test(module, DataLoader(tensors(False), 64))
"""


def main() -> None:
    """Run all commands alternately and print medians, spread and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_root", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    root = str(options.data_root.resolve())
    settings = [
        *("training.epochs=1", "training.batch_size=64", "model.hidden_sizes=[256, 128]", "model.init=default"),
        *("optimizer.lr=0.1", "scheduler.name=none", f"data.root={root}"),
    ]
    commands = {
        "import torch": [sys.executable, "-c", "import torch"],
        "dlcli train --eval": [sys.executable, "-m", "dlcli", "train", "-c", "fashion_mnist", "--eval", *settings],
        "torchvision tutorial": [sys.executable, "-c", TUTORIAL, root],
        "Lightning": [sys.executable, "-c", LIGHTNING, root],
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(options.rounds):
            for name, command in commands.items():
                start = time.perf_counter()
                completed = subprocess.run(command, cwd=folder, capture_output=True, text=True)
                seconds[name].append(time.perf_counter() - start)
                if completed.returncode != 0:
                    sys.exit(f"{name}: {completed.stderr}")
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    print("| whole process | s | least-most | × dlcli |\n|---|---|---|---|")
    for name, values in seconds.items():
        ratio = medians[name] / medians["dlcli train --eval"]
        print(f"| {name} | {medians[name]:.2f} | {min(values):.2f}-{max(values):.2f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
