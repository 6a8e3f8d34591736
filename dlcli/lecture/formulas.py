"""Model, loss and update rule of a config as formulas in the lecture's notation.

x is an input, and x̄ is x with a leading 1, whose weight is the bias. θ denotes all parameters; the parameters of each
layer have a letter φ, ψ, …, ξ. f(x, θ) is the model, L(X, Y, θ) the loss over n examples, and α the learning rate.
"""

from __future__ import annotations

from collections.abc import Sequence

from dlcli.config.schema import (
    AdamWOptimizer,
    AnyOptimizer,
    Config,
    CrossEntropyLoss,
    HuberLoss,
    L1Loss,
    MseLoss,
    RmspropOptimizer,
    SgdOptimizer,
)

ACTIVATION_FORMULAS = {
    "sigmoid": "1 / (1 + e^-z)",
    "heaviside": "1 if z > 0, otherwise 0",
    "identity": "z",
    "relu": "max(0, z)",
    "leaky_relu": "z if z > 0, otherwise 0.01 z",
    "tanh": "tanh z",
    "gelu": "z Φ(z), with the standard normal distribution Φ",
    "silu": "z / (1 + e^-z)",
    "softplus": "log(1 + e^z)",
}
HEAD_FORMULAS = {
    "softmax": "softmax(z)_i = e^(z_i) / Σ_j e^(z_j)",
    "l1": "l1(z)_i = |z_i| / Σ_j |z_j|",
}
_TARGET_SCALES = {
    "none": "",
    "unit": "y is scaled to 0..1",
    "symmetric": "y is scaled to −1..1",
    "standard": "y is scaled to mean 0, standard deviation 1",
}
_HIDDEN_LETTERS = "φψωρτκ"  # without letters that have another meaning here: α, δ, ε, θ, λ, μ, σ
_MOST_NESTED = 8  # maximum number of layers; formulas of deeper models are abbreviated


def layer_letters(n: int) -> list[str]:
    """Return a letter per layer: θ for a single layer, otherwise φ, ψ, …, and ξ for the last; φ₁ … φₙ for many."""
    if n == 1:
        return ["θ"]
    if n - 1 <= len(_HIDDEN_LETTERS):
        return [*_HIDDEN_LETTERS[: n - 1], "ξ"]
    subscripts = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
    return [f"φ{i}".translate(subscripts) for i in range(1, n + 1)]


def function_lines(config: Config) -> list[str]:
    """Return the formula of f, then the definitions of its parts."""
    model, is_classification = config.model, config.task == "classification"
    letters = layer_letters(len(model.hidden_sizes) + 1)
    outputs = _nested(letters, has_norm=model.batch_norm)
    lines = [f"f(x, θ) = {model.head}({outputs})" if is_classification else f"f(x, θ) = {outputs}"]
    if model.hidden_sizes and model.batch_norm:
        lines += [
            "ν(z) = γ (z − m) / √(s² + 1e-05) + β, elementwise; θ includes the scale γ and the shift β",
            "m and s² are the mean and variance of z over the batch; in evaluation, running means, at first 0 and 1",
            "autograd computes the gradients, because ν is not among the layers with written-out formulas",
        ]
    if model.hidden_sizes:
        lines.append(f"σ(z) = {ACTIVATION_FORMULAS[model.activation]}, elementwise")
        lines.append("x̄ and σ̄ have a leading 1, whose weight is the bias")
    else:
        lines.append("x̄ has a leading 1, whose weight is the bias")
    if is_classification:
        lines.append(HEAD_FORMULAS[model.head])
    if model.hidden_sizes and model.activation == "identity":
        lines.append("σ is the identity: the layers together are one linear model")
    if model.hidden_sizes and model.dropout:
        keep = 1 - model.dropout
        lines.append(
            f"in training, each entry of σ is 0 with probability {model.dropout:g}, otherwise it is divided by {keep:g}"
        )
    return lines


def _nested(letters: Sequence[str], *, has_norm: bool) -> str:
    """Return ξᵀ σ̄(ψᵀ σ̄(φᵀ x̄)), with the middle abbreviated for many layers; σ̄(ν(φᵀ x̄)) with batch normalization."""
    start, end = ("σ̄(ν(", "))") if has_norm else ("σ̄(", ")")
    if len(letters) > _MOST_NESTED:
        return f"{letters[-1]}ᵀ {start} … {start}{letters[0]}ᵀ x̄{end}{end}"
    inner = f"{letters[0]}ᵀ x̄"
    for letter in letters[1:]:
        inner = f"{letter}ᵀ {start}{inner}{end}"
    return inner


def loss_lines(config: Config, n_outputs: int) -> list[str]:
    """Return the formula of L, then the definitions of its parts.

    Args:
        config: Config of the run.
        n_outputs: Number of classes, or length of a target.
    """
    loss = config.loss
    if isinstance(loss, CrossEntropyLoss):
        return _cross_entropy_lines(loss, n_outputs)
    if config.task == "classification":
        return [
            "L(X, Y, θ) = 1/n Σ_j Σ_i (f(x_j, θ)_i − y_{j,i})²",
            "y_{j,i} = 1 for the label's class, otherwise 0",
            "unlike cross-entropy, this is not KL(P, Q) plus a constant; both are measured below",
        ]
    mean = "1/n Σ_j" if n_outputs == 1 else "1/n Σ_j 1/k Σ_i"
    y = _TARGET_SCALES[config.data.normalize]
    match loss:
        case MseLoss():
            lines = [f"L(X, Y, θ) = {mean} (f(x_j, θ) − y_j)²"]
        case L1Loss():
            lines = [f"L(X, Y, θ) = {mean} |f(x_j, θ) − y_j|"]
        case HuberLoss(delta=delta):
            definition = f"h(e) = e² / 2 if |e| ≤ {delta:g}, otherwise {delta:g} (|e| − {delta:g} / 2)"
            lines = [f"L(X, Y, θ) = {mean} h(f(x_j, θ) − y_j)", definition]
    return [*lines, y] if y else lines


