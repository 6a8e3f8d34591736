"""Measurements inside a model during training: gradient norms, saturated units, paths of predictions."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dlcli.data.splits import Split, Splits
from dlcli.task import Task
from dlcli.training.events import FLAT, LayerTrace, Trace
from dlcli.training.fast.looks import SLOPES, StackedTracer

TRACE_EXAMPLES = 256  # evenly spaced training examples: enough for a mean, fast compared with an epoch
FOLLOWED_PER_CLASS = 2


def is_traced(epoch: int) -> bool:
    """Return whether to measure after an epoch: 1 … 8, 10, 12, 14, 16, 20, 24, …: four times per doubling.

    A measurement takes about as long as two steps; a run of 1,000 epochs has 36 of them.
    """
    return epoch % (1 << max(0, epoch.bit_length() - 3)) == 0


class Tracer:
    """Measurement of gradients, weights and saturation of a model.

    Args:
        model: Model.
        task: Task with the loss.
        splits: Training examples for the measurements; with three classes, monitored examples for the paths.
        is_written_out: Whether to use the written-out gradients of the manual step, on a CPU; otherwise autograd.

    Attributes:
        probe: Training examples for the measurements.
    """

    def __init__(self, model: nn.Sequential, task: Task, splits: Splits, *, is_written_out: bool = False) -> None:
        self._model, self._task = model, task
        probe = splits.train.evenly_spaced(TRACE_EXAMPLES)
        self.probe = Split(probe.inputs, probe.targets)  # scaled only once, here
        self._stack: StackedTracer | None = None
        self._is_written_out = is_written_out
        self._followed = followed_examples(splits) if splits.info.out_features == 3 else None

    def look(self) -> Trace:
        """Return the measurements for the current parameters; synchronises with the device."""
        if not self._is_written_out:
            return self.trace(self._measure_layers())
        if self._stack is None:
            self._stack = StackedTracer([self._model], [self._task], [self.probe])
        return self.trace(self._stack.look()[0])

    @torch.no_grad()
    def trace(self, layers: tuple[LayerTrace, ...]) -> Trace:
        """Return the trace with these measurements of the layers and the current predictions."""
        if self._followed is None or not len(self._followed):
            return Trace(layers, ())
        self._model.eval()
        inputs = self._followed.inputs.to(next(self._model.parameters()).device)
        probs = self._task.predictions(self._model(inputs))
        return Trace(layers, tuple(tuple(row) for row in probs.tolist()))

    def _measure_layers(self) -> tuple[LayerTrace, ...]:
        """Return the measurements of the layers from autograd."""
        device = next(self._model.parameters()).device
        h, targets = self.probe.inputs.to(device), self.probe.targets.to(device)
        self._model.eval()
        flat: list[Tensor] = []
        for module in self._model:
            h = module(h)
            if type(module) in SLOPES:
                steepest, slope = SLOPES[type(module)]
                flat.append((slope(h.detach()) < FLAT * steepest).float().mean())
        weights = [module.weight for module in self._model if isinstance(module, nn.Linear)]
        gradients = torch.autograd.grad(self._task.loss(h, targets), weights)
        values = torch.stack([*torch._foreach_norm(gradients), *torch._foreach_norm(weights), *flat]).tolist()
        n = len(weights)
        saturated = values[2 * n :] or [None] * n
        layers = zip(values[:n], values[n : 2 * n], [*saturated, None][:n], strict=True)
        return tuple(LayerTrace(*layer) for layer in layers)


def followed_examples(splits: Splits) -> Split | None:
    """Return the first monitored examples of each class, whose predictions are recorded; None for regression."""
    if splits.info.task == "regression":
        return None
    labels = splits.monitored.targets
    chosen = [torch.nonzero(labels == label).flatten()[:FOLLOWED_PER_CLASS] for label in labels.unique()]
    return splits.monitored.select(torch.cat(chosen))
