"""Are the gradients right? Autograd held against the formulas that train and against differences, in float64.

Two numbers a and b differ by |a − b| / max(|a|, |b|, floor). The floor is a thousandth of the largest of 1, the loss
and all gradients: an entry far below it is a sum of numbers far above it, whose rounding it has; its error counts by
what matters to the step.

The derivative by differences is (L(θ + h) − L(θ − h)) / 2h, with h = ε^(1/3) max(1, |θ|): a larger h errs by the
third derivative, a smaller one by rounding (Press et al., Numerical Recipes, 2007, 5.7). Where the loss has a kink
(ReLU), a jump (Heaviside) or a pole (the L1 head) within the step, it says nothing. That is asked of the loss alone,
so that no wrong gradient gets by: if h is halved, a smooth loss keeps its slope, and its slopes to the right and to
the left come closer by half. Entries that fail this are skipped and counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dlcli.data.splits import Split
from dlcli.task import Task
from dlcli.training.fast.backprop import Batch, Propagation, is_known, read_layers
from dlcli.training.fast.layers import ones_beside

EXAMPLES = 32
SAMPLED_ENTRIES = 40  # of each tensor, by differences: each takes four passes forward
# Rounding alone stays below 1e-11. But torch's softplus is a line above z = 20, which is off by 2e-9 per layer. What is
# wrong is off by far more.
FORMULA_TOLERANCE = 1e-7
DIFFERENCE_TOLERANCE = 1e-5
FLOOR = 1e-3
STEP = torch.finfo(torch.float64).eps ** (1 / 3)


@dataclass(frozen=True)
class ParameterCheck:
    """The gradient of the weights or of the biases of a layer; the errors are the worst of any entry.

    Attributes:
        layer: Counted from 1, from the inputs.
        parameter: weight or bias.
        entries: All of them are held against the formulas.
        largest: Largest gradient, without its sign.
        formula_error: Autograd against the formulas; None where an activation's derivative is not written out.
        sampled: Entries held against differences.
        skipped: Entries drawn but not held against differences, for the loss is not smooth within the step.
        difference_error: Autograd against differences; None if all were skipped.
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
        """Whether there is no gradient at all, whoever is asked."""
        return self.largest == 0 and not self.formula_error and self.difference_error == 0


@dataclass(frozen=True)
class GradientCheck:
    """What became of all gradients.

    Attributes:
        loss: Of the batch.
        examples: In the batch.
        floor: See the module.
        parameters: From the first layer to the last, weights before biases.
    """

    loss: float
    examples: int
    floor: float
    parameters: tuple[ParameterCheck, ...]

    @property
    def flat_layers(self) -> list[int]:
        """The layers whose every gradient is exactly 0."""
        layers = dict.fromkeys(one.layer for one in self.parameters)
        return [layer for layer in layers if all(one.is_flat for one in self.parameters if one.layer == layer)]

    @property
    def faint_layers(self) -> list[int]:
        """The layers whose gradients are there, but all so small that differences would pass anything."""
        least = DIFFERENCE_TOLERANCE * self.floor
        layers = dict.fromkeys(one.layer for one in self.parameters)
        largest = {layer: max(one.largest for one in self.parameters if one.layer == layer) for layer in layers}
        return [layer for layer, gradient in largest.items() if 0 < gradient <= least]

    @property
    def failures(self) -> list[str]:
        """What is not as it should be, the last layer first: its errors go down to the others."""
        return [text for one in reversed(self.parameters) for text in _failures(one)]


def _failures(one: ParameterCheck) -> Iterator[str]:
    compared = (
        ("the formulas", one.formula_error, FORMULA_TOLERANCE),
        ("differences", one.difference_error, DIFFERENCE_TOLERANCE),
    )
    for whom, error, tolerance in compared:
        if error is not None and not error <= tolerance:  # NaN fails too
            yield f"layer {one.layer}, {one.parameter}: autograd and {whom} differ by {error:.2g}"


