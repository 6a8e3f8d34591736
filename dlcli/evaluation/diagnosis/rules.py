"""What is wrong with a trained run, in plain words, from measured facts."""

from __future__ import annotations

from dlcli.evaluation.diagnosis import data_rules as rules_of_data
from dlcli.evaluation.diagnosis import training_rules as rules_of_training
from dlcli.evaluation.diagnosis.finding import Case, Finding, RunLog
from dlcli.evaluation.diagnosis.measurements import measure
from dlcli.runs.trained_run import TrainedRun

__all__ = ["LOOKED_FOR", "Finding", "RunLog", "diagnose", "diagnose_log"]

# In this order: a cause before what it brings about. A learning rate that is too high saturates units, saturated units
# learn little, and what has learned little is not calibrated.
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
    """Return what is wrong with a run, the worst first; nothing for a healthy one.

    The test split is looked at for copies of training examples alone: whoever acts on the advice has not seen it.

    Args:
        run: With the parameters of its best checkpoint.
    """
    log = RunLog(run.config, run.rows, run.traces, run.status)
    return _judge(Case(log, measure(run)))


def diagnose_log(log: RunLog) -> list[Finding]:
    """Return what can be said of a run that came to no model, one that diverged in its first epoch, say."""
    return _judge(Case(log, None))


def _judge(case: Case) -> list[Finding]:
    """Return all findings up to the first problem, and copies in any case, problems first."""
    findings = [finding] if (finding := rules_of_data.leakage(case)) else []
    for rule in _RULES:
        finding = rule(case)
        if finding is not None:
            findings.append(finding)
            if finding.severity == "problem":
                break
    return sorted(findings, key=lambda one: one.severity != "problem")
