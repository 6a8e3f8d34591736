"""Start-up time of `dlcli --help` next to an empty Typer program, and the phases of a start.

python benchmarks/start_up.py [--rounds N]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

from dlcli.bench.startup import measure_start_up

NOTHING = "import typer; app = typer.Typer(); app.command()(lambda: None); app()"


def main() -> None:
    """Run all commands alternately and print medians and spread."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    commands = {
        "Typer, nothing": [sys.executable, "-c", NOTHING, "--help"],
        "dlcli --help": [sys.executable, "-m", "dlcli", "--help"],
        "dlcli config validate": [sys.executable, "-m", "dlcli", "config", "validate", "digits"],
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            start = time.perf_counter()
            subprocess.run(command, capture_output=True, check=True)
            seconds[name].append(time.perf_counter() - start)
    nothing = statistics.median(seconds["Typer, nothing"])
    print("| command | s | least-most | × Typer |\n|---|---|---|---|")
    for name, values in seconds.items():
        median = statistics.median(values)
        print(f"| {name} | {median:.3f} | {min(values):.3f}-{max(values):.3f} | {median / nothing:.2f} |")
    print("\n| phase of `dlcli train -c digits` | s |\n|---|---|")
    for phase, median in measure_start_up(None, (), rounds=5).items():
        print(f"| {phase} | {median:.3f} |")


if __name__ == "__main__":
    main()