def relative_error(a: Tensor, b: Tensor, floor: float) -> float:
    """Return the largest |a − b| / max(|a|, |b|, floor) over all entries.

    Args:
        a: Of any shape.
        b: Of the same shape.
        floor: Above 0; smaller entries count by it.
    """
    scale = torch.maximum(a.abs(), b.abs()).clamp_min(floor)
    return float(((a - b).abs() / scale).max())


def check_gradients(model: nn.Sequential, task: Task, batch: Split, *, seed: int) -> GradientCheck:
    """Compare the gradients of every layer, with dropout off.

    Args:
        model: In float64 on the CPU; left as it was but for being in evaluation mode.
        task: Gives the loss, and its gradient with respect to the outputs.
        batch: In float64 on the CPU.
        seed: Draws the entries that are compared with differences.
    """
    model.eval()
    parameters = list(model.parameters())
    loss = task.loss(model(batch.inputs), batch.targets)
    gradients = torch.autograd.grad(loss, parameters)
    floor = FLOOR * max(1.0, loss.item(), *(float(gradient.abs().max()) for gradient in gradients))
    formulas = formula_gradients(model, task, batch)

    generator = torch.Generator().manual_seed(seed)
    checks: list[ParameterCheck] = []
    for index, (parameter, gradient) in enumerate(zip(parameters, gradients, strict=True)):
        drawn = torch.randperm(parameter.numel(), generator=generator)[:SAMPLED_ENTRIES].sort().values
        quotients = difference_quotients(lambda: task.loss(model(batch.inputs), batch.targets), parameter, drawn, floor)
        smooth = ~quotients.isnan()
        sampled = int(smooth.sum())
        checks.append(
            ParameterCheck(
                layer=index // 2 + 1,
                parameter="bias" if index % 2 else "weight",
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


@torch.no_grad()
def formula_gradients(model: nn.Sequential, task: Task, batch: Split) -> list[Tensor] | None:
    """Return the gradients by back-propagation written out, in the order and the shapes of the model's parameters.

    None if an activation has no derivative there: it is trained by autograd.
    """
    if not is_known(model):
        return None
    n, features = batch.inputs.shape
    layers = read_layers(model, n)
    kept: list[Tensor] = []
    for layer in layers:
        layer.dropout = 0.0
        kept += layer.part(layer.keep_gradient())
    inputs = ones_beside(n, features, dtype=batch.dtype, device=batch.device)
    inputs[:, :-1] = batch.inputs
    outputs = layers[-1].outputs(n)
    Propagation(layers, task.loss_gradient, n)(Batch(inputs, batch.targets, outputs), lr=1.0, keep=1.0)
    return kept


@torch.no_grad()
def difference_quotients(loss: Callable[[], Tensor], parameter: Tensor, entries: Tensor, floor: float) -> Tensor:
    """Return ∂loss/∂θ by central differences for some entries of a parameter; NaN where the loss is not smooth.

    Args:
        loss: Computes the loss with the parameter as it is.
        parameter: Changed for a moment, and left as it was; contiguous.
        entries: Positions in the flat parameter, int64.
        floor: See the module.
    """
    flat = parameter.view(-1)
    there = loss()

    def derivatives(entry: int, value: Tensor, h: float) -> tuple[Tensor, Tensor]:
        """Return the slope, and the slope to the right less the slope to the left."""
        flat[entry] = value + h
        above = loss()
        flat[entry] = value - h
        below = loss()
        flat[entry] = value
        return (above - below) / (2 * h), (above - 2 * there + below) / h

    quotients = parameter.new_empty(len(entries))
    for i, entry in enumerate(entries.tolist()):
        value = flat[entry].clone()
        h = STEP * max(1.0, abs(value.item()))
        (wide, wide_bend), (narrow, narrow_bend) = (derivatives(entry, value, step) for step in (h, h / 2))
        doubt = torch.maximum((wide - narrow).abs(), (wide_bend - 2 * narrow_bend).abs())
        # Kinks with less doubt than this move the narrow quotient by less than the tolerance.
        is_smooth = doubt <= DIFFERENCE_TOLERANCE / 2 * narrow.abs().clamp_min(floor)
        quotients[i] = narrow if is_smooth else torch.nan
    return quotients
