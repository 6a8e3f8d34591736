"""Gradient check of autograd against the analytic gradients and central finite differences, in float64.

The relative error of two numbers a and b is |a − b| / max(|a|, |b|, floor). The floor is a thousandth of the largest of
1, the loss and all gradients: a much smaller entry is a sum of much larger numbers and carries their rounding errors,
so its error is measured relative to the floor.

The finite difference is (L(θ + h) − L(θ − h)) / 2h with h = ε^(1/3) max(1, |θ|). A larger h increases the truncation
error (the term of the third derivative), and a smaller h increases the rounding error (Press et al., Numerical Recipes,
2007, 5.7). The finite difference is invalid if the loss has a kink (ReLU), a jump (Heaviside) or a pole (the L1 head)
within the step. The test for this uses the loss alone, so that it cannot hide a wrong gradient: if h is halved, the
slope of a smooth loss stays the same, and the difference between its right and left slopes is halved. Entries that fail
the test are skipped and counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dlcli.data.splits import Split
from dlcli.task import Task
from dlcli.training.fast.backprop import Batch, Propagation, is_supported, read_layers
from dlcli.training.fast.layers import with_ones_column

EXAMPLES = 32
SAMPLED_ENTRIES = 40  # entries per tensor compared with finite differences; each takes four forward passes
# Rounding errors stay below 1e-11, except that torch's softplus is linear above z = 20, an error of 2e-9 per layer. The
# error of a wrong gradient is much larger.
FORMULA_TOLERANCE = 1e-7
DIFFERENCE_TOLERANCE = 1e-5
FLOOR = 1e-3
STEP = torch.finfo(torch.float64).eps ** (1 / 3)


@dataclass(frozen=True)
class ParameterCheck:
    """Result for a parameter tensor of a layer; each error is the maximum over the entries.

    Attributes:
        layer: Number of the layer, counted from 1 at the inputs.
        parameter: weight or bias of the Linear, or norm weight or norm bias of its BatchNorm1d.
        entries: Number of entries; all are compared with the analytic gradient.
        largest: Largest absolute gradient.
        formula_error: Autograd against the analytic gradient; None if a layer has no analytic derivative.
        sampled: Number of entries compared with finite differences.
        skipped: Number of drawn entries left out because the loss is not smooth within the step.
        difference_error: Autograd against finite differences; None if all drawn entries were skipped.
    """

    layer: int
    parameter: str
    entries: int
    largest: float
    formula_error: float | None
    sampled: int
    skipped: int
    difference_error: float | None

    @property
    def is_flat(self) -> bool:
        """Whether autograd, analytic gradient and finite differences are all exactly 0."""
        return self.largest == 0 and not self.formula_error and self.difference_error == 0


@dataclass(frozen=True)
class GradientCheck:
    """Result for all parameters of a model.

    Attributes:
        loss: Loss of the batch.
        examples: Number of examples in the batch.
        floor: Floor of the relative error, see the module docstring.
        parameters: Results from the first layer to the last, weights before biases.
    """

    loss: float
    examples: int
    floor: float
    parameters: tuple[ParameterCheck, ...]

    @property
    def flat_layers(self) -> list[int]:
        """Layers in which every gradient is exactly 0."""
        layers = dict.fromkeys(check.layer for check in self.parameters)
        return [layer for layer in layers if all(check.is_flat for check in self.parameters if check.layer == layer)]

    @property
    def faint_layers(self) -> list[int]:
        """Layers with gradients that are not 0, but too small for finite differences to detect an error."""
        limit = DIFFERENCE_TOLERANCE * self.floor
        layers = dict.fromkeys(check.layer for check in self.parameters)
        largest = {layer: max(check.largest for check in self.parameters if check.layer == layer) for layer in layers}
        return [layer for layer, gradient in largest.items() if 0 < gradient <= limit]

    @property
    def failures(self) -> list[str]:
        """Mismatches, last layer first, because its errors propagate to all earlier layers."""
        return [failure for check in reversed(self.parameters) for failure in _failures(check)]


def _failures(check: ParameterCheck) -> Iterator[str]:
    compared = (
        ("the analytic gradient", check.formula_error, FORMULA_TOLERANCE),
        ("finite differences", check.difference_error, DIFFERENCE_TOLERANCE),
    )
    for reference, error, tolerance in compared:
        if error is not None and not error <= tolerance:  # `not <=` also catches NaN
            yield f"layer {check.layer}, {check.parameter}: autograd and {reference} differ by {error:.2g}"


def relative_error(a: Tensor, b: Tensor, floor: float) -> float:
    """Return the largest |a − b| / max(|a|, |b|, floor) over all entries.

    Args:
        a: Tensor of any shape.
        b: Tensor of the same shape.
        floor: Smallest denominator, above 0.
    """
    scale = torch.maximum(a.abs(), b.abs()).clamp_min(floor)
    return float(((a - b).abs() / scale).max())


def check_gradients(model: nn.Sequential, task: Task, batch: Split, *, seed: int) -> GradientCheck:
    """Check the gradients of every layer, with dropout off and batch normalization over the batch, as in training.

    Args:
        model: Model in float64 on the CPU; only its mode and its running statistics change.
        task: Task with the loss and its gradient with respect to the outputs.
        batch: Examples in float64 on the CPU.
        seed: Seed for the entries that are compared with finite differences.
    """
    model.eval()
    for module in model:
        if isinstance(module, nn.BatchNorm1d):
            module.train()
    parameters, names = list(model.parameters()), _names(model)
    loss = task.loss(model(batch.inputs), batch.targets)
    gradients = torch.autograd.grad(loss, parameters)
    floor = FLOOR * max(1.0, loss.item(), *(float(gradient.abs().max()) for gradient in gradients))
    formulas = formula_gradients(model, task, batch)

    generator = torch.Generator().manual_seed(seed)
    checks: list[ParameterCheck] = []
    for index, (parameter, gradient, name) in enumerate(zip(parameters, gradients, names, strict=True)):
        drawn = torch.randperm(parameter.numel(), generator=generator)[:SAMPLED_ENTRIES].sort().values
        quotients = difference_quotients(lambda: task.loss(model(batch.inputs), batch.targets), parameter, drawn, floor)
        smooth = ~quotients.isnan()
        sampled = int(smooth.sum())
        checks.append(
            ParameterCheck(
                layer=name[0],
                parameter=name[1],
                entries=parameter.numel(),
                largest=float(gradient.abs().max()),
                formula_error=None if formulas is None else relative_error(gradient, formulas[index], floor),
                sampled=sampled,
                skipped=len(drawn) - sampled,
                difference_error=relative_error(gradient.flatten()[drawn][smooth], quotients[smooth], floor)
                if sampled
                else None,
            )
        )
    return GradientCheck(loss.item(), len(batch), floor, tuple(checks))


def _names(model: nn.Sequential) -> list[tuple[int, str]]:
    """Return the layer and the name of each parameter of a model, in their order."""
    names, layer = [], 0
    for module in model:
        layer += isinstance(module, nn.Linear)
        prefix = "norm " if isinstance(module, nn.BatchNorm1d) else ""
        names += [(layer, f"{prefix}{name}") for name, _ in module.named_parameters()]
    return names


@torch.no_grad()
def formula_gradients(model: nn.Sequential, task: Task, batch: Split) -> list[Tensor] | None:
    """Return the gradients from dlcli's own backpropagation, in the order and shapes of the model's parameters.

    None if a layer has no analytic derivative, such as BatchNorm1d; such a model is trained with autograd.
    """
    if not is_supported(model):
        return None
    n, features = batch.inputs.shape
    layers = read_layers(model, n)
    gradients: list[Tensor] = []
    for layer in layers:
        layer.dropout = 0.0
        gradients += layer.unpack(layer.keep_gradient())
    inputs = with_ones_column(n, features, dtype=batch.dtype, device=batch.device)
    inputs[:, :-1] = batch.inputs
    outputs = layers[-1].outputs(n)
    Propagation(layers, task.loss_gradient, n)(Batch(inputs, batch.targets, outputs), lr=1.0, keep=1.0)
    return gradients


@torch.no_grad()
def difference_quotients(loss: Callable[[], Tensor], parameter: Tensor, entries: Tensor, floor: float) -> Tensor:
    """Return ∂loss/∂θ by central differences for some entries of a parameter; NaN where the loss is not smooth.

    Args:
        loss: Function that computes the loss with the current parameter.
        parameter: Contiguous parameter; changed temporarily and restored.
        entries: Positions in the flattened parameter, int64.
        floor: Floor of the relative error, see the module docstring.
    """
    flat = parameter.view(-1)
    center = loss()

    def derivatives(entry: int, value: Tensor, h: float) -> tuple[Tensor, Tensor]:
        """Return the slope, and the right slope minus the left slope."""
        flat[entry] = value + h
        above = loss()
        flat[entry] = value - h
        below = loss()
        flat[entry] = value
        return (above - below) / (2 * h), (above - 2 * center + below) / h

    quotients = parameter.new_empty(len(entries))
    for i, entry in enumerate(entries.tolist()):
        value = flat[entry].clone()
        h = STEP * max(1.0, abs(value.item()))
        (wide, wide_bend), (narrow, narrow_bend) = (derivatives(entry, value, step) for step in (h, h / 2))
        deviation = torch.maximum((wide - narrow).abs(), (wide_bend - 2 * narrow_bend).abs())
        # A kink with a smaller deviation changes the narrow quotient by less than the tolerance.
        is_smooth = deviation <= DIFFERENCE_TOLERANCE / 2 * narrow.abs().clamp_min(floor)
        quotients[i] = narrow if is_smooth else torch.nan
    return quotients
