"""Rules for what goes wrong while a model trains. Each returns a finding or None.

The thresholds stand between what was measured on healthy runs of all presets, each with several seeds, and on runs with
one planted fault each; both are named.
"""

from __future__ import annotations

import itertools
import statistics

from dlcli.evaluation.diagnosis.finding import FAILING, Case, Finding, figure, percent
from dlcli.training.events import Trace

_CLIMB = 4.0  # times the loss before training. Healthy: 2.6 at most, presets 1.04; lr × 100: 7.6 at least, or diverged
_LONGER_STEP = 15.0  # presets: 0.03 to 10; lr / 1000: 32 to 10,000
_RISES = 0.05  # of the epochs. lr / 1000: none at all
_LAST_EPOCHS = 0.05  # of all. lr / 1000: the best epoch is the last, or one or two before
_AS_GOOD = 0.95  # of what neighbours tell. lr / 1000: 0.91 at most; presets: 0.91 at least, 0.98 where steps are short
_VANISHED = 1e-4  # presets: 0.05 or more, three layers on a plateau: 0.005; ten sigmoid layers: 1e-5 or less
_SATURATED = 0.95  # of the units. Presets: 0.79 at most, an L1 head 0.9; large inputs or ten N(0, 1) layers: 0.99
_DEAD = 0.9  # of the units. Healthy, with one feature: 0.78; lr × 20 from N(0, 1): 0.98
_ON_PLATEAU = 0.95  # of the constant answer's loss; sigmoid layers begin at 0.99 to 1.01 and may stay there for long
_LITTLE = 0.85  # of what neighbours tell. Presets: 0.91 at least; circles by a straight line: 0.15
_STILL_FALLING = 0.1  # of val/loss in the last tenth of the epochs. Presets: 0.06 at most; 3 epochs: 0.35


def learning_rate_too_high(case: Case) -> Finding | None:
    """The loss diverged, or climbed far above what it was before training."""
    log, facts = case.log, case.facts
    losses = case.column("train/loss")
    evidence = []
    if facts is not None and losses:
        before = max(facts.start_loss, facts.constant_loss, 1e-12)
        climbed = max(losses) / before
        if log.status != "diverged" and climbed < _CLIMB:
            return None
        where = losses.index(max(losses)) + 1
        evidence.append(f"train/loss {figure(max(losses))} in epoch {where}; before training {figure(before)}")
    elif log.status != "diverged":
        return None
    if log.status == "diverged":
        evidence.insert(0, f"in epoch {len(losses) + 1} the loss was not finite any more (summary.json: diverged)")
    lr, factor = log.config.optimizer.lr, 0.1
    if facts is not None:
        factor = min(factor, facts.best_step)
        evidence.append(_best_step(facts.best_step))
    advice = f"optimizer.lr={lr * factor:.1g}; it was {lr:g}"
    if log.config.data.normalize == "none":
        advice += "; data.normalize=standard, since inputs with large values make steep losses"
    statement = "The learning rate is too high: steps overshoot, and the loss grows where it should fall."
    return Finding("learning-rate-too-high", "problem", statement, tuple(evidence), advice)


def _best_step(length: float) -> str:
    return f"where training began, the step that lowers train's loss most is {figure(length)} times the optimizer's"


def zero_gradient(case: Case) -> Finding | None:
    """Heaviside hidden layers let no gradient through."""
    model = case.log.config.model
    if model.activation != "heaviside" or not model.hidden_sizes:
        return None
    hidden = [layer.gradient_norm for trace in case.log.traces.values() for layer in trace.layers[:-1]]
    evidence = []
    if hidden:
        evidence.append(f"largest norm of the gradient of a hidden layer in {_looks(case)}: {figure(max(hidden))}")
    if case.facts is not None:
        evidence.append(case.comparison)
    statement = (
        "Hidden layers learn nothing: the Heaviside step is flat, so its gradient is 0. Only the last one learns."
    )
    return Finding("zero-gradient", "problem", statement, tuple(evidence), "model.activation=sigmoid")


