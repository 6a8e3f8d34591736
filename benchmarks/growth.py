"""Training time and peak memory of dlcli for growing numbers of examples, width, depth and batch size.

    python benchmarks/growth.py

Each row is a separate process. Memory is the peak resident set minus the memory after `import torch`; `data` is the
size of the float32 tensors.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

BASE = {"n": 60_000, "hidden": [256, 128], "batch_size": 64}
GROWTH = {
    "examples": [{"n": n} for n in (6_000, 60_000, 600_000)],
    "width": [{"n": 20_000, "hidden": [width, width]} for width in (64, 256, 1024)],
    "depth": [{"n": 20_000, "hidden": [256] * depth} for depth in (1, 2, 4, 8)],
    "batch size": [{"batch_size": size} for size in (16, 64, 512, 4096)],
}


def peak_kilobytes() -> int:
    """Return the peak resident set of this process (Linux only); getrusage would include that of its parent."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


def measure(n: int, hidden: Sequence[int], batch_size: int) -> dict[str, float]:
    """Measure seconds per epoch (the best epoch) and memory in megabytes in this process."""
    import torch

    before = peak_kilobytes()

    from dlcli.config.schema import Config
    from dlcli.data.make_splits import make_splits
    from dlcli.data.splits import DataInfo, RawData, Split
    from dlcli.model import build_mlp
    from dlcli.task import build_task
    from dlcli.training.events import EpochEnded
    from dlcli.training.fit import Fit

    config = Config.model_validate(
        {
            "data": {"name": "fashion_mnist", "val_fraction": 0.02},
            "model": {"hidden_sizes": tuple(hidden)},
            "training": {"epochs": 4, "batch_size": batch_size},
        }
    )
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (n, 784), dtype=torch.uint8, generator=generator)
    labels = torch.randint(10, (n,), generator=generator)
    info = DataInfo("random", "classification", 784, 10, image_shape=(1, 28, 28))
    train, test = Split(pixels, labels), Split(pixels[:100].clone(), labels[:100])
    del pixels
    parts = [train, test]
    del train, test
    splits = make_splits(RawData(info, parts.pop(0), parts.pop()), config.data, seed=0)
    model = build_mlp(784, 10, config.model, seed=0)
    epochs = [
        e
        for e in Fit(model, build_task(config, info, splits.target_scaling), splits, config)
        if isinstance(e, EpochEnded)
    ]
    peak = peak_kilobytes()
    seconds = min(len(splits.train) / epoch.examples_per_second for epoch in epochs)
    return {"seconds": seconds, "data": n * 784 * 4 / 1e6, "memory": (peak - before) * 1024 / 1e6}


def main() -> None:
    """Print one row per size."""
    if len(sys.argv) > 1:
        print(json.dumps(measure(**json.loads(sys.argv[1]))))
        return
    print("| | | s/epoch | µs/example | data MB | peak MB |\n|---|---|---|---|---|---|")
    for quantity, rows in GROWTH.items():
        for row in rows:
            settings = {**BASE, **row}
            command = [sys.executable, __file__, json.dumps(settings)]
            measured = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
            value = row.get("hidden", row.get("n", row.get("batch_size")))
            per_example = measured["seconds"] / settings["n"] * 1e6
            print(
                f"| {quantity} | {value} | {measured['seconds']:.3f} | {per_example:.2f} "
                f"| {measured['data']:.0f} | {measured['memory']:.0f} |"
            )


if __name__ == "__main__":
    main()
