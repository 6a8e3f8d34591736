"""The lecture's gradient formulas, checked against autograd and finite differences in float64."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # as all of torch's users write it

from dlcli.config.schema import Config, MseLoss
from dlcli.data.splits import Split
from dlcli.lecture.formulas import loss_gradient_formula
from dlcli.lecture.gradcheck import DIFFERENCE_TOLERANCE, FLOOR, FORMULA_TOLERANCE, STEP, relative_error
from dlcli.task import Task

_JACOBIANS = 4  # number of examples with a Jacobian; each takes one backward pass per class


@dataclass(frozen=True)
class IdentityCheck:
    """A formula of the lecture, evaluated on the batch; each error is the maximum over the entries.

    Attributes:
        formula: The equation as text.
        error: Formula against autograd.
        difference_error: Formula against central differences; None if it is not compared with them.
    """

    formula: str
    error: float
    difference_error: float | None = None

    @property
    def holds(self) -> bool:
        """Whether the errors are within the tolerances of `gradcheck`."""
        is_close = self.error <= FORMULA_TOLERANCE
        return is_close and (self.difference_error is None or self.difference_error <= DIFFERENCE_TOLERANCE)


def check_identities(model: nn.Sequential, task: Task, batch: Split, config: Config) -> list[IdentityCheck]:
    """Check the formulas that apply to this config's loss, head and activation.

    Args:
        model: Model in float64 on the CPU.
        task: Task with the loss and its gradient with respect to the outputs.
        batch: Examples in float64 on the CPU.
        config: Config with `model`, `loss` and `task`.
    """
    model.eval()
    with torch.no_grad():
        outputs, z = model(batch.inputs), model[0](batch.inputs)
    checks = [_loss_gradient(task, outputs, batch.targets, config)]
    if config.task == "classification" and config.model.head == "softmax":
        checks += _softmax(outputs, batch.targets)
    if config.task == "regression" and isinstance(config.loss, MseLoss):
        checks.append(_squared_error(model, task, batch))
    if config.model.hidden_sizes and config.model.activation == "sigmoid":
        checks.append(_sigmoid(z))
    return checks


def _error(formula: Tensor, reference: Tensor) -> float:
    return relative_error(formula, reference, FLOOR * max(1.0, float(reference.abs().max())))


def _loss_gradient(task: Task, outputs: Tensor, targets: Tensor, config: Config) -> IdentityCheck:
    """Check the ∂L/∂z that training uses, with the model's outputs z."""
    z = outputs.clone().requires_grad_()
    (expected,) = torch.autograd.grad(task.loss(z, targets), z)
    gradient = torch.empty_like(outputs)
    factor = task.loss_gradient(outputs, targets, gradient)
    size = "n" if getattr(config.loss, "class_weights", None) is None else "Σ w"
    return IdentityCheck(f"{size} ∂L/∂z = {loss_gradient_formula(config)}", _error(gradient * factor, expected))


def _softmax(logits: Tensor, labels: Tensor) -> Iterator[IdentityCheck]:
    """Check the lecture's diagonal of ∂softmax(z)/∂z, the full Jacobian, and the gradient of cross-entropy."""
    sample = logits[:_JACOBIANS]
    probs = sample.softmax(1)
    jacobian = torch.diag_embed(probs) - probs[:, :, None] * probs[:, None, :]
    jacobians = [torch.autograd.functional.jacobian(lambda z: z.softmax(0), z) for z in sample]
    by_autograd, by_differences = torch.stack(jacobians), _softmax_differences(sample)
    yield IdentityCheck(
        "∂softmax(z)/∂z = diag(p) − p pᵀ", _error(jacobian, by_autograd), _error(jacobian, by_differences)
    )
    diagonal = probs * (1 - probs)
    yield IdentityCheck(
        "its diagonal = p ⊙ (1 − p)",
        _error(diagonal, by_autograd.diagonal(dim1=1, dim2=2)),
        _error(diagonal, by_differences.diagonal(dim1=1, dim2=2)),
    )
    z = logits.clone().requires_grad_()
    (expected,) = torch.autograd.grad(F.cross_entropy(z, labels, reduction="sum"), z)
    p, y = logits.softmax(1), F.one_hot(labels, logits.shape[1])
    yield IdentityCheck("∂(−Σ y log softmax(z))/∂z = p − y", _error(p - y, expected))


def _softmax_differences(logits: Tensor) -> Tensor:
    """Return the Jacobians by central differences, shape (n, k, k), with one row per probability."""
    steps = STEP * torch.eye(logits.shape[1], dtype=logits.dtype)
    above, below = ((logits[:, None, :] + sign * steps).softmax(2) for sign in (1, -1))
    quotients: Tensor = (above - below) / (2 * STEP)
    return quotients.transpose(1, 2)


def _squared_error(model: nn.Sequential, task: Task, batch: Split) -> IdentityCheck:
    """Check ∇L = 1/n Σ 2 (f(x) − y) ∇f(x), with ∇f computed per example."""
    parameters = list(model.parameters())
    outputs = model(batch.inputs)
    expected = torch.autograd.grad(task.loss(outputs, batch.targets), parameters, retain_graph=True)
    total = [torch.zeros_like(parameter) for parameter in parameters]
    for output, target in zip(outputs.flatten(), batch.targets.flatten(), strict=True):
        gradients = torch.autograd.grad(output, parameters, retain_graph=True)
        for sum_, gradient in zip(total, gradients, strict=True):
            sum_ += 2 * (output.detach() - target) * gradient / outputs.numel()
    errors = [_error(formula, reference) for formula, reference in zip(total, expected, strict=True)]
    return IdentityCheck("∇L = 1/n Σ 2 (f(x) − y) ∇f(x)", max(errors))


def _sigmoid(z: Tensor) -> IdentityCheck:
    """Check σ′ = σ ⊙ (1 − σ) at the outputs of the first linear layer."""
    z = z.clone().requires_grad_()
    (expected,) = torch.autograd.grad(z.sigmoid().sum(), z)
    z = z.detach()
    by_differences = ((z + STEP).sigmoid() - (z - STEP).sigmoid()) / (2 * STEP)
    formula = z.sigmoid() * (1 - z.sigmoid())
    return IdentityCheck("σ′(z) = σ(z) ⊙ (1 − σ(z))", _error(formula, expected), _error(formula, by_differences))
