"""What training minimises and what is measured, whatever the task."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor


class Task(ABC):
    """What training minimises and what is measured.

    Sums over batches stay on the device and add up to figures of a whole split, weighted by example, whatever
    the batches were.
    """

    @abstractmethod
    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of a batch, the one training minimises.

        Args:
            outputs: What the model gives, shape (N, out_features).
            targets: Labels (N,) or scaled values (N, out_features).
        """

    @abstractmethod
    def loss_gradient(self, outputs: Tensor, targets: Tensor, out: Tensor) -> float:
        """Put ∂loss/∂outputs into `out`, but for a factor, which is returned: it waits until it costs nothing.

        Args:
            outputs: What the model gives, shape (N, out_features).
            targets: Labels (N,) or scaled values (N, out_features).
            out: Other memory, of the outputs' shape.
        """

    @abstractmethod
    def total_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the sum over a batch: `loss` times `weight`, but for rounding."""

    def weight(self, targets: Tensor) -> Tensor:
        """Return what `loss` divides the sum over a batch by: the number of examples, unless classes weigh."""
        return targets.new_full((), len(targets), dtype=torch.int64)  # no copy from the host, unlike torch.tensor

    @abstractmethod
    def sums(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Return what `metrics` needs of a batch, as tensors that add up over batches."""

    @abstractmethod
    def metrics(self, sums: dict[str, Tensor]) -> dict[str, float]:
        """Return the metrics of `METRICS[task]` from sums over a whole split."""

    @abstractmethod
    def predictions(self, outputs: Tensor) -> Tensor:
        """Return probabilities (N, classes), or values (N, out_features) in the target's own unit.

        float64 on the CPU, wherever the outputs are.
        """


def accurate(values: Tensor) -> Tensor:
    """Return `values` in float64, so that sums over a split do not round; MPS has float32 only."""
    return values if values.device.type == "mps" else values.double()


def on_cpu(sums: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return sums in float64, on the CPU."""
    return {name: value.cpu().double() for name, value in sums.items()}
