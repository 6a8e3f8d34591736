"""Classification with cross-entropy or squared error, and a softmax or L1 head."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  # as all of torch's users write it

from dlcli.config.schema import CrossEntropyLoss, Head, MseLoss
from dlcli.task.base import Task, accurate, on_cpu

LEAST_OUTPUT = 1e-6  # smallest |z| of the L1 head; below it, log |z| is clamped and passes no gradient


class Classification(Task):
    """Classification of labelled examples; predictions are class probabilities.

    Args:
        loss: Cross-entropy, or squared error of probabilities.
        n_classes: Number of classes k.
        class_weights: Weight of each class in the cross-entropy, shape (k,); None for equal weights.
        head: Map from outputs z to probabilities: softmax, or `l1` for |z| / Σ |z|.

    Attributes:
        config: Loss.
        is_l1: Whether the head is `l1`.
        n_classes: Number of classes k.
    """

    def __init__(
        self,
        loss: CrossEntropyLoss | MseLoss,
        n_classes: int,
        class_weights: Tensor | None = None,
        head: Head = "softmax",
    ) -> None:
        self.config = loss
        self.is_l1 = head == "l1"
        self.n_classes = n_classes
        self._class_weights = class_weights
        self._weights_on_device: dict[tuple[torch.device, torch.dtype], Tensor] = {}
        self._columns: dict[tuple[torch.device, torch.dtype], Tensor] = {}

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of a batch; with class weights, the weighted mean."""
        logits = self._logits(outputs)
        if isinstance(self.config, MseLoss):
            return self._squared_error(logits, targets) / len(targets)
        weights, smoothing = self.weights(logits.device, logits.dtype), self.config.label_smoothing
        return F.cross_entropy(logits, targets, weights, label_smoothing=smoothing)

    def total_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the sum of the losses, each multiplied by its class weight if there are class weights."""
        logits = self._logits(outputs)
        if isinstance(self.config, MseLoss):
            return self._squared_error(logits, targets)
        weights, smoothing = self.weights(logits.device, logits.dtype), self.config.label_smoothing
        if logits.device.type == "cuda":  # sums over columns are not deterministic on CUDA
            return F.cross_entropy(logits, targets, weights, reduction="sum", label_smoothing=smoothing)
        columns, labels = (
            logits.t().unsqueeze(0),
            targets.unsqueeze(0),
        )  # each example is a column, as in `_logit_gradient`
        return F.cross_entropy(columns, labels, weights, reduction="sum", label_smoothing=smoothing)

    def _logits(self, outputs: Tensor) -> Tensor:
        """Return the inputs of softmax: z, or log |z| for L1, since exp(log |z|) / Σ exp(log |z|) = |z| / Σ |z|."""
        return outputs.abs().clamp_min(LEAST_OUTPUT).log() if self.is_l1 else outputs

    def loss_gradient(self, outputs: Tensor, targets: Tensor, out: Tensor) -> float:
        """Write p − y for cross-entropy and return 1 / N, with p the softmax of the logits and y the one-hot label.

        Label smoothing smooths y. Class weights multiply y by the weight of the true class, and the part of y that
        comes from smoothing by the weight of each class. For the squared error, g = 2 (p − y) / N is multiplied by the
        Jacobian of softmax, diag(p) − p pᵀ, which gives p ⊙ (g − Σ g p). The L1 head is softmax of log |z|, and the
        derivative of log |z| is 1 / z.
        """
        factor = self._logit_gradient(self._logits(outputs), targets, out)
        if self.is_l1:
            out.copy_(torch.where(outputs.abs() < LEAST_OUTPUT, 0.0, out / outputs))
        return factor

    def same_loss(self, other: Task) -> bool:
        """See `Task.same_loss`. The result is True only for cross-entropy of softmax without class weights."""
        is_plain = isinstance(self.config, CrossEntropyLoss) and self._class_weights is None and not self.is_l1
        if not (is_plain and isinstance(other, Classification)):
            return False
        return (other.config, other._class_weights, other.is_l1) == (self.config, None, False)

    def loss_gradients(self, outputs: Tensor, targets: Tensor, out: Tensor) -> float:
        """See `Task.loss_gradients`; each example is a column, as in `_logit_gradient`.

        exp is computed in `out`, where gaps separate the models, so that each model forms the same vectors as alone.
        """
        y = self.target_columns(outputs).index_select(1, targets.flatten())
        probs = out.mT.copy_(outputs.mT.contiguous().log_softmax(1)).exp_()
        probs.sub_(y.view(-1, *targets.shape).transpose(0, 1))
        return 1 / targets.shape[1]

    def _logit_gradient(self, logits: Tensor, targets: Tensor, out: Tensor) -> float:
        """Write ∂loss/∂logits into `out` up to a factor and return the factor; each example is computed as a column.

        On a CPU, torch is four times as fast for columns. The last bits of softmax of columns depend on the number of
        threads, but not those of log_softmax, which is used instead.
        """
        by_rows = logits.device.type == "cuda"
        probs = logits.softmax(1).t() if by_rows else logits.t().contiguous().log_softmax(0).exp_()
        y, columns = self.target_columns(logits).index_select(1, targets), out.t()
        if isinstance(self.config, MseLoss):
            errors = probs - y
            torch.mul(probs, errors.sub_((errors * probs).sum(0)), out=columns)
            return 2 / len(targets)
        weights = self.weights(logits.device, logits.dtype)
        if weights is None:
            torch.sub(probs, y, out=columns)
            return 1 / len(targets)
        torch.sub(probs.mul_(y.sum(0)), y, out=columns).div_(weights[targets].sum())
        return 1.0

    def target_columns(self, like: Tensor) -> Tensor:
        """Return the target probabilities of each true class as columns: shape (k, k), dtype and device of `like`."""
        key = (like.device, like.dtype)
        if key not in self._columns:
            k, weights = self.n_classes, self.weights(like.device, like.dtype)
            smoothing = 0.0 if isinstance(self.config, MseLoss) else self.config.label_smoothing
            weights = like.new_ones(k) if weights is None else weights
            self._columns[key] = (1 - smoothing) * weights.diag() + smoothing / k * weights.unsqueeze(1)
        return self._columns[key]

    def weight(self, targets: Tensor, dtype: torch.dtype) -> Tensor:
        """Return the sum of the true classes' weights."""
        weights = self.weights(targets.device, dtype)
        return super().weight(targets, dtype) if weights is None else weights[targets].sum()

    def _squared_error(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return Σ over examples and classes of (p − y)²: 0.32 for p = (0.6, 0.4), y = (1, 0), as in the lecture."""
        one_hot = F.one_hot(labels, self.n_classes).to(logits.dtype)
        return F.mse_loss(logits.softmax(1), one_hot, reduction="sum")

    def weights(self, device: torch.device, dtype: torch.dtype = torch.float32) -> Tensor | None:
        """Return the class weights or None; each device gets one copy, because a copy from the host synchronises."""
        if self._class_weights is None:
            return None
        key = (device, dtype)
        if key not in self._weights_on_device:
            with torch.inference_mode(False):  # autograd may use the weights later
                self._weights_on_device[key] = self._class_weights.to(device, dtype)
        return self._weights_on_device[key]

    def sums(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Return the loss, the weight it is divided by, and the confusion matrix (true, predicted)."""
        k = self.n_classes
        confusion = torch.bincount(targets * k + self._logits(outputs).argmax(1), minlength=k * k)
        return {
            "loss": accurate(self.total_loss(outputs, targets)),
            "weight": accurate(self.weight(targets, outputs.dtype)),
            "confusion": confusion.view(k, k),
        }

    def metrics(self, sums: dict[str, Tensor]) -> dict[str, float]:
        """Return loss, accuracy and macro F1, the mean F1 of the classes present in labels or predictions."""
        sums = on_cpu(sums)
        # NumPy takes a third of torch's time; counts are exact, and both round divisions correctly.
        confusion = sums["confusion"].numpy()
        correct, occurrences = confusion.diagonal(), confusion.sum(1) + confusion.sum(0)
        occurs = occurrences > 0
        f1 = torch.from_numpy(2 * correct[occurs] / occurrences[occurs])
        return {
            "loss": (sums["loss"] / sums["weight"]).item(),
            "accuracy": float(correct.sum()) / float(confusion.sum()),
            "macro_f1": f1.mean().item(),
        }

    def constant_score(self, train_targets: Tensor, targets: Tensor) -> tuple[str, float]:
        """Return the accuracy of always predicting the most frequent class, plus two standard errors."""
        most_frequent = torch.bincount(train_targets, minlength=self.n_classes).argmax()
        share = (targets == most_frequent).double().mean().item()
        return "accuracy", share + 2 * math.sqrt(share * (1 - share) / len(targets))

    def predictions(self, outputs: Tensor) -> Tensor:
        """Return P(class | x) in float64, so that it sums to 1."""
        return self._logits(outputs.cpu().double()).softmax(1)

    def truth(self, targets: Tensor) -> Tensor:
        """Return the labels."""
        return targets.cpu()
