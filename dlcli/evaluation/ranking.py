"""Ranking of compared runs: the best value of each validation metric, and values that differ from it by chance only."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

from dlcli.config.schema import HIGHER_IS_BETTER, Config
from dlcli.evaluation.split_interval import wilson_interval
from dlcli.runs.comparison import Comparison
from dlcli.runs.run import Record, Run

Mark: TypeAlias = Literal["best", "tied", ""]

# Settings that, besides the contents of files, determine the examples and the target.
_DATA = ("name", "pattern", "function", "n_samples", "in_features", "n_classes", "noise", "seed", "target")
_RATES = ("val/accuracy", "val/macro_f1")
SYMBOLS: dict[Mark, str] = {"best": "★ ", "tied": "≈ ", "": ""}
_EXPLANATIONS: dict[Mark, str] = {
    "best": "★ best on validation",
    "tied": "≈ equal to the best on validation or within its 95 % interval",
}


def rank_runs(runs: Sequence[Run], comparison: Comparison) -> dict[str, list[Mark]]:
    """Return a mark for each value of each comparable validation metric; the keys are those of `comparison.metrics`.

    The best value is marked `best` if no other value equals it or is within its 95 % interval. Otherwise, the best
    value and all values within its interval are marked `tied`. The interval of accuracy is binomial, for the number of
    validation examples; it is used for macro F1 too, as an approximation. Losses, errors and R² have no interval. Runs
    on different data get no marks. If the runs have different loss functions, val/loss gets no marks.
    """
    configs = [run.config for run in runs]
    if explain_data(runs):
        return {}
    has_same_loss = len({repr(config.loss) for config in configs}) == 1
    return {
        key: _rank(key, values, configs)
        for key, values in comparison.metrics.items()
        if key.startswith("val/") and (has_same_loss or key != "val/loss")
    }


def explain_data(runs: Sequence[Record]) -> str:
    """Return a note that the metrics of runs cannot be compared because their data or task differs; "" if they can."""
    if len({run.config.task for run in runs}) > 1:
        return "the runs have different tasks: their metrics cannot be compared"
    if len({_identify_data(run) for run in runs}) > 1:
        return "the runs have different data: their metrics cannot be compared"
    return ""


def _identify_data(run: Record) -> str:
    """Return text that is equal for runs on the same examples, even if they are split and scaled differently."""
    checksums = run.manifest.get("data", {}).get("sha256")
    contents = sorted(map(str, checksums.values())) if isinstance(checksums, dict) else []
    return repr((contents, [getattr(run.config.data, key, None) for key in _DATA]))


def explain_marks(marks: Mapping[str, Sequence[Mark]]) -> list[str]:
    """Return an explanation of each mark that occurs."""
    used = {mark for row in marks.values() for mark in row}
    return [text for mark, text in _EXPLANATIONS.items() if mark in used]


def _rank(key: str, values: Sequence[float | None], configs: Sequence[Config]) -> list[Mark]:
    sign = 1 if key.removeprefix("val/") in HIGHER_IS_BETTER else -1
    known = [(sign * value, i) for i, value in enumerate(values) if value is not None and math.isfinite(value)]
    if len(known) < 2:
        return [""] * len(values)
    best, winner = max(known)
    least = best
    if key in _RATES and (n := _count_validation_examples(configs[winner])):
        least = wilson_interval(round(best * n), n)[0]
    near = {i for value, i in known if value >= least}
    mark: Mark = "best" if len(near) == 1 else "tied"
    return [mark if i in near else "" for i in range(len(values))]


def _count_validation_examples(config: Config) -> int | None:
    """Return the number of validation examples, up to the rounding of the splits; None if the config does not say."""
    total = config.data.count_examples()
    return None if total is None else round(total * (1 - config.data.fraction_for_test()) * config.data.val_fraction)
