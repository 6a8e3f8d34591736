"""Time and memory from a config to the first training step on a large CSV file, next to `polars.read_csv`.

    python benchmarks/large_table.py [--rows N] [--floats N] [--rounds N]

Writes a table of 44 columns of floats, 3 of integers, 2 of categories and a target into a temporary folder. Each round
runs both systems in new processes and excludes their imports. CPU time is that of all threads; it depends less on other
processes than the time that passes. Memory is the peak resident set minus that after the imports; "matrix" is the size
of the inputs as float32.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

PEER = """
import json, sys, time, polars
start, cpu = time.perf_counter(), time.process_time()
frame = polars.read_csv(sys.argv[1])
print(json.dumps({"seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu}))
"""
DLCLI = """
import json, sys, time
from dlcli.openmp import prepare_process
prepare_process()  # as the command does
import numpy.random, polars, threadpoolctl, torch  # some would be imported only when they are needed
from dlcli.config.load import load_config
from dlcli.experiment import build_experiment
from dlcli.training.fit import Fit
import dlcli.data.table_source
def status(name):
    text = open("/proc/self/status", encoding="ascii").read()
    return int(text.partition(name + ":")[2].split()[0]) * 1024
before, start, cpu = status("VmRSS"), time.perf_counter(), time.process_time()
config = load_config({"data": {"name": "csv", "path": sys.argv[1], "target": "y"}, "training": {"epochs": 1}}).config
experiment = build_experiment(config)
loaded = time.perf_counter() - start
peak = status("VmHWM")
next(iter(Fit(experiment.model, experiment.task, experiment.splits, experiment.config, report_seconds=0)))
shape = (sum(len(part) for part in (experiment.splits.train, experiment.splits.val, experiment.splits.test)),
         experiment.splits.info.in_features)
print(json.dumps({"seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu,
                  "loaded": loaded, "peak": peak - before, "peak_with_step": status("VmHWM") - before, "shape": shape}))
"""


def main() -> None:
    """Write the table, run both systems alternately and print medians, spread and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--floats", type=int, default=44)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "table.csv")
        write_table(path, arguments.rows, arguments.floats)
        results: dict[str, list[dict[str, float]]] = {"polars.read_csv": [], "dlcli, to the first step": []}
        for _ in range(arguments.rounds):
            for rows, program in zip(results.values(), (PEER, DLCLI), strict=True):
                rows.append(run(program, path))
        print(f"{path.stat().st_size / 1e6:.0f} MB\n")
    print_rows(results)


def write_table(path: Path, rows: int, floats: int) -> None:
    """Write a table whose class follows from its first columns."""
    draw = np.random.default_rng(0)
    with path.open("wb") as file:
        for start in range(0, rows, 100_000):
            n = min(100_000, rows - start)
            values = draw.normal(size=(n, floats)).astype(np.float32)
            columns = {f"f{i}": values[:, i] for i in range(floats)}
            columns |= {f"n{i}": draw.integers(0, 1000, n) for i in range(3)}
            columns |= {f"c{i}": np.array(["red", "green", "blue", "grey"])[draw.integers(0, 4, n)] for i in range(2)}
            columns["y"] = np.where(values[:, 0] + values[:, 1] > 0, "yes", "no")
            pl.DataFrame(columns).write_csv(file, include_header=start == 0, float_precision=6)


def run(program: str, path: Path) -> dict[str, float]:
    """Run a program in a new process and return what it printed."""
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    print(f"{time.perf_counter() - start:.1f} s", file=sys.stderr)
    return dict(json.loads(done.stdout))


def print_rows(results: dict[str, list[dict[str, float]]]) -> None:
    """Print a row per system, then the memory of dlcli."""
    print("| | s | least-most | × polars | CPU s | × polars |\n|---|---|---|---|---|---|")
    least, least_cpu = (statistics.median(row[key] for row in results["polars.read_csv"]) for key in ("seconds", "cpu"))
    for name, rows in results.items():
        seconds = [row["seconds"] for row in rows]
        median, cpu = statistics.median(seconds), statistics.median(row["cpu"] for row in rows)
        spread = f"{min(seconds):.2f}-{max(seconds):.2f}"
        print(f"| {name} | {median:.2f} | {spread} | {median / least:.2f} | {cpu:.2f} | {cpu / least_cpu:.2f} |")
    row = results["dlcli, to the first step"][-1]
    rows, features = row["shape"]
    matrix = rows * features * 4
    print(f"\nmatrix {rows:,} × {features}: {matrix / 1e6:.0f} MB")
    for name in ("peak", "peak_with_step"):
        print(f"{name}: {row[name] / 1e6:.0f} MB, {row[name] / matrix:.2f} × matrix")
    print(f"loaded after {row['loaded']:.2f} s")


if __name__ == "__main__":
    main()
