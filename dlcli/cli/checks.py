"""Bounds on metrics: `--fail-under` and `--fail-over` of `dlcli eval`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from dlcli.errors import UsageError

# Metrics that an evaluation has in addition to the metrics logged in training. Other metrics accept both options.
_HIGHER_IS_BETTER = frozenset({"macro_precision", "macro_recall"})
_LOWER_IS_BETTER = frozenset({"log_loss", "brier_score", "ece"})
_RANGES = {  # possible values of a metric, if they are limited
    **dict.fromkeys(("accuracy", "macro_f1", "macro_precision", "macro_recall", "ece"), (0.0, 1.0)),
    "brier_score": (0.0, 2.0),
    "r2": (-math.inf, 1.0),
    **dict.fromkeys(("loss", "log_loss", "mse", "rmse", "mae"), (0.0, math.inf)),
}
_EXAMPLES = {"--fail-under": "accuracy=0.85", "--fail-over": "rmse=60"}


def _complete(option: str, incomplete: str) -> list[str]:
    """Return the metrics that an option can check, with an equals sign."""
    return [f"{metric}=" for metric in _RANGES if _option_for(metric) == option and metric.startswith(incomplete)]


def _complete_minimum(incomplete: str) -> list[str]:
    return _complete("--fail-under", incomplete)


def _complete_maximum(incomplete: str) -> list[str]:
    return _complete("--fail-over", incomplete)


FailUnderOption = Annotated[
    list[str] | None,
    typer.Option(
        "--fail-under",
        metavar="METRIC=VALUE",
        help="Exit with 6 if a metric is below a value, e.g. accuracy=0.85; repeatable.",
        autocompletion=_complete_minimum,
    ),
]
FailOverOption = Annotated[
    list[str] | None,
    typer.Option(
        "--fail-over",
        metavar="METRIC=VALUE",
        help="Exit with 6 if an error metric is above a value, e.g. rmse=60; repeatable.",
        autocompletion=_complete_maximum,
    ),
]


@dataclass(frozen=True)
class Bound:
    """Bound on a metric.

    Attributes:
        metric: Name of a scalar metric.
        value: Smallest accepted value with `--fail-under`, largest with `--fail-over`.
        option: Option that sets the bound.
    """

    metric: str
    value: float
    option: str

    @property
    def is_minimum(self) -> bool:
        """Whether smaller values fail."""
        return self.option == "--fail-under"

    @property
    def text(self) -> str:
        """Condition, such as `accuracy ≥ 0.85`."""
        return f"{self.metric} {'≥' if self.is_minimum else '≤'} {self.value:g}"


@dataclass(frozen=True)
class Check:
    """Comparison of the value of a metric with a bound."""

    bound: Bound
    value: float

    @property
    def ok(self) -> bool:
        """Whether the value respects the bound; NaN does not."""
        return self.value >= self.bound.value if self.bound.is_minimum else self.value <= self.bound.value

    @property
    def record(self) -> dict[str, Any]:
        """This check for the JSON output."""
        return {"metric": self.bound.metric, "value": self.value, "bound": self.bound.value, "ok": self.ok}

    @property
    def failure(self) -> str:
        """Message of a failed check, with enough decimals to tell the value from the bound."""
        digits = next((n for n in range(4, 17) if float(f"{self.value:.{n}f}") != self.bound.value), 17)
        side = "below" if self.bound.is_minimum else "above"
        return f"{self.bound.metric} {self.value:.{digits}f} is {side} {self.bound.value:g}"


def parse_bounds(minima: Iterable[str], maxima: Iterable[str]) -> list[Bound]:
    """Return the bounds given as `METRIC=VALUE` to `--fail-under` and `--fail-over`.

    Raises:
        UsageError: If a bound cannot be read, cannot be reached, or has the wrong option for its metric.
    """
    return [_parse_bound("--fail-under", text) for text in minima] + [
        _parse_bound("--fail-over", text) for text in maxima
    ]


def check_bounds(bounds: Sequence[Bound], scalars: Mapping[str, float]) -> list[Check]:
    """Compare the scalar metrics of an evaluation with bounds.

    Raises:
        UsageError: If a metric does not exist.
    """
    for bound in bounds:
        if bound.metric not in scalars:
            known = [name for name in scalars if _option_for(name) in (None, bound.option)]
            raise UsageError(f"this run has no metric {bound.metric!r}", hint=f"choose one of {', '.join(known)}")
    return [Check(bound, scalars[bound.metric]) for bound in bounds]


def _parse_bound(option: str, text: str) -> Bound:
    metric, _, number = text.partition("=")
    metric = metric.removeprefix("test/").removeprefix("val/")
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UsageError(f"{option} {text!r} is not METRIC=VALUE", hint=f"write it like `{option} {_EXAMPLES[option]}`")
    right = _option_for(metric)
    if right not in (None, option):
        better = "higher" if right == "--fail-under" else "lower"
        raise UsageError(f"{option} cannot check {metric}: {better} is better", hint=f"use `{right} {metric}={number}`")
    _check_range(option, metric, value)
    return Bound(metric, value, option)


def _check_range(option: str, metric: str, value: float) -> None:
    """Raise a UsageError if a metric cannot reach a bound, such as an accuracy in per cent."""
    low, high = _RANGES.get(metric, (-math.inf, math.inf))
    if low <= value <= high:
        return
    limits = f"from {low:g} to {high:g}" if low > -math.inf and high < math.inf else ""
    limits = limits or (f"at least {low:g}" if value < low else f"at most {high:g}")
    is_percent = (low, high) == (0, 1) and 1 < value <= 100
    usual = value / 100 if is_percent else min(high, float(_EXAMPLES[option].partition("=")[2]))
    hint = f"write it like `{option} {metric}={usual:g}`"
    raise UsageError(f"{option} {metric}={value:g}: {metric} is {limits}", hint=hint)


def _option_for(metric: str) -> str | None:
    """Return the option that checks a metric; None if both options can or the metric is unknown."""
    from dlcli.config.schema import HIGHER_IS_BETTER, METRICS

    if metric in HIGHER_IS_BETTER | _HIGHER_IS_BETTER:
        return "--fail-under"
    logged = {name for names in METRICS.values() for name in names}
    return "--fail-over" if metric in logged | _LOWER_IS_BETTER else None
