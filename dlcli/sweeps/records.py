"""Records of the trials and the results of a sweep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

Ending: TypeAlias = Literal["finished", "pruned", "diverged"]

CONFIRMED = ("best trial", "unchanged config")  # names of the groups of a confirmation


@dataclass(frozen=True)
class TrialEnd:
    """End of a trial.

    Attributes:
        state: `finished` after all epochs or early stopping, `pruned` or `diverged`.
        value: Metric of the best epoch, or its mean over several seeds; None if the trial diverged in the first epoch.
        best_epoch: Best epoch, counted from 1; None with several seeds, or if the trial diverged in the first epoch.
        epochs: Number of epochs that were trained, over all seeds.
    """

    state: Ending
    value: float | None
    best_epoch: int | None
    epochs: int


@dataclass(frozen=True)
class TrialRecord:
    """Trial of a sweep.

    Attributes:
        number: Number of the trial, from 0.
        state: State of its `TrialEnd`, or `running` or `waiting`.
        value: See `TrialEnd`.
        best_epoch: See `TrialEnd`.
        epochs: See `TrialEnd`; 0 while it runs.
        parameters: Values that the sampler drew, by the names of the parameters; see `dlcli.config.sweep.space`.
        settings: Overrides of the config that the parameters stand for.
        levels: Best value so far after each epoch at which the pruner compared the trial.
    """

    number: int
    state: Ending | Literal["running", "waiting"]
    value: float | None
    best_epoch: int | None
    epochs: int
    parameters: Mapping[str, Any]
    settings: Mapping[str, Any]
    levels: Mapping[int, float]

    @property
    def has_ended(self) -> bool:
        """Whether the trial has ended."""
        return self.state not in ("running", "waiting")


@dataclass(frozen=True)
class Confirmation:
    """Comparison of the best trial and the unchanged config, trained with seeds that the search has not used.

    Attributes:
        best: Group folder of the best trial.
        unchanged: Group folder of the unchanged config.
        metric: Metric that is compared.
        means: Mean of the metric for the best trial and for the unchanged config; None if all seeds diverged.
        statement: The verdict as a sentence.
        better: Name of the group that is better, one of `CONFIRMED`; None without a clear difference.
    """

    best: str
    unchanged: str
    metric: str
    means: tuple[float | None, float | None]
    statement: str
    better: str | None = None

    @property
    def is_worse(self) -> bool:
        """Whether the best trial is worse than the unchanged config."""
        return self.better == CONFIRMED[1]


@dataclass(frozen=True)
class SweepResult:
    """Result of a sweep; `dlcli sweep --json` prints it with `asdict`.

    Attributes:
        sweep: Sweep folder.
        status: `finished`, or `paused` if trials or the confirmation remain.
        metric: Metric of the search, such as `val/accuracy`.
        trials: Number of trials by state: finished, pruned, diverged, running, waiting.
        best: Best trial; None before a trial has finished. Its value is too good, because the trial was chosen for it.
        best_trials: The best finished trials, at most five, best first.
        epochs: Number of epochs that all trials have `trained`, and upper bound of the number that pruning has `saved`.
        importances: Share of each parameter in the variation of the values; empty with few trials.
        confirmation: Comparison with fresh seeds; None if there is none yet.
        is_reproducible: Whether any number of workers produces the same trials.
    """

    sweep: str
    status: str
    metric: str
    trials: Mapping[str, int]
    best: TrialRecord | None
    best_trials: Sequence[TrialRecord]
    epochs: Mapping[str, int]
    importances: Mapping[str, float]
    confirmation: Confirmation | None
    is_reproducible: bool


def rank(records: Sequence[TrialRecord], *, higher_is_better: bool) -> list[TrialRecord]:
    """Return the finished trials, best first; ties are sorted by the number of the trial."""
    sign = -1 if higher_is_better else 1
    finished = [record for record in records if record.state == "finished" and record.value is not None]
    return sorted(finished, key=lambda record: (sign * (record.value or 0.0), record.number))
