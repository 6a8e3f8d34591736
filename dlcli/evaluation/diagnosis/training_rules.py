"""Diagnosis rules for training problems. Each rule returns a finding or None.

Each threshold lies between the values of healthy runs (all presets, several seeds each) and the values of runs with a
single planted fault. The comment on a threshold gives both.
"""

from __future__ import annotations

import itertools
import statistics

from dlcli.evaluation.diagnosis.finding import Case, Finding, advise, number, percent
from dlcli.evaluation.diagnosis.measurements import LONGEST_STEP
from dlcli.training.events import Trace

_CLIMB = 4.0  # peak loss / initial loss. Healthy: at most 2.6, presets 1.04; lr × 100: at least 7.6, or diverged
# The learning rate is too low if the first step that lowers the loss most is this many times as long as the optimizer's
# step. Measured: presets 0.03 to 10; presets with lr / 1000 32 to 10,000.
LONGER_STEP = 15.0
_RISES = 0.05  # fraction of the epochs in which the loss rises. lr / 1000: 0
_LAST_EPOCHS = 0.05  # the last epochs, as a fraction. lr / 1000: the best epoch is at most two epochs before the last
# Fraction of the k-NN skill. lr / 1000: at most 0.91. Presets: at least 0.91, or 0.98 if their steps are short.
_GOOD_ENOUGH = 0.95
# Gradient of the first layer / gradient of the last layer, each relative to the weights. Presets: at least 0.05, three
# layers on a plateau: 0.005; ten sigmoid layers: at most 1e-5.
_VANISHED = 1e-4
# Fraction of the units of a layer. Presets: at most 0.79, with an L1 head 0.9; large inputs, or ten layers initialized
# from N(0, 1): 0.99.
_SATURATED = 0.95
_DEAD = 0.9  # fraction of the units of a layer. Healthy, with one feature: 0.78; lr × 20 with init N(0, 1): 0.98
STILL_FALLING = 0.1  # relative fall of the loss in the last tenth of the epochs. Presets: at most 0.06; 3 epochs: 0.35
_STILL_FALLING_OF_CONSTANT = 0.03  # the same fall / a constant prediction's loss. Learned blobs: 1e-5, circles: 0.016


def learning_rate_too_high(case: Case) -> Finding | None:
    """Report a loss that diverged, or that rose far above its value before training."""
    log, facts = case.log, case.facts
    losses, evidence = case.column("train/loss"), []
    if log.status == "diverged":
        evidence.append(f"the loss became NaN or infinite in epoch {len(losses) + 1} (summary.json: diverged)")
    if facts is not None and losses:
        before, peak = max(facts.start_loss, facts.constant_loss, 1e-12), max(losses)
        if log.status == "diverged" or peak / before >= _CLIMB:
            evidence.append(
                f"train/loss reached {number(peak)} in epoch {losses.index(peak) + 1}; the {case.monitored}/loss of "
                f"the untrained model, or of a constant prediction if that is higher, is {number(before)}"
            )
    if not evidence:
        return None
    lr, factor = log.config.optimizer.lr, 0.1
    if facts is not None:
        factor = min(factor, facts.best_step)
        evidence.append(_best_step(facts.best_step))
    statement = "The learning rate is too high: steps overshoot the minimum, and the loss rises instead of falling."
    settings = [f"optimizer.lr={min(lr * factor, _default_lr(case)):.1g}"]
    why = f"it was {lr:g}"
    if log.config.data.normalize == "none":
        settings.append("data.normalize=standard")
        why += ", and large input values make the loss steep"
    return advise("learning-rate-too-high", "problem", statement, tuple(evidence), *settings, why=why)


def _best_step(length: float) -> str:
    return (
        "at the start of training, the step that lowers the training loss most is "
        f"{number(length)} times the optimizer's step"
    )


def zero_gradient(case: Case) -> Finding | None:
    """Report Heaviside hidden layers, which block the gradient."""
    model = case.log.config.model
    if model.activation != "heaviside" or not model.hidden_sizes:
        return None
    hidden = [layer.gradient_norm for trace in case.log.traces.values() for layer in trace.layers[:-1]]
    norms = (f"largest gradient norm of a hidden layer in {_traced(case)}: {number(max(hidden))}",) if hidden else ()
    statement = (
        "Hidden layers learn nothing: the Heaviside step is flat, so its gradient is 0. Only the last layer learns."
    )
    return advise("zero-gradient", "problem", statement, (*norms, *case.comparison), "model.activation=sigmoid")


def vanishing_gradient(case: Case) -> Finding | None:
    """Report a first layer with a much smaller gradient than the last layer, unless saturation explains it."""
    ratios = {epoch: _first_to_last(trace) for epoch, trace in case.log.traces.items()}
    measured = [ratio for ratio in ratios.values() if ratio is not None]
    if not measured or statistics.median(measured) >= _VANISHED or _saturated(case) >= _SATURATED:
        return None
    epoch = min(ratios)
    layers = case.log.traces[epoch].layers
    evidence = (
        f"relative to the weights, the gradient of layer 1 is {number(statistics.median(measured))} times "
        f"that of layer {len(layers)}: median over {_traced(case)}",
        f"gradient norms after epoch {epoch}: " + ", ".join(number(layer.gradient_norm) for layer in layers),
        *case.comparison,
    )
    name, depth = case.log.config.model.activation, len(layers) - 1
    statement = f"The gradient vanishes on its way back through {depth} {name} layers: the first layers hardly learn."
    return advise("vanishing-gradient", case.severity, statement, evidence, "model.hidden_sizes=[64]")


