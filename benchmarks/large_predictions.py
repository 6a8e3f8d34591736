"""Time and memory of predictions for large CSV files, next to polars reading and writing the same columns.

    python benchmarks/large_predictions.py [--rows N ...] [--columns N] [--rounds N]

Trains on 10,000 rows of 46 columns of floats, 2 of integers and 2 of categories, and writes new tables into a temporary
folder. Each round runs `polars.read_csv` with `write_csv`, and `dlcli predict`, in new processes and excludes their
imports. Memory is the peak resident set of the process.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

_TRAIN_ROWS = 10_000
_BLOCK = 100_000  # rows written at once
PEER = """
import json, sys, time, polars
start = time.perf_counter()
polars.read_csv(sys.argv[1]).write_csv(sys.argv[2])
"""
DLCLI = """
import json, pathlib, sys, time
import numpy, polars, torch
import dlcli.api
from dlcli.prediction.save import save_predictions
start = time.perf_counter()
save_predictions(dlcli.api.predict_input("run", sys.argv[1]), pathlib.Path(sys.argv[2]))
"""
MEASURE = """
status = open("/proc/self/status", encoding="ascii").read()
peak = int(status.partition("VmHWM:")[2].split()[0]) * 1024
print(json.dumps({"seconds": time.perf_counter() - start, "peak": peak}))
"""
TRAIN = """
import sys, dlcli
data = {"name": "csv", "path": sys.argv[1], "target": "y"}
dlcli.train({"data": data, "training": {"epochs": 1}, "plots": "never"}, run_dir="run")
"""


def main() -> None:
    """Train, predict for each size and print a row per size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 1_000_000, 3_000_000])
    parser.add_argument("--columns", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    print(
        "| rows | MB | polars s | dlcli s | × polars | polars peak MB | dlcli peak MB |\n|---|---|---|---|---|---|---|"
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_table(folder / "train.csv", _TRAIN_ROWS, arguments.columns, with_target=True)
        run(TRAIN, folder, "train.csv")
        for rows in arguments.rows:
            write_table(folder / "new.csv", rows, arguments.columns)
            pairs = [[measure(program, folder) for program in (PEER, DLCLI)] for _ in range(arguments.rounds)]
            print_row(rows, (folder / "new.csv").stat().st_size, pairs)


def write_table(path: Path, rows: int, columns: int, *, with_target: bool = False) -> None:
    """Write random rows; the class follows from the first columns."""
    draw = np.random.default_rng(0)
    with path.open("wb") as file:
        for start in range(0, rows, _BLOCK):
            n = min(_BLOCK, rows - start)
            values = draw.normal(size=(n, columns - 4)).astype(np.float32)
            table = {f"f{i}": values[:, i] for i in range(columns - 4)}
            table |= {f"n{i}": draw.integers(0, 1000, n) for i in range(2)}
            table |= {f"c{i}": np.array(["red", "green", "blue", "grey"])[draw.integers(0, 4, n)] for i in range(2)}
            if with_target:
                table["y"] = np.where(values[:, 0] + values[:, 1] > 0, "yes", "no")
            pl.DataFrame(table).write_csv(file, include_header=start == 0, float_precision=6)


def measure(program: str, folder: Path) -> dict[str, float]:
    """Return seconds and bytes of a program that reads new.csv and writes out.csv."""
    return dict(json.loads(run(program + MEASURE, folder, "new.csv", "out.csv").splitlines()[-1]))


def run(program: str, folder: Path, *arguments: str) -> str:
    """Run a program in a new process and return what it printed."""
    done = subprocess.run([sys.executable, "-c", program, *arguments], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return done.stdout


def print_row(rows: int, size: int, pairs: Sequence[Sequence[dict[str, float]]]) -> None:
    """Print the medians of a size."""
    peer, ours = (
        [statistics.median(row[key] for row in side) for key in ("seconds", "peak")]
        for side in zip(*pairs, strict=True)
    )
    ratio = ours[0] / peer[0]
    megabytes = f"{peer[1] / 1e6:.0f} | {ours[1] / 1e6:.0f}"
    print(f"| {rows:,} | {size / 1e6:.0f} | {peer[0]:.2f} | {ours[0]:.2f} | {ratio:.2f} | {megabytes} |", flush=True)


if __name__ == "__main__":
    main()
