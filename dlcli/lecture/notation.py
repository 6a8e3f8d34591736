"""The model, the loss and the update of a config in the lecture's notation, as text.

x is an input, x̄ the same with a leading 1, whose weight is the bias; θ are all parameters, with a letter φ, ψ, …, ξ
for each layer; f(x, θ) is the model, L(X, Y, θ) the loss over n examples, α the learning rate.
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
    SgdOptimizer,
)

ACTIVATION_FORMULAS = {
    "sigmoid": "1 / (1 + e^-z)",
    "heaviside": "1 where z > 0, else 0",
    "identity": "z",
    "relu": "max(0, z)",
    "leaky_relu": "z where z > 0, else 0.01 z",
    "tanh": "tanh z",
    "gelu": "z Φ(z), with the standard normal distribution Φ",
    "silu": "z / (1 + e^-z)",
    "softplus": "log(1 + e^z)",
}
HEAD_FORMULAS = {
    "softmax": "softmax(z)_i = e^(z_i) / Σ_j e^(z_j)",
    "l1": "l1(z)_i = |z_i| / Σ_j |z_j|",
}
_HIDDEN_LETTERS = "φψωρτκ"  # no letter that means something else here: α, δ, ε, θ, λ, μ, σ
_MOST_NESTED = 8  # layers that are written out


def layer_letters(n: int) -> list[str]:
    """Return a letter for each of n layers: θ alone, else φ, ψ, … and ξ for the last; φ₁ … φₙ when they run out."""
    if n == 1:
        return ["θ"]
    if n - 1 <= len(_HIDDEN_LETTERS):
        return [*_HIDDEN_LETTERS[: n - 1], "ξ"]
    subscripts = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
    return [f"φ{i}".translate(subscripts) for i in range(1, n + 1)]


def function_lines(config: Config) -> list[str]:
    """Return f, then what its parts mean."""
    model, is_classification = config.model, config.task == "classification"
    letters = layer_letters(len(model.hidden_sizes) + 1)
    outputs = _nested(letters)
    lines = [f"f(x, θ) = {model.head}({outputs})" if is_classification else f"f(x, θ) = {outputs}"]
    if model.hidden_sizes:
        lines.append(f"σ(z) = {ACTIVATION_FORMULAS[model.activation]}; entry by entry")
        lines.append("x̄ and σ̄ have a leading 1, whose weight is the bias")
    else:
        lines.append("x̄ has a leading 1, whose weight is the bias")
    if is_classification:
        lines.append(HEAD_FORMULAS[model.head])
    if model.hidden_sizes and model.activation == "identity":
        lines.append("σ changes nothing: the layers together are one linear model")
    if model.hidden_sizes and model.dropout:
        keep = 1 - model.dropout
        lines.append(f"in training each entry of σ is 0 with probability {model.dropout:g}, else divided by {keep:g}")
    return lines


def _nested(letters: Sequence[str]) -> str:
    """Return ξᵀ σ̄(ψᵀ σ̄(φᵀ x̄)), the middle left out where there are very many layers."""
    if len(letters) > _MOST_NESTED:
        return f"{letters[-1]}ᵀ σ̄( … σ̄({letters[0]}ᵀ x̄))"
    inner = f"{letters[0]}ᵀ x̄"
    for letter in letters[1:]:
        inner = f"{letter}ᵀ σ̄({inner})"
    return inner


def loss_lines(config: Config, n_outputs: int) -> list[str]:
    """Return L, then what its parts mean.

    Args:
        config: All settings.
        n_outputs: Number of classes, or length of a target.
    """
    loss = config.loss
    if isinstance(loss, CrossEntropyLoss):
        return _cross_entropy_lines(loss, n_outputs)
    if config.task == "classification":
        return [
            "L(X, Y, θ) = 1/n Σ_j Σ_i (f(x_j, θ)_i − y_{j,i})²",
            "y_{j,i} = 1 for the label's class, 0 else",
            "this is not KL(P, Q) plus a constant, as cross-entropy is; both are measured below",
        ]
    mean = "1/n Σ_j" if n_outputs == 1 else "1/n Σ_j 1/k Σ_i"
    y = "y is scaled to mean 0, standard deviation 1" if config.data.normalize == "standard" else ""
    y = "y is scaled to 0..1" if config.data.normalize == "unit" else y
    match loss:
        case MseLoss():
            lines = [f"L(X, Y, θ) = {mean} (f(x_j, θ) − y_j)²"]
        case L1Loss():
            lines = [f"L(X, Y, θ) = {mean} |f(x_j, θ) − y_j|"]
        case HuberLoss(delta=delta):
            inside = f"h(e) = e² / 2 where |e| ≤ {delta:g}, else {delta:g} (|e| − {delta:g} / 2)"
            lines = [f"L(X, Y, θ) = {mean} h(f(x_j, θ) − y_j)", inside]
    return [*lines, y] if y else lines


def _cross_entropy_lines(loss: CrossEntropyLoss, k: int) -> list[str]:
    share = loss.label_smoothing
    lines = ["L(X, Y, θ) = −1/n Σ_j Σ_i P(y_{j,i} | x_j) log f(x_j, θ)_i"]
    if loss.class_weights is not None:
        origin = "n / (k × its count)" if loss.class_weights == "balanced" else "as given"
        lines = [
            "L(X, Y, θ) = −Σ_j Σ_i w_i P(y_{j,i} | x_j) log f(x_j, θ)_i / Σ_j w_{y_j}",
            f"w_i is the weight of class i, {origin}; in the means below all classes weigh 1",
        ]
    if share:
        lines.append(f"P(y_{{j,i}} | x_j) = {1 - share + share / k:.4g} for the label's class, {share / k:.4g} else")
    else:
        lines.append("P(y_{j,i} | x_j) = 1 for the label's class, 0 else")
    return lines


def loss_gradient_formula(config: Config) -> str:
    """Return n ∂L/∂z of one example, z the last layer's output; with weights of classes, their sum instead of n."""
    loss = config.loss
    match loss:
        case CrossEntropyLoss(class_weights=None):
            formula = "p − y"
        case CrossEntropyLoss():
            formula = "(wᵀ y) p − w ⊙ y"
        case L1Loss():
            return "sign(f(x) − y)"
        case HuberLoss(delta=delta):
            return f"f(x) − y kept within ±{delta:g}"
        case MseLoss():
            if config.task == "regression":
                return "2 (f(x) − y)"
            formula = "2 p ⊙ (g − pᵀ g), g = p − y"
    if config.model.head == "l1":
        formula = f"({formula}) / z" if "=" not in formula else "2 p ⊙ (g − pᵀ g) / z, g = p − y"
    smoothing = loss.label_smoothing if isinstance(loss, CrossEntropyLoss) else 0.0
    return f"{formula}, y smoothed by {smoothing:g}" if smoothing else formula


