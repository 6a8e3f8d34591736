"""One thing that can be said of a trained run, and what it is said from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from dlcli.config.schema import Config
from dlcli.evaluation.diagnosis.measurements import Facts
from dlcli.training.events import Trace

SURE = 3.0  # standard errors: chance alone goes beyond in 1 of 700
FAILING = 0.5  # of what five neighbours, which learn nothing, tell. Healthy presets: 0.91 and more


@dataclass(frozen=True)
class Finding:
    """What is wrong with a run, or could be better.

    Attributes:
        name: Of the kind, for programs.
        severity: A problem makes the result of little use; a hint is worth a try.
        statement: One plain sentence.
        evidence: The measured numbers it rests on, and where they come from.
        advice: What to try, as something that can be typed where there is such a thing.
    """

    name: str
    severity: Literal["problem", "hint"]
    statement: str
    evidence: tuple[str, ...]
    advice: str


class RunLog(Protocol):
    """Settings and log of a run: `Run` and `TrainedRun` have them."""

    @property
    def config(self) -> Config:
        """Settings."""

    @property
    def rows(self) -> Sequence[Mapping[str, float | int]]:
        """Rows of metrics.jsonl, one per epoch."""

    @property
    def traces(self) -> Mapping[int, Trace]:
        """Traces of the model's layers, by epoch."""

    @property
    def status(self) -> str:
        """How training ended."""


@dataclass(frozen=True)
class Case:
    """What rules look at.

    Attributes:
        log: What the run left behind.
        facts: What was measured with its model and data; None where there is no model.
    """

    log: RunLog
    facts: Facts | None

    @property
    def is_complete(self) -> bool:
        """Whether training ended as the config says."""
        return self.log.status in ("finished", "stopped early")

    def column(self, name: str) -> list[float]:
        """Return the values of one metric, by epoch."""
        return [float(row[name]) for row in self.log.rows if name in row]

    @property
    def reached(self) -> float:
        """What the model tells of val as a share of what neighbours tell; 1 where they tell nothing sure."""
        if self.facts is None or self.facts.neighbours.sigmas < SURE:
            return 1.0
        return self.facts.model.share / self.facts.neighbours.share

    @property
    def severity(self) -> Literal["problem", "hint"]:
        """A problem if the model fails; what is seen in one that does well is a hint."""
        return "problem" if self.facts is None or self.reached < FAILING else "hint"

    @property
    def comparison(self) -> str:
        """The model's score on val beside that of five neighbours and of the constant answer."""
        assert self.facts is not None
        score = "accuracy" if self.facts.class_counts else "R²"
        shown = (self.facts.model.score, self.facts.neighbours.score, self.facts.constant_score)
        own, neighbours, constant = (f"{one:.3f}" for one in shown)
        return f"val {score} {own}; the five nearest training examples reach {neighbours}, a constant answer {constant}"


def figure(value: float) -> str:
    """Return a number as a person reads it."""
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.3g}"


def percent(share: float) -> str:
    """Return a share as a person reads it."""
    return f"{100 * share:.3g} %"
