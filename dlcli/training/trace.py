"""Measurements inside a model during training: gradient norms, saturated units, paths of predictions."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from dlcli.data.splits import Split, Splits
from dlcli.task import Task
from dlcli.training.events import LayerTrace, Trace

TRACE_EXAMPLES = 256  # evenly spaced training examples: enough for a mean, fast compared with an epoch
FOLLOWED_PER_CLASS = 2
FLAT = 0.05  # fraction of the steepest slope; flatter activations pass back almost no gradient
# Steepest slope, and slope as a function of the activation's value.
_SLOPES: dict[type[nn.Module], tuple[float, Callable[[Tensor], Tensor]]] = {
    nn.Sigmoid: (0.25, lambda h: h * (1 - h)),
    nn.Tanh: (1.0, lambda h: 1 - h * h),
    nn.ReLU: (1.0, lambda h: (h > 0).to(h.dtype)),
}


def is_traced(epoch: int) -> bool:
    """Return whether to measure after an epoch: 1 … 8, 10, 12, 14, 16, 20, 24, …: four times per doubling.

    A measurement takes about as long as two steps; a run of 1,000 epochs has 36 of them.
    """
    return epoch % (1 << max(0, epoch.bit_length() - 3)) == 0


class Tracer:
    """Measures gradients, weights and saturation of a model.

    Args:
        model: Model.
        task: Task with the loss.
        splits: Training examples for the measurements; with three classes, monitored examples for the paths.
    """

    def __init__(self, model: nn.Sequential, task: Task, splits: Splits) -> None:
        self._model, self._task = model, task
        probe = splits.train.evenly_spaced(TRACE_EXAMPLES)
        self._inputs, self._targets = probe.inputs, probe.targets  # scaled once
        self._followed = followed_examples(splits) if splits.info.out_features == 3 else None

    def look(self) -> Trace:
        """Return the measurements for the current parameters; synchronises with the device."""
        device = next(self._model.parameters()).device
        h, targets = self._inputs.to(device), self._targets.to(device)
        if self._model.training:
            self._model.eval()
        flat: list[Tensor] = []
        for module in self._model:
            h = module(h)
            if type(module) in _SLOPES:
                steepest, slope = _SLOPES[type(module)]
                flat.append((slope(h.detach()) < FLAT * steepest).float().mean())
        weights = [module.weight for module in self._model if isinstance(module, nn.Linear)]
        gradients = torch.autograd.grad(self._task.loss(h, targets), weights)
        values = torch.stack([*torch._foreach_norm(gradients), *torch._foreach_norm(weights), *flat]).tolist()
        n = len(weights)
        saturated = values[2 * n :] or [None] * n
        layers = zip(values[:n], values[n : 2 * n], [*saturated, None][:n], strict=True)
        return Trace(tuple(LayerTrace(*layer) for layer in layers), self._follow(device))

    @torch.no_grad()
    def _follow(self, device: torch.device) -> tuple[tuple[float, ...], ...]:
        if self._followed is None or not len(self._followed):
            return ()
        probs = self._task.predictions(self._model(self._followed.inputs.to(device)))
        return tuple(tuple(row) for row in probs.tolist())


def followed_examples(splits: Splits) -> Split | None:
    """Return the first monitored examples of each class, whose predictions are recorded; None for regression."""
    if splits.info.task == "regression":
        return None
    labels = splits.monitored.targets
    chosen = [torch.nonzero(labels == label).flatten()[:FOLLOWED_PER_CLASS] for label in labels.unique()]
    return splits.monitored.select(torch.cat(chosen))
