"""Rules for what data does to a result: copies, labels without meaning, too few examples, rare classes."""

from __future__ import annotations

import math

from dlcli.evaluation.diagnosis.finding import SURE, Case, Finding, figure, percent
from dlcli.evaluation.diagnosis.measurements import Facts

# A share s of copies lifts test accuracy by s times the error rate at most: with 10 % errors, 1 % by 0.1 points,
# a third of the standard error on 10,000 examples; 5 % by half a point. The presets, Fashion-MNIST too, have none.
_COPIES_SEEN, _COPIES_HARM = 0.01, 0.05
_EXAMPLES_TO_TELL = 30  # without a single mistake, the error may still be 3 / 30 (Hanley and Lippman-Hand, 1983)
# Of what was learned. Presets where it is sure: 0.07 at most; friedman1, half of it noise: 0.17; 50 digits: 0.20.
_GAP_SEEN, _GAP_HARM = 0.12, 0.18
_RELAPSE = 1.5  # times the best val/loss. Presets: 1.2 at most; 1,000 epochs on diabetes: 2.6
_RELAPSE_OF_CONSTANT = 0.1
_RARE = 0.2  # examples of the rarest class by those of the most frequent
_MISCALIBRATED = 0.03  # above what chance does. Presets: 0.01 at most


def leakage(case: Case) -> Finding | None:
    """Examples of val or test are in train too."""
    facts = case.facts
    if facts is None or facts.is_coarse or max(one.share for one in facts.overlaps) < _COPIES_SEEN:
        return None
    evidence = tuple(
        f"{one.found:,} of {one.examples:,} {one.split} examples ({percent(one.share)}) have inputs that are in train "
        f"to the last bit, {one.same_label:,} with the same {'label' if facts.class_counts else 'target'}"
        for one in facts.overlaps
        if one.found
    )
    splits = " and ".join(one.split for one in facts.overlaps if one.share >= _COPIES_SEEN)
    statement = f"Copies of training examples are in {splits}: its figures reward learning by heart."
    harmful = max(one.share for one in facts.overlaps) >= _COPIES_HARM
    advice = "take the copies out of the data before it is split, and train again"
    return Finding("leakage", "problem" if harmful else "hint", statement, evidence, advice)


def labels_unrelated(case: Case) -> Finding | None:
    """Neither the model nor neighbours tell anything of val that chance would not."""
    facts = case.facts
    if facts is None or _most_sigmas(facts) < 2 * SURE:
        return None
    if facts.model.sigmas >= SURE or facts.neighbours.sigmas >= SURE:
        return None
    losses, val = case.column("train/loss"), case.column("val/loss")
    what = "labels" if facts.class_counts else "targets"
    evidence = [
        case.comparison,
        f"that is {figure(facts.model.sigmas)} and {figure(facts.neighbours.sigmas)} standard errors above chance",
    ]
    if val and losses[-1] < 0.95 * facts.constant_loss:
        evidence.append(
            f"train/loss fell to {figure(losses[-1])}, that is learning by heart: val/loss {figure(val[-1])}, "
            f"a constant answer's {figure(facts.constant_loss)} (metrics.jsonl)"
        )
    statement = f"The inputs seem to tell nothing about the {what}: are the {what} shuffled, or unrelated?"
    advice = f"see whether each input has its own {what.removesuffix('s')}: `dlcli predict --split train`"
    return Finding("labels-unrelated", "problem", statement, tuple(evidence), advice)


def _most_sigmas(facts: Facts) -> float:
    """Return how many standard errors above chance the right answers would be: few, where one class is nearly all."""
    constant = facts.constant_score if facts.class_counts else 0.5
    return math.sqrt(facts.examples["val"] * (1 - constant) / max(constant, 1e-9))


def too_few_examples(case: Case) -> Finding | None:
    """So few examples that val cannot tell learning from learning by heart."""
    facts = case.facts
    if facts is None or facts.examples["val"] >= _EXAMPLES_TO_TELL or facts.parameters <= facts.examples["train"]:
        return None
    train, val = facts.examples["train"], facts.examples["val"]
    evidence = (
        f"{train:,} training examples, {facts.parameters:,} parameters",
        f"{val:,} validation examples: all of them right would still allow {percent(min(1.0, 3 / val))} errors "
        "(3 / n, at 95 %)",
    )
    statement = f"There are only {train:,} training examples: a model this large can learn them by heart."
    advice = "more data; else model.hidden_sizes=[8], optimizer.weight_decay=1e-2, data.val_fraction=0.3"
    return Finding("too-few-examples", "problem", statement, evidence, advice)