def vanishing_gradient(case: Case) -> Finding | None:
    """The first layer's gradient is tiny beside the last one's, and saturation is not why."""
    ratios = {epoch: _first_to_last(trace) for epoch, trace in case.log.traces.items()}
    known = [ratio for ratio in ratios.values() if ratio is not None]
    if not known or statistics.median(known) >= _VANISHED or _saturated(case) >= _SATURATED:
        return None
    epoch = min(ratios)
    layers = case.log.traces[epoch].layers
    evidence = [
        f"relative to its weights, the gradient of layer 1 is {figure(statistics.median(known))} times "
        f"that of layer {len(layers)}: the median of {_looks(case)}",
        f"gradient norms after epoch {epoch}: " + ", ".join(figure(layer.gradient_norm) for layer in layers),
    ]
    if case.facts is not None:
        evidence.append(case.comparison)
    name, depth = case.log.config.model.activation, len(layers) - 1
    statement = f"The gradient vanishes on its way back through {depth} {name} layers: the first ones hardly learn."
    lr = case.log.config.optimizer.lr / 10
    advice = f"model.hidden_sizes=[64], or model.activation=relu model.init=kaiming_uniform optimizer.lr={lr:.1g}"
    return Finding("vanishing-gradient", case.severity, statement, tuple(evidence), advice)


def _first_to_last(trace: Trace) -> float | None:
    if not trace.layers:
        return None
    first, last = trace.layers[0], trace.layers[-1]
    if not (first.weight_norm and last.weight_norm and last.gradient_norm):
        return None
    return (first.gradient_norm / first.weight_norm) / (last.gradient_norm / last.weight_norm)


def _looks(case: Case) -> str:
    return f"{len(case.log.traces)} looks (trace.jsonl)"


def saturated_units(case: Case) -> Finding | None:
    """Nearly all sigmoid or tanh units of a layer stand where the activation is flat."""
    if _saturated(case) < _SATURATED:
        return None
    epoch = max(case.log.traces)
    shares = [layer.saturated for layer in case.log.traces[epoch].layers]
    shown = ", ".join(percent(share) for share in shares if share is not None)
    evidence = [f"saturated after epoch {epoch}, by layer: {shown} (trace.jsonl)"]
    if case.facts is not None:
        evidence.append(case.comparison)
    name, config = case.log.config.model.activation, case.log.config
    statement = f"Nearly all {name} units of a layer are saturated: there the curve is flat and little is learned."
    advice = f"model.init=xavier_uniform, or optimizer.lr={config.optimizer.lr / 10:.1g}"
    advice = f"data.normalize=standard; {advice}" if config.data.normalize == "none" else advice
    return Finding("saturated-units", case.severity, statement, tuple(evidence), advice)


def _saturated(case: Case) -> float:
    """Return the largest share of a layer after the last epoch looked at; ReLU's zeros are no saturation."""
    if not case.log.traces or case.log.config.model.activation not in ("sigmoid", "tanh"):
        return 0.0
    layers = case.log.traces[max(case.log.traces)].layers
    return max((layer.saturated for layer in layers if layer.saturated is not None), default=0.0)


def dead_units(case: Case) -> Finding | None:
    """Nearly all ReLU units of a layer are 0 whatever the input."""
    if case.facts is None or max(case.facts.dead, default=0.0) < _DEAD:
        return None
    shares = ", ".join(percent(share) for share in case.facts.dead)
    evidence = (f"units that are 0 for every example of train, by layer: {shares}", case.comparison)
    statement = "Nearly all ReLU units of a layer are dead: they give 0 for every example and get no gradient."
    lr = case.log.config.optimizer.lr
    advice = f"optimizer.lr={lr / 10:.1g}, model.init=kaiming_uniform or model.activation=leaky_relu"
    return Finding("dead-units", case.severity, statement, evidence, advice)


