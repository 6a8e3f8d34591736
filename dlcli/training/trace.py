"""What is to be seen inside a model while it trains: gradients by layer, saturated units, the way of predictions."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from dlcli.data.splits import Split, Splits
from dlcli.task import Task
from dlcli.training.events import LayerTrace, Trace

PROBE_EXAMPLES = 256  # of train, evenly spaced: enough for a mean, and little time beside an epoch's
FOLLOWED_PER_CLASS = 2
FLAT = 0.05  # of its steepest slope; where an activation is flatter it passes next to nothing back
# Steepest slope, and slope by the activation's own value.
_SLOPES: dict[type[nn.Module], tuple[float, Callable[[Tensor], Tensor]]] = {
    nn.Sigmoid: (0.25, lambda h: h * (1 - h)),
    nn.Tanh: (1.0, lambda h: 1 - h * h),
    nn.ReLU: (1.0, lambda h: (h > 0).to(h.dtype)),
}


def is_traced(epoch: int) -> bool:
    """Return whether to look inside after an epoch: 1 … 8, 10, 12, 14, 16, 20, 24, …: four times per doubling.

    Each look costs about as much as two steps, so that a run of a thousand epochs affords 36 of them.
    """
    return epoch % (1 << max(0, epoch.bit_length() - 3)) == 0


class Tracer:
    """Looks inside a model.

    Args:
        model: On its device.
        task: Gives the loss.
        splits: Examples of train are sent through; of three classes, some of val are followed.
    """

    def __init__(self, model: nn.Sequential, task: Task, splits: Splits) -> None:
        self._model, self._task = model, task
        self._probe = splits.train.evenly_spaced(PROBE_EXAMPLES)
        self._followed = followed_examples(splits) if splits.info.out_features == 3 else None

    def look(self) -> Trace:
        """Return what is to be seen now; waits for the device."""
        device = next(self._model.parameters()).device
        h, targets = self._probe.inputs.to(device), self._probe.targets.to(device)
        self._model.eval()
        flat: list[Tensor] = []
        for module in self._model:
            h = module(h)
            if type(module) in _SLOPES:
                steepest, slope = _SLOPES[type(module)]
                flat.append((slope(h.detach()) < FLAT * steepest).float().mean())
        weights = [module.weight for module in self._model if isinstance(module, nn.Linear)]
        gradients = torch.autograd.grad(self._task.loss(h, targets), weights)
        figures = torch.stack([*torch._foreach_norm(gradients), *torch._foreach_norm(weights), *flat]).tolist()
        n = len(weights)
        shares = figures[2 * n :] or [None] * n
        layers = zip(figures[:n], figures[n : 2 * n], [*shares, None][:n], strict=True)
        return Trace(tuple(LayerTrace(*layer) for layer in layers), self._follow(device))

    @torch.no_grad()
    def _follow(self, device: torch.device) -> tuple[tuple[float, ...], ...]:
        if self._followed is None or not len(self._followed):
            return ()
        probs = self._task.predictions(self._model(self._followed.inputs.to(device)))
        return tuple(tuple(row) for row in probs.tolist())


def followed_examples(splits: Splits) -> Split | None:
    """Return the first examples of each class in val, whose way to their corner is followed; None for regression."""
    if splits.info.task == "regression":
        return None
    labels = splits.val.targets
    chosen = [torch.nonzero(labels == one).flatten()[:FOLLOWED_PER_CLASS] for one in labels.unique()]
    return splits.val.select(torch.cat(chosen))
