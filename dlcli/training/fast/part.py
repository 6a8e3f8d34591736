"""Gradients of a part of a batch from written-out back-propagation."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dlcli.data.splits import Split
from dlcli.task import Task
from dlcli.training.fast.backprop import Batch, Propagation, read_layers
from dlcli.training.fast.layers import with_ones_column


class ManualGradients:
    """Gradients of a part of a batch with the formulas of `dlcli.training.fast.backprop`; see `Gradients`.

    Args:
        model: Model whose layers `backprop` supports; only `update_model` changes it.
        task: Task with the loss and its gradient with respect to the outputs.
        batch_size: Number of examples in a full batch.
    """

    def __init__(self, model: nn.Sequential, task: Task, batch_size: int) -> None:
        self._task = task
        self._layers = read_layers(model, batch_size)
        self.parameters = [layer.memory for layer in self._layers]
        self.has_dropout = any(layer.dropout for layer in self._layers)
        self._passes: dict[tuple[int, int, int], tuple[Propagation, Tensor, Tensor]] = {}

    def use(self, gradients: Sequence[Tensor]) -> None:
        """See `Gradients.use`."""
        for layer, gradient in zip(self._layers, gradients, strict=True):
            layer.use(layer.memory, gradient)

    @torch.inference_mode()
    def compute(self, part: Split, rows: slice, n: int) -> Tensor:
        """See `Gradients.compute`."""
        propagation, inputs, outputs = self._pass(part, rows, n)
        inputs[:, :-1] = part.inputs
        propagation(Batch(inputs, part.targets, outputs), lr=1.0, keep=1.0)
        trimmed = self._layers[-1].trim_padding(outputs)
        return self._task.total_loss(trimmed, part.targets) / self._task.weight(part.targets, outputs.dtype)

    def skip(self, n: int) -> None:
        """See `Gradients.skip`."""
        for layer in self._layers:
            if layer.dropout:
                layer.weight.new_empty(n, layer.units).bernoulli_(1 - layer.dropout)

    def _pass(self, part: Split, rows: slice, n: int) -> tuple[Propagation, Tensor, Tensor]:
        """Return the propagation of a part, and memory for its inputs and outputs."""
        key = (rows.start, rows.stop, n)
        if key not in self._passes:
            count, like = len(part), self.parameters[0]
            features = part.stored.shape[1]
            self._passes[key] = (
                Propagation(self._layers, self._task.loss_gradient, count, rows=rows, whole=n),
                with_ones_column(count, features, dtype=like.dtype, device=like.device),
                self._layers[-1].outputs(count),
            )
        return self._passes[key]

    @torch.no_grad()
    def update_model(self) -> None:
        """See `Gradients.update_model`."""
        for layer in self._layers:
            layer.update_model()

    def unpack(self, memory: Sequence[Tensor]) -> list[Tensor]:
        """See `Gradients.unpack`."""
        pairs = (layer.unpack(values) for layer, values in zip(self._layers, memory, strict=True))
        return [tensor for pair in pairs for tensor in pair]

    def pack(self, values: Sequence[Tensor]) -> list[Tensor]:
        """See `Gradients.pack`."""
        pairs = zip(values[::2], values[1::2], strict=True)
        return [layer.pack(*pair) for layer, pair in zip(self._layers, pairs, strict=True)]