def _cross_entropy_lines(loss: CrossEntropyLoss, k: int) -> list[str]:
    smoothing = loss.label_smoothing
    lines = ["L(X, Y, θ) = −1/n Σ_j Σ_i P(y_{j,i} | x_j) log f(x_j, θ)_i"]
    if loss.class_weights is not None:
        origin = "n / (k × its count)" if loss.class_weights == "balanced" else "as given"
        lines = [
            "L(X, Y, θ) = −Σ_j Σ_i w_i P(y_{j,i} | x_j) log f(x_j, θ)_i / Σ_j w_{y_j}",
            f"w_i is the weight of class i, {origin}; the means below weight all classes equally",
        ]
    if smoothing:
        lines.append(
            f"P(y_{{j,i}} | x_j) = {1 - smoothing + smoothing / k:.4g} for the label's class, "
            f"otherwise {smoothing / k:.4g}"
        )
    else:
        lines.append("P(y_{j,i} | x_j) = 1 for the label's class, otherwise 0")
    return lines


def loss_gradient_formula(config: Config) -> str:
    """Return n ∂L/∂z of one example, with the outputs z of the last layer; with class weights, Σ w replaces n."""
    loss = config.loss
    match loss:
        case CrossEntropyLoss(class_weights=None):
            formula = "p − y"
        case CrossEntropyLoss():
            formula = "(wᵀ y) p − w ⊙ y"
        case L1Loss():
            return "sign(f(x) − y)"
        case HuberLoss(delta=delta):
            return f"f(x) − y clipped to ±{delta:g}"
        case MseLoss():
            if config.task == "regression":
                return "2 (f(x) − y)"
            formula = "2 p ⊙ (g − pᵀ g), g = p − y"
    if config.model.head == "l1":
        formula = f"({formula}) / z" if "=" not in formula else "2 p ⊙ (g − pᵀ g) / z, g = p − y"
    smoothing = loss.label_smoothing if isinstance(loss, CrossEntropyLoss) else 0.0
    return f"{formula}, y smoothed by {smoothing:g}" if smoothing else formula


def update_lines(config: Config, steps_per_epoch: int) -> list[str]:
    """Return the update of θ as a list of assignments, then the learning rate and the number of steps."""
    lr, epochs = config.optimizer.lr, config.training.epochs
    schedule = "" if config.scheduler.name == "none" else f", multiplied by the {config.scheduler.name} schedule"
    warmup = f", rising from 0 over {config.scheduler.warmup_epochs:g} epochs" if config.scheduler.warmup_epochs else ""
    times = f"t = {epochs * steps_per_epoch:,} steps: {epochs:,} epochs of {steps_per_epoch:,}"
    stopping = "; early stopping may end training sooner" if config.early_stopping.patience else ""
    lines = _assignments(config.optimizer, config.training.gradient_clip_norm)
    return [*lines, f"α = {lr:g}{schedule}{warmup}", f"{times}{stopping}"]


def _assignments(optimizer: AnyOptimizer, gradient_clip_norm: float | None) -> list[str]:
    decay = optimizer.weight_decay
    is_decoupled = isinstance(optimizer, AdamWOptimizer)
    lines = ["J ← ∇_θ L(X, Y, θ), over the batch"]
    if gradient_clip_norm is not None:
        lines.append(f"J ← J · min(1, {gradient_clip_norm:g} / ‖J‖)")
    if decay and is_decoupled:
        lines.append(f"θ ← θ − α {decay:g} θ")
    elif decay:
        lines.append(f"J ← J + {decay:g} θ")
    if isinstance(optimizer, RmspropOptimizer):
        return [*lines, *_rmsprop_assignments(optimizer)]
    if not isinstance(optimizer, SgdOptimizer):
        first, second = optimizer.betas
        return [
            *lines,
            f"m ← {first:g} m + {1 - first:.4g} J;  v ← {second:g} v + {1 - second:.4g} J²",
            f"θ ← θ − α (m / (1 − {first:g}ᵗ)) / (√(v / (1 − {second:g}ᵗ)) + {optimizer.eps:g})",
        ]
    if not optimizer.momentum:
        return [*lines, "θ ← θ − α J"]
    lookahead = f"J + {optimizer.momentum:g} v" if optimizer.nesterov else ""
    return [*lines, f"v ← {optimizer.momentum:g} v + J", f"θ ← θ − α ({lookahead})" if lookahead else "θ ← θ − α v"]


def _rmsprop_assignments(optimizer: RmspropOptimizer) -> list[str]:
    decay, scaled = optimizer.alpha, f"J / (√v + {optimizer.eps:g})"
    mean = f"v ← {decay:g} v + {1 - decay:.4g} J²"
    if not optimizer.momentum:
        return [mean, f"θ ← θ − α {scaled}"]
    return [mean, f"m ← {optimizer.momentum:g} m + {scaled}", "θ ← θ − α m"]


def loss_term_formula(config: Config) -> str:
    """Return the formula of a single loss term: of one class of an example, or of one output."""
    loss, is_regression = config.loss, config.task == "regression"
    match loss:
        case CrossEntropyLoss(class_weights=None):
            return "−y log p"
        case CrossEntropyLoss():
            return "−w y log p"
        case L1Loss():
            return "|f(x) − y|"
        case HuberLoss():
            return "h(f(x) − y)"
        case MseLoss():
            return "(f(x) − y)²" if is_regression else "(p − y)²"
