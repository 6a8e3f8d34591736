"""Interface of tasks."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor


class Task(ABC):
    """Loss, metrics and predictions of a task.

    Sums over batches stay on the device. They add up to the sums of the whole split, independent of the batch size.
    """

    @abstractmethod
    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of a batch, which training minimises.

        Args:
            outputs: Model outputs of shape (N, out_features).
            targets: Labels (N,) or scaled values (N, out_features).
        """

    @abstractmethod
    def loss_gradient(self, outputs: Tensor, targets: Tensor, out: Tensor) -> float:
        """Write ∂loss/∂outputs into `out` up to a scalar factor and return that factor.

        Callers fold the factor into the learning rate, which saves an operation.

        Args:
            outputs: Model outputs of shape (N, out_features).
            targets: Labels (N,) or scaled values (N, out_features).
            out: Tensor of the outputs' shape to write to; must not share memory with `outputs`.
        """

    @abstractmethod
    def same_loss(self, other: Task) -> bool:
        """Return whether `loss_gradients` of this task is also correct for a model with the other task."""

    @abstractmethod
    def loss_gradients(self, outputs: Tensor, targets: Tensor, out: Tensor) -> float:
        """Write ∂loss/∂outputs of several models, bit-identical to `loss_gradient`, and return their common factor.

        Args:
            outputs: Outputs of shape (models, N, out_features).
            targets: Labels (models, N) or scaled values (models, N, out_features).
            out: Tensor to write to, as for `loss_gradient`; memory of two models must not be adjacent.
        """

    @abstractmethod
    def total_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the loss summed over a batch: `loss` times `weight`, up to rounding."""

    def weight(self, targets: Tensor, dtype: torch.dtype) -> Tensor:  # noqa: ARG002
        """Return the divisor of `loss`: the number of examples, or the sum of their class weights in `dtype`."""
        return targets.new_full((), len(targets), dtype=torch.int64)  # no copy from the host, unlike torch.tensor

    @abstractmethod
    def sums(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Return the sums over a batch that `metrics` needs, as tensors that can be added over batches."""

    @abstractmethod
    def metrics(self, sums: dict[str, Tensor]) -> dict[str, float]:
        """Return the metrics of `METRICS[task]` from sums over a whole split."""

    @abstractmethod
    def constant_score(self, train_targets: Tensor, targets: Tensor) -> tuple[str, float]:
        """Return a metric and its value on `targets` for the best constant prediction, plus a margin for chance.

        Args:
            train_targets: Targets that determine the constant.
            targets: Targets to predict.
        """

    @abstractmethod
    def predictions(self, outputs: Tensor) -> Tensor:
        """Return class probabilities (N, classes), or values (N, out_features) in the target's unit.

        The result is float64 on the CPU.
        """

    @abstractmethod
    def truth(self, targets: Tensor) -> Tensor:
        """Return labels, int64 of shape (N,), or values in the target's unit, float64 of shape (N, out_features).

        The result is on the CPU.
        """


def accurate(values: Tensor) -> Tensor:
    """Return `values` in float64, so that sums lose little to rounding; unchanged on MPS, which has no float64."""
    return values if values.device.type == "mps" else values.double()


def on_cpu(sums: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return sums in float64, on the CPU."""
    return {name: value.cpu().double() for name, value in sums.items()}
