"""Time of an epoch with one and with two processes that train one model together.

    python benchmarks/processes.py [--batch-sizes N ...] [--processes N ...] [--rounds N] [--shards N]

The network has the sizes 784-256-128-10 and sigmoid units; the examples are synthetic. Every run is a command
`dlcli train`, and its time that of the fastest epoch after the first one in metrics.jsonl, which excludes the start.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

DATA = "{name: synthetic_classification, pattern: blobs, in_features: 784, n_classes: 10, n_samples: 40960}"
EPOCHS = 4


def main() -> None:
    """Run all settings in turns and print a row for each batch size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch-sizes", type=int, nargs="*", default=[64, 512, 4096])
    parser.add_argument("--processes", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--shards", type=int)
    options = parser.parse_args()
    for batch_size in options.batch_sizes:
        seconds: dict[int, list[float]] = {count: [] for count in options.processes}
        for _ in range(options.rounds):
            for count in options.processes:
                seconds[count].append(time_epoch(batch_size, count, options.shards))
        medians = {count: statistics.median(values) for count, values in seconds.items()}
        first = medians[options.processes[0]]
        cells = [
            f"{count}: {1000 * medians[count]:7.0f} ms, {medians[count] / first:4.2f} "
            f"({min(values) / first:.2f} to {max(values) / first:.2f})"
            for count, values in seconds.items()
        ]
        print(f"batch {batch_size:5}  processes " + "   ".join(cells), flush=True)


def time_epoch(batch_size: int, count: int, shards: int | None) -> float:
    """Return the seconds of the fastest epoch of a run."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "c.yaml").write_text(
            f"data: {DATA}\nmodel: {{hidden_sizes: [256, 128]}}\nplots: never\n"
            f"training: {{epochs: {EPOCHS}, batch_size: {batch_size}, shards: {shards or 'null'}}}\n"
        )
        command = [sys.executable, "-m", "dlcli", "train", "-c", "c.yaml", "--run-dir", "run", "-q"]
        command += ["--processes", str(count)]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        rows = [json.loads(line) for line in Path(folder, "run", "metrics.jsonl").read_text().splitlines()]
    return min(row["epoch_seconds"] for row in rows[1:])


if __name__ == "__main__":
    main()
