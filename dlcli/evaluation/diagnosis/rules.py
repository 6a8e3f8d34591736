"""Rules that turn the measurements of a run into findings with advice."""

from __future__ import annotations

from dlcli.evaluation.diagnosis import data_rules, training_rules
from dlcli.evaluation.diagnosis.finding import Case, Finding, RunLog
from dlcli.evaluation.diagnosis.measurements import Facts

# Causes come before their consequences: a learning rate that is too high saturates units, saturated units learn little,
# and a model that has learned little is not calibrated.
_RULES = (
    training_rules.learning_rate_too_high,
    data_rules.labels_unrelated,
    training_rules.zero_gradient,
    training_rules.vanishing_gradient,
    training_rules.saturated_units,
    training_rules.dead_units,
    training_rules.learning_rate_too_low,
    training_rules.stopped_on_plateau,
    data_rules.too_few_examples,
    data_rules.overfitting,
    training_rules.underfitting,
    data_rules.class_imbalance,
    training_rules.too_few_epochs,
    data_rules.miscalibration,
)
RULE_NAMES = tuple(rule.__name__.replace("_", " ") for rule in (data_rules.leakage, *_RULES))


def find_problems(log: RunLog, facts: Facts | None = None) -> list[Finding]:
    """Return what is wrong with a run, worst first; an empty list for a healthy run.

    All findings up to the first problem are returned, and duplicates in any case. The test split is only searched for
    copies of training examples, so that whoever follows the advice has not used it.

    Args:
        log: Settings and log of the run.
        facts: Measurements of its best checkpoint; None if it has none.
    """
    case = Case(log, facts)
    findings = [finding] if (finding := data_rules.leakage(case)) else []
    for rule in _RULES:
        finding = rule(case)
        if finding is not None:
            findings.append(finding)
            if finding.severity == "problem":
                break
    return sorted(findings, key=lambda finding: finding.severity != "problem")