def _first_to_last(trace: Trace) -> float | None:
    if not trace.layers:
        return None
    first, last = trace.layers[0], trace.layers[-1]
    if not (first.weight_norm and last.weight_norm and last.gradient_norm):
        return None
    return (first.gradient_norm / first.weight_norm) / (last.gradient_norm / last.weight_norm)


def _traced(case: Case) -> str:
    return f"{len(case.log.traces)} traced epochs (trace.jsonl)"


def saturated_units(case: Case) -> Finding | None:
    """Report a layer with nearly all sigmoid or tanh units in the flat part of the activation."""
    if _saturated(case) < _SATURATED:
        return None
    epoch = max(case.log.traces)
    fractions = [layer.saturated for layer in case.log.traces[epoch].layers]
    listing = ", ".join(percent(fraction) for fraction in fractions if fraction is not None)
    evidence = (f"saturated units after epoch {epoch}, by layer: {listing} (trace.jsonl)", *case.comparison)
    name, config = case.log.config.model.activation, case.log.config
    statement = f"Nearly all {name} units of a layer are saturated: the curve is flat there, so they hardly learn."
    if config.data.normalize == "none":
        setting = "data.normalize=standard"
    elif config.model.init != "xavier_uniform":
        setting = "model.init=xavier_uniform"
    else:
        setting = f"optimizer.lr={config.optimizer.lr / 10:.1g}"
    return advise("saturated-units", case.severity, statement, evidence, setting)


def _saturated(case: Case) -> float:
    """Return the largest fraction of saturated units in a layer after the last traced epoch; 0 for ReLU and others."""
    if not case.log.traces or case.log.config.model.activation not in ("sigmoid", "tanh"):
        return 0.0
    layers = case.log.traces[max(case.log.traces)].layers
    return max((layer.saturated for layer in layers if layer.saturated is not None), default=0.0)


def dead_units(case: Case) -> Finding | None:
    """Report a layer with nearly all ReLU units at 0 for every input."""
    if case.facts is None or max(case.facts.dead, default=0.0) < _DEAD:
        return None
    fractions = ", ".join(percent(fraction) for fraction in case.facts.dead)
    evidence = (f"units that output 0 for every sampled training example, by layer: {fractions}", *case.comparison)
    statement = "Nearly all ReLU units of a layer are dead: they output 0 for every example and get no gradient."
    lr = f"optimizer.lr={case.log.config.optimizer.lr / 10:.1g}"
    return advise("dead-units", case.severity, statement, evidence, "model.init=kaiming_uniform", lr)


def learning_rate_too_low(case: Case) -> Finding | None:
    """Report a loss that falls steadily, is still high at the end, and would fall faster with longer steps."""
    losses, val = case.column("train/loss"), case.column(f"{case.monitored}/loss")
    if case.facts is None or not case.is_complete or min(len(losses), len(val)) < 2:
        return None
    if case.relative_to_knn >= _GOOD_ENOUGH or case.facts.best_step < LONGER_STEP:
        return None
    rises = sum(after > before for before, after in itertools.pairwise(losses))
    best = val.index(min(val)) + 1
    if rises > _RISES * len(losses) or best < len(val) - max(1, _LAST_EPOCHS * len(val)):
        return None
    evidence = (
        f"train/loss fell from {number(losses[0])} to {number(losses[-1])} and rose in {rises} of {len(losses)} "
        f"epochs; {case.monitored}/loss was lowest in epoch {best} (metrics.jsonl)",
        _best_step(case.facts.best_step),
        *case.comparison,
    )
    lr = case.log.config.optimizer.lr
    statement = "The learning rate is too low: the loss was still falling steadily when training ended."
    return advise("learning-rate-too-low", "problem", statement, evidence, longer_step(case), why=f"it was {lr:g}")


def longer_step(case: Case) -> str:
    """Return the learning rate of the best first step, or the default if even the longest step tried was too short."""
    assert case.facts is not None
    if case.facts.best_step >= LONGEST_STEP:
        return f"optimizer.lr={_default_lr(case):g}"
    return f"optimizer.lr={case.log.config.optimizer.lr * case.facts.best_step:.1g}"


def _default_lr(case: Case) -> float:
    """Return the default learning rate of the run's optimizer."""
    return float(type(case.log.config.optimizer).model_fields["lr"].default)


def too_few_epochs(case: Case) -> Finding | None:
    """Report a run whose last epoch is the best and much better than earlier epochs."""
    val, epochs = case.column(f"{case.monitored}/loss"), len(case.log.rows)
    if case.facts is None or case.log.status != "finished" or len(val) < max(2, epochs) or min(val) < val[-1]:
        return None
    last = max(1, epochs // 10)
    before = val[-1 - last]
    if before - val[-1] < max(STILL_FALLING * before, _STILL_FALLING_OF_CONSTANT * case.facts.constant_loss):
        return None
    span = "the final epoch" if last == 1 else f"the last {last} of {epochs} epochs"
    evidence = (f"{case.monitored}/loss fell from {number(before)} to {number(val[-1])} in {span}",)
    statement = "The loss still falls: training ended while the model was improving, and the last epoch is the best."
    return advise("too-few-epochs", "hint", statement, evidence, f"training.epochs={2 * epochs}")