def update_lines(config: Config, steps_per_epoch: int) -> list[str]:
    """Return how a step changes θ, one assignment after the other, and how often."""
    lr, epochs = config.optimizer.lr, config.training.epochs
    schedule = "" if config.scheduler.name == "none" else f", times the factor of the {config.scheduler.name} schedule"
    warmup = f", rising from 0 over {config.scheduler.warmup_epochs:g} epochs" if config.scheduler.warmup_epochs else ""
    times = f"t = {epochs * steps_per_epoch:,} steps: {epochs:,} epochs of {steps_per_epoch:,}"
    stopping = "; early stopping may make them fewer" if config.early_stopping.patience else ""
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
    if not isinstance(optimizer, SgdOptimizer):
        first, second = optimizer.betas
        return [
            *lines,
            f"m ← {first:g} m + {1 - first:.4g} J;  v ← {second:g} v + {1 - second:.4g} J²",
            f"θ ← θ − α (m / (1 − {first:g}ᵗ)) / (√(v / (1 − {second:g}ᵗ)) + {optimizer.eps:g})",
        ]
    if not optimizer.momentum:
        return [*lines, "θ ← θ − α J"]
    ahead = f"J + {optimizer.momentum:g} v" if optimizer.nesterov else ""
    return [*lines, f"v ← {optimizer.momentum:g} v + J", f"θ ← θ − α ({ahead})" if ahead else "θ ← θ − α v"]


def loss_term_formula(config: Config) -> str:
    """Return one term of the sum in L, of one class of one example, or of one output."""
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
