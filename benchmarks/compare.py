"""Comparison of the training speed of dlcli and other systems on one workload.

    python benchmarks/images_64.py [--device cuda] [--rounds N] [--jax-python PYTHON] [--only SYSTEM ...]

Systems that are not installed are skipped; install them with `pip install -r benchmarks/requirements.txt`. JAX and
Keras may be in another environment; pass its Python as --jax-python.
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
        parser.error("torch finds no CUDA device")
    os.environ["BENCH_DEVICE"] = options.device  # inherited by the processes
    seconds: dict[str, list[float]] = {system: [] for system in options.only}
    if not WORKLOADS[name].is_classification:
        seconds.pop("torchvision tutorial", None)  # needs images
    for _ in range(options.rounds):
        for system in list(seconds):
            python = options.jax_python if "JAX" in system else sys.executable
            measured = _run([python, str(PEERS), system, name, str(REPEATS)])
            if measured is None:
                print(f"{system} is not available and is skipped", file=sys.stderr)
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
    """Return the thread count or the name of the GPU."""
    return f"{THREADS} threads" if device == "cpu" else str(torch.cuda.get_device_name())


def print_table(name: str, seconds: dict[str, list[float]], device: str) -> None:
    """Print medians, spread and ratios as a Markdown table, fastest first."""
    workload = WORKLOADS[name]
    per_step = {system: [value / workload.steps * 1e6 for value in values] for system, values in seconds.items()}
    medians = {system: statistics.median(values) for system, values in per_step.items()}
    sizes = "-".join(map(str, workload.sizes))
    print(f"{name}: {sizes}, {workload.n:,} examples, batch {workload.batch_size}, {device}\n")
    print("| | µs/step | least-most | s/epoch | × products | × dlcli |\n|---|---|---|---|---|---|")
    for system in sorted(medians, key=lambda key: medians[key]):
        values, median = per_step[system], medians[system]
        ratios = [median / medians[base] if base in medians else float("nan") for base in ("products alone", "dlcli")]
        print(
            f"| {system} | {median:,.1f} | {min(values):,.1f}-{max(values):,.1f} "
            f"| {median * workload.steps / 1e6:.4f} | {ratios[0]:.2f} | {ratios[1]:.2f} |"
        )
