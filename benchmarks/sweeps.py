"""Worth of a sweep: best trial against unchanged config, TPE against random search, and epochs saved by pruning.

    python benchmarks/sweeps.py [--trials N] [--seeds N] [--sweeps N] [--epochs N] [worth] [samplers] [pruners]

`worth` searches settings of three data sets and compares the best trial with the unchanged config on fresh seeds.
`samplers` repeats a sweep on digits with other seeds of the sampler, by TPE and by random search, without pruning.
`pruners` does the same with TPE and each pruner. Values are means on validation over fresh seeds that no search has
used; they do not depend on the speed of the machine.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile

import dlcli.api

DATA = {"digits": "val/accuracy", "diabetes": "val/r2", "moons": "val/accuracy"}
RATE = {"min": 1e-3, "max": 1.0, "log": True}
SPACE = {
    "optimizer": [
        {"name": "sgd", "lr": RATE, "momentum": [0, 0.5, 0.9]},
        {"name": "adam", "lr": {"min": 1e-4, "max": 1e-1, "log": True}},
    ],
    "model.hidden_sizes": [[], [32], [64], [64, 32]],
    "optimizer.weight_decay": [0, {"min": 1e-6, "max": 1e-2, "log": True}],
}


def main() -> None:
    """Run the chosen parts and print a table for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], default=list(PARTS))
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--seeds", type=int, default=10, help="fresh seeds")
    parser.add_argument("--sweeps", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=30)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["DLCLI_SWEEPS"] = folder
        for part in options.parts:
            PARTS[part](options)


def search(data: str, options: argparse.Namespace, **sweep: object) -> dlcli.api.SweepResult:
    """Run a sweep in a new folder."""
    settings = {"space": SPACE, "metric": DATA[data], "trials": options.trials, "confirm_seeds": options.seeds, **sweep}
    config = {
        "extends": data,
        "name": data,
        "plots": "never",
        "training": {"epochs": options.epochs},
        "sweep": settings,
    }
    return dlcli.api.sweep(config, new=True)


def show_worth(options: argparse.Namespace) -> None:
    """Print the best trial of three data sets beside the unchanged config."""
    print(f"| {options.trials} trials | in the search | best trial | unchanged | verdict |\n|---|---|---|---|---|")
    for data in DATA:
        result = search(data, options)
        assert result.best is not None
        assert result.confirmation is not None
        best, unchanged = (f"{mean:.4f}" for mean in result.confirmation.means if mean is not None)
        verdict = result.confirmation.statement.partition(";")[0]
        print(f"| {data} {result.metric} | {result.best.value:.4f} | {best} | {unchanged} | {verdict} |", flush=True)


def show_samplers(options: argparse.Namespace) -> None:
    """Print the worth of TPE and of random search at equal trials."""
    _show_many(options, {name: {"sampler": name, "pruner": "none"} for name in ("tpe", "random")})


def show_pruners(options: argparse.Namespace) -> None:
    """Print the worth and the epochs of sweeps with each pruner."""
    early = {"name": "asha", "min_epochs": 1}
    rules = {"none": "none", "median": "median", "asha": "asha", "asha from epoch 1": early, "hyperband": "hyperband"}
    _show_many(options, {name: {"pruner": rule} for name, rule in rules.items()})


def _show_many(options: argparse.Namespace, kinds: dict[str, dict[str, object]]) -> None:
    print(f"| {options.sweeps} sweeps of {options.trials} trials | best trial, mean ± sd | in the search | epochs |")
    print("|---|---|---|---|")
    for name, settings in kinds.items():
        results = [search("digits", options, **settings, seed=seed) for seed in range(options.sweeps)]
        means = [result.confirmation.means[0] for result in results if result.confirmation is not None]
        fresh = [mean for mean in means if mean is not None]
        found = statistics.mean(result.best.value or 0.0 for result in results if result.best is not None)
        epochs = statistics.mean(result.epochs["trained"] for result in results)
        spread = f"{statistics.mean(fresh):.4f} ± {statistics.stdev(fresh):.4f}"
        print(f"| {name} | {spread} | {found:.4f} | {epochs:,.0f} |", flush=True)


PARTS = {"worth": show_worth, "samplers": show_samplers, "pruners": show_pruners}


if __name__ == "__main__":
    main()