def overfitting(case: Case) -> Finding | None:
    """Train is told much better than val, or val grew worse while train grew better."""
    facts, losses, val = case.facts, case.column("train/loss"), case.column("val/loss")
    if facts is None or not val:
        return None
    best = val.index(min(val))
    late = val[-max(1, len(val) // 4) :]
    relapse = sum(late) / len(late)
    is_gap = facts.gap >= _GAP_SEEN and facts.gap_sigmas >= SURE
    is_relapse = relapse >= _RELAPSE * val[best] and relapse - val[best] >= _RELAPSE_OF_CONSTANT * facts.constant_loss
    if not is_gap and not (is_relapse and losses[-1] < losses[best]):
        return None
    evidence = [
        f"{facts.examples['train']:,} training examples, {facts.parameters:,} parameters",
        f"of what was learned of train, {percent(facts.gap)} does not hold on val ({figure(facts.gap_sigmas)} standard "
        "errors)",
    ]
    if is_relapse:
        evidence.append(
            f"val/loss {figure(val[best])} in epoch {best + 1}, {figure(relapse)} in the last quarter of the epochs; "
            f"train/loss fell from {figure(losses[best])} to {figure(losses[-1])} (metrics.jsonl)"
        )
    statement = "The model overfits: it has learned training examples by heart, which does not help with others."
    advice = "more data; else early_stopping.patience=10, optimizer.weight_decay=1e-2 or smaller model.hidden_sizes"
    harmful = is_gap and facts.gap >= _GAP_HARM
    return Finding("overfitting", "problem" if harmful else "hint", statement, tuple(evidence), advice)


def class_imbalance(case: Case) -> Finding | None:
    """A class is much rarer than another, and perhaps never predicted."""
    if case.facts is None or not case.facts.class_counts:
        return None
    counts, predicted = case.facts.class_counts, case.facts.predicted_counts
    rare = [name for name, count in counts.items() if count < _RARE * max(counts.values())]
    if not rare:
        return None
    shown = ", ".join(f"{name}: {counts[name]:,}, predicted {predicted[name]:,} times" for name in rare[:5])
    never = [name for name in rare if counts[name] and not predicted[name]]
    statement = (
        f"Some classes are rare and never predicted: {', '.join(never[:5])}."
        if never
        else "Some classes are much rarer than others: accuracy says little about them, macro F1 more."
    )
    evidence = (f"examples in train, and predictions for train and val: {shown}", f"most: {max(counts.values()):,}")
    advice = "loss.class_weights=balanced; checkpoint.monitor=val/macro_f1"
    return Finding("class-imbalance", "problem" if never else "hint", statement, evidence, advice)


def miscalibration(case: Case) -> Finding | None:
    """The model is right more or less often than it says, by more than chance explains."""
    found = case.facts and case.facts.calibration
    if not found or found.error <= found.highest_by_chance or found.error - found.by_chance < _MISCALIBRATED:
        return None
    too_sure = found.confidence > found.accuracy
    evidence = (
        f"expected calibration error on val {figure(found.error)}; a perfectly calibrated model with the same "
        f"confidences would show {figure(found.by_chance)}, and at most {figure(found.highest_by_chance)} in 200 draws",
        f"mean confidence {percent(found.confidence)}, right {percent(found.accuracy)}",
    )
    way, times = ("over", "less") if too_sure else ("under", "more")
    statement = f"The probabilities are {way}-confident: the model is right {times} often than it says."
    smoothing = getattr(case.log.config.loss, "label_smoothing", 0.0)
    if too_sure:
        advice = "loss.label_smoothing=0.05, or optimizer.weight_decay=1e-3"
    else:
        advice = "loss.label_smoothing=0" if smoothing else f"training.epochs={2 * len(case.log.rows)}"
    return Finding("miscalibration", "hint", statement, evidence, advice)
