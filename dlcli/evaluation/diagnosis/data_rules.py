"""Diagnosis rules for data problems: leakage, unrelated labels, too few examples, rare classes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from dlcli.evaluation.diagnosis.finding import FAILING, SURE, Case, Finding, advise, number, percent
from dlcli.evaluation.diagnosis.measurements import Facts
from dlcli.text import join

# If a fraction s of the test examples are copies, test accuracy rises by at most s times the error rate. With 10 %
# errors, 1 % of copies raise it by 0.1 points, a third of the standard error on 10,000 examples, and 5 % of copies
# raise it by half a point. The presets have no copies.
_COPIES_HINT, _COPIES_PROBLEM = 0.01, 0.05
# A linear model does as well up to this ratio of the errors 1 − fraction explained. Linear data: at most 1.01,
# diabetes: 1.1, digits: 3.
_AS_WELL = 1.1
# A linear model is better if its error is lower by at least this much. A difference instead of a ratio, because both
# errors are near 0 for data without noise.
_BETTER = 0.02
_MIN_VAL_EXAMPLES = 30  # even if all 30 are correct, the error rate may be 3 / 30 (Hanley and Lippman-Hand, 1983)
# Loss on val minus loss on train, as a fraction of the loss reduction on train. Presets with a significant gap: at most
# 0.07; friedman1, half noise: 0.17; 50 digits: 0.20.
_GAP_HINT, _GAP_PROBLEM = 0.12, 0.18
_RELAPSE = 1.5  # late val/loss / best val/loss. Presets: at most 1.2; 1,000 epochs on diabetes: 2.6
_RELAPSE_OF_CONSTANT = 0.1  # minimum rise of val/loss, as a fraction of the constant prediction's loss
_LEAST_PATIENCE = 30  # epochs; val/loss of a few hundred examples varies from epoch to epoch
_RARE = 0.2  # examples of a class, as a fraction of the most frequent class
_MISCALIBRATED = 0.03  # calibration error minus the error that chance causes. Presets: at most 0.01


def leakage(case: Case) -> Finding | None:
    """Report examples of val or test that also occur in train."""
    facts = case.facts
    if facts is None or facts.is_coarse or max(overlap.fraction for overlap in facts.overlaps) < _COPIES_HINT:
        return None
    target = "label" if facts.class_counts else "target"
    evidence = tuple(overlap.describe(target) for overlap in facts.overlaps if overlap.copies)
    splits = join(overlap.split for overlap in facts.overlaps if overlap.fraction >= _COPIES_HINT)
    statement = f"Copies of training examples occur in {splits}: metrics measured there reward memorization."
    is_problem = max(overlap.fraction for overlap in facts.overlaps) >= _COPIES_PROBLEM
    advice = "remove the duplicates from the data before it is split, and train again"
    return Finding("leakage", "problem" if is_problem else "hint", statement, evidence, advice)


def labels_unrelated(case: Case) -> Finding | None:
    """Report that neither the model nor the k-NN baseline is better than chance on val."""
    facts = case.facts
    if facts is None or _highest_sigmas(facts, case.monitored) < 2 * SURE:
        return None
    if facts.model.sigmas >= SURE or facts.knn.sigmas >= SURE:
        return None
    losses, val = case.column("train/loss"), case.column(f"{case.monitored}/loss")
    names = "labels" if facts.class_counts else "targets"
    evidence = [
        *case.comparison,
        f"the model is {number(facts.model.sigmas)} standard errors above chance, "
        f"the baseline {number(facts.knn.sigmas)}",
    ]
    if val and losses[-1] < 0.95 * facts.constant_loss:
        evidence.append(
            f"train/loss fell to {number(losses[-1])}, which is memorization: {case.monitored}/loss is "
            f"{number(val[-1])}, that of a constant prediction {number(facts.constant_loss)} (metrics.jsonl)"
        )
    statement = f"The inputs do not seem to predict the {names}: are the {names} shuffled, or unrelated to the inputs?"
    advice = f"check that each input has the right {names.removesuffix('s')}: `dlcli predict --split train`"
    return Finding("labels-unrelated", "problem", statement, tuple(evidence), advice)


def _highest_sigmas(facts: Facts, split_name: str) -> float:
    """Return how many standard errors a perfect prediction is above chance: few if nearly all labels are the same."""
    constant = facts.constant_score if facts.class_counts else 0.5
    return math.sqrt(facts.examples[split_name] * (1 - constant) / max(constant, 1e-9))


def too_few_examples(case: Case) -> Finding | None:
    """Report a val split with too few examples to distinguish learning from memorization."""
    facts = case.facts
    if facts is None or facts.parameters <= facts.examples["train"]:
        return None
    train, val = facts.examples["train"], facts.examples["val"]
    if not 0 < val < _MIN_VAL_EXAMPLES:
        return None
    evidence = (
        f"{train:,} training examples, {facts.parameters:,} parameters",
        f"{val:,} validation examples: even if all predictions are correct, the error rate may be as high as "
        f"{percent(min(1.0, 3 / val))} (3 / n, 95 % confidence)",
    )
    statement = f"Only {train:,} training examples are available: a model of this size can memorize them."
    settings = ("model.hidden_sizes=[8]", "optimizer.weight_decay=1e-2", "data.val_fraction=0.3")
    return advise("too-few-examples", "problem", statement, evidence, *settings, why="more data helps more")


def overfitting(case: Case) -> Finding | None:
    """Report a much lower loss on train than on val."""
    facts = case.facts
    if facts is None or facts.gap < _GAP_HINT or facts.gap_sigmas < SURE:
        return None
    evidence = (
        f"{facts.examples['train']:,} training examples, {facts.parameters:,} parameters",
        f"{percent(facts.gap)} of the loss reduction on train does not carry over to val "
        f"({number(facts.gap_sigmas)} standard errors)",
        *_relapse(case),
    )
    statement = "The model overfits: it has memorized training examples and does worse on examples it has not seen."
    severity: Literal["problem", "hint"] = "problem" if facts.gap >= _GAP_PROBLEM else "hint"
    has_hidden = bool(case.log.config.model.hidden_sizes)
    settings = ("model.dropout=0.2" if has_hidden else "optimizer.weight_decay=1e-2", "early_stopping.patience=30")
    return advise("overfitting", severity, statement, evidence, *settings, why="more data helps more")


def too_many_epochs(case: Case) -> Finding | None:
    """Report a val/loss that rises again while train/loss falls, unless `overfitting` has reported it."""
    evidence = _relapse(case)
    if not evidence or case.log.status != "finished" or overfitting(case):
        return None
    val, config = case.column("val/loss"), case.log.config
    statement = f"val/loss rises again after epoch {val.index(min(val)) + 1}: train for fewer epochs."
    patience = f"early_stopping.patience={max(_LEAST_PATIENCE, _longest_wait(val) + 1)}"
    stops_alike = config.early_stopping.monitor == config.checkpoint.monitor == "val/loss"
    why = "the best checkpoint stays the same" if stops_alike and not config.early_stopping.min_delta else ""
    return advise("too-many-epochs", "hint", statement, evidence, patience, why=why)


def _relapse(case: Case) -> tuple[str, ...]:
    """Return evidence that val/loss rises again while train/loss falls; () if it does not."""
    facts, losses, val = case.facts, case.column("train/loss"), case.column("val/loss")
    if facts is None or not val:
        return ()
    best, late = val.index(min(val)), val[-max(1, len(val) // 4) :]
    end = sum(late) / len(late)
    has_risen = end >= _RELAPSE * val[best] and end - val[best] >= _RELAPSE_OF_CONSTANT * facts.constant_loss
    if not has_risen or losses[-1] >= losses[best]:
        return ()
    return (
        f"val/loss was {number(val[best])} in epoch {best + 1} and averages {number(end)} in the last quarter of the "
        f"epochs; train/loss fell from {number(losses[best])} to {number(losses[-1])} (metrics.jsonl)",
    )


def _longest_wait(losses: Sequence[float]) -> int:
    """Return the largest number of epochs without a new minimum before the epoch of the overall minimum."""
    lowest, waited, longest = math.inf, 0, 0
    for loss in losses[: losses.index(min(losses)) + 1]:
        waited = 0 if loss < lowest else waited + 1
        lowest, longest = min(lowest, loss), max(longest, waited)
    return longest


def class_imbalance(case: Case) -> Finding | None:
    """Report classes that are much rarer than the most frequent class, and perhaps never predicted."""
    if case.facts is None or not case.facts.class_counts:
        return None
    counts, predicted = case.facts.class_counts, case.facts.predicted_counts
    rare = [name for name, count in counts.items() if count < _RARE * max(counts.values())]
    if not rare:
        return None
    listing = ", ".join(f"{name}: {counts[name]:,}, predicted {predicted[name]:,} times" for name in rare[:5])
    never = [name for name in rare if counts[name] and not predicted[name]]
    statement = (
        f"Some classes are rare and never predicted: {', '.join(never[:5])}."
        if never
        else "Some classes are much rarer than others: macro F1 is more informative than accuracy."
    )
    splits = "train and val" if case.monitored == "val" else "train"
    evidence = (
        f"rare classes, with training examples and predictions on {splits}: {listing}",
        f"most frequent class: {max(counts.values()):,} training examples",
    )
    settings = ["loss.class_weights=balanced"]
    settings += ["checkpoint.monitor=val/macro_f1"] if case.monitored == "val" else []
    return advise("class-imbalance", "problem" if never else "hint", statement, evidence, *settings)


def miscalibration(case: Case) -> Finding | None:
    """Report stated probabilities that differ from the accuracy by more than chance explains."""
    result = case.facts and case.facts.calibration
    if not result or result.error <= result.highest_by_chance or result.error - result.by_chance < _MISCALIBRATED:
        return None
    is_overconfident = result.confidence > result.accuracy
    evidence = (
        f"expected calibration error on {case.monitored} {number(result.error)}; a perfectly calibrated model with the "
        f"same confidences has {number(result.by_chance)} on average, and at most "
        f"{number(result.highest_by_chance)} in 200 draws",
        f"mean confidence {percent(result.confidence)}, accuracy {percent(result.accuracy)}",
    )
    direction, frequency = ("over", "less") if is_overconfident else ("under", "more")
    statement = f"The probabilities are {direction}confident: predictions are right {frequency} often than they state."
    smoothing = getattr(case.log.config.loss, "label_smoothing", 0.0)
    if is_overconfident:
        setting = "loss.label_smoothing=0.05"
    else:
        decayed = case.log.config.optimizer.weight_decay and case.facts and case.facts.weight_norm < 1
        setting = "optimizer.weight_decay=0" if decayed else f"training.epochs={2 * len(case.log.rows)}"
        setting = "loss.label_smoothing=0" if smoothing else setting
    return advise("miscalibration", "hint", statement, evidence, setting)


def linear_model_suffices(case: Case) -> Finding | None:
    """Report that neither hidden layers nor nearest neighbours are better on val than a linear model."""
    facts = case.facts
    if facts is None or not case.is_complete or not case.log.config.model.hidden_sizes:
        return None
    linear, model, knn = (1 - skill.fraction_explained for skill in (facts.linear, facts.model, facts.knn))
    if facts.linear.sigmas < SURE or linear > _AS_WELL * min(model, knn) or case.relative_to_knn < FAILING:
        return None
    comparison = "better" if linear < model - _BETTER else "as well"
    statement = f"A linear model does {comparison}: the hidden layers do not help here."
    evidence = (*case.linear_comparison, *case.comparison)
    return advise("linear-model-suffices", "hint", statement, evidence, "model.hidden_sizes=[]")
