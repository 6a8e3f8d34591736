"""Diagnosis of a run: rules turn its measurements into findings with advice."""

from __future__ import annotations

from dataclasses import dataclass

from dlcli.evaluation.diagnosis import data_rules, stuck_rules, training_rules
from dlcli.evaluation.diagnosis.finding import Case, Finding, RunLog
from dlcli.evaluation.diagnosis.measurements import Facts, measure
from dlcli.runs.run import RunLike, open_run
from dlcli.runs.trained_run import load_trained_run

# Causes come before their consequences: a learning rate that is too high saturates units, saturated units learn little,
# and a model that has learned little is not calibrated.
_RULES = (
    training_rules.learning_rate_too_high,
    data_rules.labels_unrelated,
    training_rules.zero_gradient,
    stuck_rules.weight_decay_too_strong,
    training_rules.vanishing_gradient,
    training_rules.saturated_units,
    training_rules.dead_units,
    training_rules.learning_rate_too_low,
    stuck_rules.stopped_on_plateau,
    data_rules.too_few_examples,
    data_rules.overfitting,
    data_rules.too_many_epochs,
    stuck_rules.underfitting,
    data_rules.class_imbalance,
    training_rules.too_few_epochs,
    data_rules.miscalibration,
    data_rules.linear_model_suffices,
)
RULE_NAMES = tuple(rule.__name__.replace("_", " ") for rule in (data_rules.leakage, *_RULES))


@dataclass(frozen=True)
class DiagnoseResult:
    """Result of a diagnosis; `dlcli runs show --diagnose --json` prints its findings with `asdict`.

    Attributes:
        epochs: Number of completed epochs.
        epoch: Epoch of the best checkpoint; None if the run has none and only its log was examined.
        findings: Problems and hints, problems first; empty for a healthy run.
        checks: Names of the problems that were checked for.
    """

    run: str
    status: str
    epochs: int
    epoch: int | None
    findings: tuple[Finding, ...]
    checks: tuple[str, ...] = RULE_NAMES


def diagnose(run: RunLike | None = None, *, device: str = "auto", data_root: str | None = None) -> DiagnoseResult:
    """Diagnose a run from its log and, if it has a best checkpoint, from its model and data.

    The arguments are those of `evaluate`.

    Raises:
        UsageError: If the run does not exist.
        DataError: If the run, its checkpoint or its data cannot be used.
    """
    run, epoch = open_run(run), None
    if run.has_checkpoint("best"):
        trained = load_trained_run(run, device=device, data_root=data_root)
        epoch, findings = trained.epoch, find_problems(trained, measure(trained))
    else:
        findings = find_problems(run)
    return DiagnoseResult(run.path, run.status, len(run.rows), epoch, tuple(findings))


def find_problems(log: RunLog, facts: Facts | None = None) -> list[Finding]:
    """Return the findings about a run, problems first; an empty list for a healthy run.

    The rules run in order and stop at the first problem; duplicates across splits are always reported. The test split
    is only searched for copies of training examples, so following the advice does not tune a model to the test split.

    Args:
        log: Settings and log of the run.
        facts: Measurements of the best checkpoint; None if the run has no best checkpoint.
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
