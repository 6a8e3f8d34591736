"""Diagnosis rules for models that hardly learn the training examples: plateaus, weight decay, too little training."""

from __future__ import annotations

from dlcli.config.schema import SgdOptimizer
from dlcli.evaluation.diagnosis.finding import FAILING, Case, Finding, advise, number, percent
from dlcli.evaluation.diagnosis.training_rules import LONGER_STEP, STILL_FALLING, longer_step

# Fraction of a constant prediction's loss; sigmoid layers start at 0.99 to 1.01 and may stay there for many epochs.
_ON_PLATEAU = 0.95
_UNDERFIT = 0.85  # fraction of the k-NN skill on train. Presets: at least 0.9; circles with a linear model: 0.1
_USUAL_MOMENTUM = 0.9
# Norm of the parameters after training, divided by their norm before training. Digits with weight decay 0.01: 1, with
# 0.1: 0.3, with 1: 0.001.
_SHRUNK = 0.5


def stopped_on_plateau(case: Case) -> Finding | None:
    """Report early stopping of a run that had not started to learn."""
    losses, patience = case.column("train/loss"), case.log.config.early_stopping.patience
    if case.facts is None or case.log.status != "stopped early" or patience is None or not losses:
        return None
    if case.relative_to_knn >= FAILING or losses[-1] < _ON_PLATEAU * case.facts.constant_loss:
        return None
    evidence = (
        f"train/loss was {number(losses[-1])} when training stopped after {len(losses)} epochs (metrics.jsonl); "
        f"a constant prediction has {number(case.facts.constant_loss)}",
        *case.comparison,
    )
    statement = "Early stopping ended training on a plateau: sigmoid layers often need many epochs to leave it."
    settings = (*_better_start(case), f"early_stopping.patience={10 * patience}")
    return advise("stopped-on-plateau", "problem", statement, evidence, *settings)


def weight_decay_too_strong(case: Case) -> Finding | None:
    """Report a model that fails because weight decay has shrunk its weights."""
    decay, facts = case.log.config.optimizer.weight_decay, case.facts
    if facts is None or not decay or facts.weight_norm > _SHRUNK:
        return None
    if min(case.fit_relative_to_knn, case.relative_to_linear) >= _UNDERFIT:
        return None
    evidence = (
        f"the norm of the parameters is {percent(facts.weight_norm)} of that before training",
        *case.comparison,
        *case.linear_comparison,
    )
    statement = "The weight decay is too strong: it pulls the weights towards 0, and the model hardly learns."
    return advise(
        "weight-decay-too-strong",
        "problem",
        statement,
        evidence,
        "optimizer.weight_decay=0",
        why=f"it was {decay:g}",
    )


def underfitting(case: Case) -> Finding | None:
    """Report a model that fits train much worse than nearest neighbours; more specific rules run before."""
    if case.facts is None or not case.is_complete or case.fit_relative_to_knn >= _UNDERFIT:
        return None
    model, losses = case.log.config.model, case.column("train/loss")
    if not model.hidden_sizes:
        statement = "The model underfits: without hidden layers, it can only learn linear functions."
        settings = ["model.hidden_sizes=[64]"]
    elif losses and losses[-1] > _ON_PLATEAU * case.facts.constant_loss:
        statement = "The model has not started to learn: its outputs are nearly the same for every example."
        settings = _leave_plateau(case)
    elif len(losses) > 1 and losses[-1] > (1 - STILL_FALLING) * losses[-1 - max(1, len(losses) // 10)]:
        statement = "Training is stuck: the loss hardly falls, and nearest neighbours fit the training examples better."
        settings = _leave_plateau(case)
    else:
        statement, settings = "The model underfits: it is too small or needs more training.", []
    settings = settings or [f"training.epochs={2 * len(losses)}"]
    return advise("underfitting", case.severity, statement, case.fit_comparison, *settings)


def _leave_plateau(case: Case) -> list[str]:
    """Return settings that make a stuck model learn: longer steps, other initial values, units that pass gradients.

    Two or more sigmoid layers pass on little of the gradient, and their outputs are around 1/2 instead of 0. With tanh,
    networks of up to six layers learn digits with the same settings (Glorot and Bengio, 2010).
    """
    assert case.facts is not None
    model = case.log.config.model
    too_slow = [longer_step(case)] if case.facts.best_step >= LONGER_STEP else []
    if model.activation == "sigmoid" and len(model.hidden_sizes) > 1 and not too_slow:
        init = [] if model.init == "xavier_uniform" else ["model.init=xavier_uniform"]
        return ["model.activation=tanh", *init]
    return [*(_better_start(case) if model.init == "zeros" or not too_slow else ()), *too_slow]


def _better_start(case: Case) -> tuple[str, ...]:
    """Return the settings that make a model leave its starting plateau: initialisation, and momentum for SGD."""
    config, settings = case.log.config, []
    init = "kaiming_uniform" if config.model.activation in ("relu", "leaky_relu") else "xavier_uniform"
    if config.model.init != init:
        settings.append(f"model.init={init}")
    if isinstance(config.optimizer, SgdOptimizer) and config.optimizer.momentum < _USUAL_MOMENTUM:
        settings.append(f"optimizer.momentum={_USUAL_MOMENTUM}")
    return tuple(settings)