def learning_rate_too_low(case: Case) -> Finding | None:
    """The loss falls without ever rising, is far from done at the end, and longer steps would have lowered it more."""
    losses, val = case.column("train/loss"), case.column("val/loss")
    if case.facts is None or not case.is_complete or min(len(losses), len(val)) < 2:
        return None
    if case.reached >= _AS_GOOD or case.facts.best_step < _LONGER_STEP:
        return None
    rises = sum(after > before for before, after in itertools.pairwise(losses))
    best = val.index(min(val)) + 1
    if rises > _RISES * len(losses) or best < len(val) - max(1, _LAST_EPOCHS * len(val)):
        return None
    evidence = (
        f"train/loss {figure(losses[0])} → {figure(losses[-1])}, higher than the epoch before in {rises} of "
        f"{len(losses)} epochs; val/loss best in epoch {best} (metrics.jsonl)",
        _best_step(case.facts.best_step),
        case.comparison,
    )
    lr = case.log.config.optimizer.lr
    statement = "The learning rate is too low: the loss was still falling steadily when training ended."
    advice = f"optimizer.lr={lr * case.facts.best_step:.1g}; it was {lr:g}"
    return Finding("learning-rate-too-low", "problem", statement, evidence, advice)


def stopped_on_plateau(case: Case) -> Finding | None:
    """Early stopping ended a run that had not begun to learn."""
    losses, patience = case.column("train/loss"), case.log.config.early_stopping.patience
    if case.facts is None or case.log.status != "stopped early" or patience is None or not losses:
        return None
    if case.reached >= FAILING or losses[-1] < _ON_PLATEAU * case.facts.constant_loss:
        return None
    evidence = (
        f"train/loss {figure(losses[-1])} when it stopped, after {len(losses)} epochs (metrics.jsonl); "
        f"a constant answer has {figure(case.facts.constant_loss)}",
        case.comparison,
    )
    statement = "Early stopping gave up on a plateau: sigmoid layers often stay there for a while before they learn."
    advice = f"early_stopping.patience={10 * patience}, or a higher optimizer.lr"
    return Finding("stopped-on-plateau", "problem", statement, evidence, advice)


def underfitting(case: Case) -> Finding | None:
    """The model tells much less than what has learned nothing, and no reason was found."""
    if case.facts is None or not case.is_complete or case.reached >= _LITTLE:
        return None
    model, losses = case.log.config.model, case.column("train/loss")
    statement = "The model has learned less than the inputs tell: it is too simple, or not done."
    if not model.hidden_sizes:
        advice = "model.hidden_sizes=[64]: a model without hidden layers draws straight lines only"
    elif model.init == "zeros":
        advice = "model.init=default: units that begin equal learn the same"
    elif losses and losses[-1] > _ON_PLATEAU * case.facts.constant_loss:
        statement = "The model has not begun to learn: it says nearly the same of every example."
        advice = "model.init=kaiming_uniform for ReLU, xavier_uniform else; fewer model.hidden_sizes"
    else:
        advice = f"training.epochs={2 * len(losses)}, or larger model.hidden_sizes"
    return Finding("underfitting", case.severity, statement, (case.comparison,), advice)


def too_few_epochs(case: Case) -> Finding | None:
    """The last epoch is the best, and the one before was much worse."""
    val, epochs = case.column("val/loss"), len(case.log.rows)
    if case.log.status != "finished" or len(val) < max(2, epochs) or min(val) < val[-1]:
        return None
    before = val[-1 - max(1, epochs // 10)]
    if before - val[-1] < _STILL_FALLING * before:
        return None
    evidence = (f"val/loss {figure(before)} → {figure(val[-1])} in the last {max(1, epochs // 10)} of {epochs} epochs",)
    statement = "Training ended while it was still getting better: the last epoch is the best."
    return Finding("too-few-epochs", "hint", statement, evidence, f"training.epochs={2 * epochs}")
