"""Time a workload by dlcli and by its peers, in turns, and print a table.

    python benchmarks/images_64.py [--device cuda] [--rounds N] [--jax-python PYTHON] [--only SYSTEM ...]

What is not installed is left out: `pip install -r benchmarks/requirements.txt`. JAX and Keras may live in another
environment, whose Python is named by --jax-python.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from peers import SYSTEMS
from workloads import DEVICE, THREADS, WORKLOADS

PEERS = Path(__file__).with_name("peers.py")
REPEATS = 3


def main(name: str) -> None:
    """Run the comparison of one workload."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--jax-python", default=sys.executable)
    parser.add_argument("--only", nargs="*", default=list(SYSTEMS), choices=list(SYSTEMS))
    parser.add_argument("--device", default=DEVICE, choices=["cpu", "cuda"])
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("torch sees no CUDA device here")
    os.environ["BENCH_DEVICE"] = options.device  # for the processes
    seconds: dict[str, list[float]] = {system: [] for system in options.only}
    if not WORKLOADS[name].is_classification:
        seconds.pop("torchvision tutorial", None)  # there are no images
    for _ in range(options.rounds):
        for system in list(seconds):
            python = options.jax_python if "JAX" in system else sys.executable
            measured = _run([python, str(PEERS), system, name, str(REPEATS)])
            if measured is None:
                print(f"{system} does not run here and is left out", file=sys.stderr)
                del seconds[system]
            else:
                seconds[system] += measured
    print_table(name, seconds, describe(options.device))


def _run(command: Sequence[str]) -> list[float] | None:
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    try:
        completed = subprocess.run(command, capture_output=True, text=True, env=environment)
    except FileNotFoundError:
        return None
    if completed.returncode != 0:
        print(completed.stderr.strip(), file=sys.stderr)
        return None
    last = completed.stdout.strip().splitlines()[-1]
    measured: list[float] = json.loads(last)["seconds_per_epoch"]
    return measured


def describe(device: str) -> str:
    """Return what the systems ran on."""
    return f"{THREADS} threads" if device == "cpu" else str(torch.cuda.get_device_name())


def print_table(name: str, seconds: dict[str, list[float]], device: str) -> None:
    """Print medians, spread and ratios as a Markdown table, the fastest first."""
    workload = WORKLOADS[name]
    per_step = {system: [one / workload.steps * 1e6 for one in values] for system, values in seconds.items()}
    medians = {system: statistics.median(values) for system, values in per_step.items()}
    sizes = "-".join(map(str, workload.sizes))
    print(f"{name}: {sizes}, {workload.n:,} examples, batch {workload.batch_size}, {device}\n")
    print("| | µs/step | least-most | s/epoch | × products | × dlcli |\n|---|---|---|---|---|---|")
    for system in sorted(medians, key=lambda one: medians[one]):
        values, median = per_step[system], medians[system]
        ratios = [
            median / medians[other] if other in medians else float("nan") for other in ("products alone", "dlcli")
        ]
        print(
            f"| {system} | {median:,.1f} | {min(values):,.1f}-{max(values):,.1f} "
            f"| {median * workload.steps / 1e6:.4f} | {ratios[0]:.2f} | {ratios[1]:.2f} |"
        )
