"""Diagnosis of a trained run: rules that turn measurements into findings with advice."""

from __future__ import annotations

from dlcli.analysis import rules_of_data, rules_of_training
from dlcli.analysis.facts import measure
from dlcli.analysis.finding import Case, Finding, RunLog
from dlcli.analysis.trained_run import TrainedRun

__all__ = ["LOOKED_FOR", "Finding", "RunLog", "diagnose", "diagnose_log"]

# Causes come before their consequences: a learning rate that is too high saturates units, saturated units learn little,
# and a model that has learned little is not calibrated.
_RULES = (
    rules_of_training.learning_rate_too_high,
    rules_of_data.labels_unrelated,
    rules_of_training.zero_gradient,
    rules_of_training.vanishing_gradient,
    rules_of_training.saturated_units,
    rules_of_training.dead_units,
    rules_of_training.learning_rate_too_low,
    rules_of_training.stopped_on_plateau,
    rules_of_data.too_few_examples,
    rules_of_data.overfitting,
    rules_of_training.underfitting,
    rules_of_data.class_imbalance,
    rules_of_training.too_few_epochs,
    rules_of_data.miscalibration,
)
LOOKED_FOR = tuple(rule.__name__.replace("_", " ") for rule in (rules_of_data.leakage, *_RULES))


def diagnose(run: TrainedRun) -> list[Finding]:
    """Return the problems and hints of a run, most severe first; an empty list for a healthy run.

    The test split is only searched for copies of training examples, so that advice does not leak its labels.

    Args:
        run: Run with the parameters of its best checkpoint.
    """
    log = RunLog(run.config, run.rows, run.traces, run.status)
    return _judge(Case(log, measure(run)))


def diagnose_log(log: RunLog) -> list[Finding]:
    """Return the findings of a run without a model, e.g. of a run that diverged in its first epoch."""
    return _judge(Case(log, None))


def _judge(case: Case) -> list[Finding]:
    """Return all findings up to the first problem, and leakage in any case; problems first."""
    findings = [finding] if (finding := rules_of_data.leakage(case)) else []
    for rule in _RULES:
        finding = rule(case)
        if finding is not None:
            findings.append(finding)
            if finding.severity == "problem":
                break
    return sorted(findings, key=lambda finding: finding.severity != "problem")
