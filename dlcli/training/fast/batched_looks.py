"""Validation and traces of the models of a `BatchedStack`, equal to those of each model alone up to rounding."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dlcli.data.splits import Split
from dlcli.task import Task
from dlcli.training.events import FLAT, LayerTrace
from dlcli.training.fast.backprop import Batch, Propagation
from dlcli.training.fast.batched import BatchedStack
from dlcli.training.fast.gather import BatchedGatherer
from dlcli.training.fast.looks import SLOPES

_EXAMPLES = 2**17  # examples of all models in one forward pass; more are not faster and take memory


class BatchedEvaluation:
    """Sums of the models over a split; see `StackedEvaluation`.

    The outputs are computed on the device, and the sums of each model on the CPU, from one copy of all outputs.

    Args:
        stack: The models.
        tasks: Task of each model.
        splits: Examples of each model, equally many, on the device.
    """

    def __init__(self, stack: BatchedStack, tasks: Sequence[Task], splits: Sequence[Split]) -> None:
        self._tasks, self._top, size = tasks, stack.layers[-1], len(splits[0])
        self._n = min(size, max(1, _EXAMPLES // len(splits)))
        self._gatherer = BatchedGatherer(splits, self._n)
        self._rows, targets = self._gatherer.choose_all()
        self._targets, self._outputs = targets.cpu(), self._top.outputs(size)
        sizes = {self._n, size % self._n or self._n}
        self._propagations = {n: Propagation(stack.layers, stack.loss.gradient, n) for n in sizes}

    @torch.no_grad()
    def sums(self) -> list[dict[str, Tensor]]:
        """Return the sums of each model for its current parameters."""
        for rows, outputs in zip(self._rows.split(self._n, 1), self._outputs.split(self._n, 1), strict=True):
            self._propagations[rows.shape[1]].forward(self._gatherer.gather(rows), outputs)
        outputs = self._top.trim_padding(self._outputs).cpu()
        return [task.sums(*pair) for task, *pair in zip(self._tasks, outputs, self._targets, strict=True)]


class BatchedTracer:
    """Measurements inside the models; see `StackedTracer`.

    Args:
        stack: The models; measurements overwrite the gradients that the stack stores.
        kinds: Types of the activations, first layer first.
        probes: Examples for the measurements of each model, equally many, on the device.
    """

    def __init__(self, stack: BatchedStack, kinds: Sequence[type[nn.Module]], probes: Sequence[Split]) -> None:
        self._layers, self._kinds, n = stack.layers, kinds, len(probes[0])
        gatherer = BatchedGatherer(probes, n)
        rows, targets = gatherer.choose_all()
        self._batch = Batch(gatherer.gather(rows), targets, self._layers[-1].outputs(n))
        self._propagation = Propagation(self._layers, stack.loss.gradient, n)

    @torch.no_grad()
    def look(self) -> list[tuple[LayerTrace, ...]]:
        """Return the measurements of the layers of each model for its current parameters."""
        self._propagation(self._batch, lr=1.0, keep=1.0)
        saturated = [self._saturation(number) for number in range(len(self._layers))]
        matrices = [part for layer in self._layers for part in (layer.gradient, layer.weight) if part is not None]
        norms = [torch.linalg.vector_norm(matrix[:, :-1], dim=(1, 2)) for matrix in matrices]
        flat = [part for part in saturated if part is not None]
        values = torch.stack([*norms, *flat]).cpu().T.tolist()
        return [tuple(self._read(row, saturated)) for row in values]

    def _saturation(self, number: int) -> Tensor | None:
        """Return the fraction of flat activations after a layer, for each model; None if they do not saturate."""
        if number == len(self._kinds) or self._kinds[number] not in SLOPES:
            return None
        steepest, slope = SLOPES[self._kinds[number]]
        h = self._propagation.units[number].h[..., :-1]
        return (slope(h) < FLAT * steepest).to(h.dtype).mean((1, 2))

    def _read(self, values: list[float], saturated: Sequence[object]) -> list[LayerTrace]:
        """Return the measurements of one model.

        Args:
            values: Norms of the gradient and the weight of each layer, then the fractions of flat activations.
            saturated: Results of `_saturation`; None marks layers without a fraction.
        """
        fractions = iter(values[2 * len(self._layers) :])
        return [
            LayerTrace(values[2 * number], values[2 * number + 1], None if part is None else next(fractions))
            for number, part in enumerate(saturated)
        ]
