"""Findings of a diagnosis, and the input of its rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from dlcli.config.paths import as_argument
from dlcli.evaluation.diagnosis.measurements import Facts
from dlcli.evaluation.diagnosis.skill import Skill
from dlcli.runs.run import Run
from dlcli.runs.trained_run import TrainedRun

RunLog: TypeAlias = Run | TrainedRun  # both have config, rows, traces and status

SURE = 3.0  # number of standard errors; chance exceeds it with a probability of 1 in 700
FAILING = 0.5  # a model fails below this fraction of the k-NN baseline's skill. Healthy presets: at least 0.91


@dataclass(frozen=True)
class Finding:
    """A problem of a run, or a hint on how to improve it.

    Attributes:
        name: Machine-readable name of the rule.
        severity: A problem makes the result nearly useless; a hint is an optional improvement.
        statement: One sentence that describes the finding.
        evidence: Measurements that support the statement, with their source.
        advice: What to try, in words.
        settings: Overrides `key=value` for the next training, tested on planted faults; empty for faults of the data.
    """

    name: str
    severity: Literal["problem", "hint"]
    statement: str
    evidence: tuple[str, ...]
    advice: str
    settings: tuple[str, ...] = ()


def advise(
    name: str,
    severity: Literal["problem", "hint"],
    statement: str,
    evidence: tuple[str, ...],
    *settings: str,
    why: str = "",
) -> Finding:
    """Return a finding whose advice is to train again with other settings."""
    return Finding(name, severity, statement, evidence, " ".join(settings) + (f"; {why}" if why else ""), settings)


def write_advice(finding: Finding, config: str) -> str:
    """Return a command that trains a config with the settings of a finding, or its advice if it has no settings.

    Args:
        finding: Finding of a run.
        config: Path of the run's config.
    """
    if not finding.settings:
        return finding.advice
    why = finding.advice.removeprefix(" ".join(finding.settings))
    return f"`dlcli train {as_argument(config)} {' '.join(map(as_argument, finding.settings))}`{why}"


@dataclass(frozen=True)
class Case:
    """Input of the rules.

    Attributes:
        log: Config and logs of the run.
        facts: Measurements with the run's model and data; None if the run has no model.
    """

    log: RunLog
    facts: Facts | None

    @property
    def is_complete(self) -> bool:
        """Whether training ended regularly: after the last epoch or by early stopping."""
        return self.log.status in ("finished", "stopped early")

    def column(self, name: str) -> list[float]:
        """Return the values of a metric, one per epoch."""
        return [float(row[name]) for row in self.log.rows if name in row]

    @property
    def monitored(self) -> Literal["train", "val"]:
        """Name of the split that training monitors: val, or train without a validation split."""
        return "val" if self.log.config.data.val_fraction else "train"

    @property
    def relative_to_knn(self) -> float:
        """Skill of the model as a fraction of the k-NN baseline's; 1 if the baseline is not better than chance."""
        return 1.0 if self.facts is None else _relative(self.facts.model, self.facts.knn)

    @property
    def fit_relative_to_knn(self) -> float:
        """Skill on train as a fraction of the k-NN baseline's; 1 if the baseline is not better than chance.

        The baseline predicts each example from its neighbours, not from the example itself.
        """
        return 1.0 if self.facts is None else _relative(self.facts.fit, self.facts.knn_fit)

    @property
    def relative_to_linear(self) -> float:
        """Skill of the model as a fraction of the skill of least squares; 1 if the latter is not better than chance."""
        return 1.0 if self.facts is None else _relative(self.facts.model, self.facts.linear)

    @property
    def severity(self) -> Literal["problem", "hint"]:
        """Severity of a finding about the model: a problem if the model fails, otherwise a hint."""
        return "problem" if self.facts is None or self.relative_to_knn < FAILING else "hint"

    @property
    def comparison(self) -> tuple[str, ...]:
        """Sentence with the scores of the model, the k-NN baseline and a constant prediction; () if `facts` is None."""
        if (facts := self.facts) is None:
            return ()
        constant = f"a constant prediction {facts.constant_score:.3f}"
        return (f"{self._scores(self.monitored, facts.model, facts.knn)}, {constant}",)

    @property
    def fit_comparison(self) -> tuple[str, ...]:
        """Sentence with the scores of the model and the k-NN baseline on train; () if `facts` is None."""
        if (facts := self.facts) is None:
            return ()
        return (self._scores("train", facts.fit, facts.knn_fit),)

    @property
    def linear_comparison(self) -> tuple[str, ...]:
        """Sentence with the score of least squares on the monitored split; () if `facts` is None."""
        if (facts := self.facts) is None:
            return ()
        score = f"{'accuracy' if facts.class_counts else 'R²'} {facts.linear.score:.3f}"
        fitted = "fitted to the same training examples by least squares"
        return (f"a linear model, {fitted}, reaches {self.monitored} {score}",)

    def _scores(self, split: str, model: Skill, knn: Skill) -> str:
        assert self.facts is not None
        name = "accuracy" if self.facts.class_counts else "R²"
        return f"{split} {name} {model.score:.3f}; the 5-nearest-neighbour baseline reaches {knn.score:.3f}"


def _relative(model: Skill, baseline: Skill) -> float:
    return 1.0 if baseline.sigmas < SURE else model.fraction_explained / baseline.fraction_explained


def number(value: float) -> str:
    """Format a number with three significant digits, or with thousands separators from 1,000 to 1,000,000."""
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.3g}"


def percent(fraction: float) -> str:
    """Format a fraction as a percentage."""
    return f"{100 * fraction:.3g} %"
