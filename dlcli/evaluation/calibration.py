"""Reliability of predicted probabilities and expected calibration error."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

BINS = 15  # bins of equal width, (low, high], as in Guo et al. (2017), "On Calibration of Modern Neural Networks"
_DRAWS = 200


@dataclass(frozen=True)
class Reliability:
    """Confidence and accuracy per confidence bin; each tensor has shape (15,).

    Attributes:
        counts: Number of examples per bin of the highest probability, int64.
        confidence: Mean of the highest probability per bin; NaN for an empty bin.
        accuracy: Fraction of correct predictions per bin; NaN for an empty bin.
    """

    counts: Tensor
    confidence: Tensor
    accuracy: Tensor

    @property
    def ece(self) -> float:
        """Expected calibration error: mean over examples of |accuracy − confidence| of the bin (Naeini et al. 2015)."""
        gaps = (self.accuracy - self.confidence).abs().nan_to_num()
        return float((self.counts * gaps).sum() / self.counts.sum())


def measure_reliability(probs: Tensor, labels: Tensor) -> Reliability:
    """Return confidence and accuracy per confidence bin.

    Args:
        probs: P(class | x), float64 on the CPU, shape (N, classes).
        labels: int64 on the CPU, shape (N,).
    """
    confidence, preds = probs.max(1)
    bins = _bins(confidence)
    counts = torch.bincount(bins, minlength=BINS)
    sums = (torch.bincount(bins, values, minlength=BINS) for values in (confidence, (preds == labels).double()))
    return Reliability(counts, *(sum_ / counts for sum_ in sums))


def _bins(confidence: Tensor) -> Tensor:
    return torch.bucketize(confidence, torch.linspace(0, 1, BINS + 1, dtype=torch.float64)[1:-1])


@dataclass(frozen=True)
class Calibration:
    """Expected calibration error of a model, and the error that chance alone would cause.

    Attributes:
        error: Expected calibration error over 15 bins of equal width.
        by_chance: Mean simulated error of a perfectly calibrated model with as many examples and the same confidences.
        highest_by_chance: Largest of the 200 simulated errors of the perfectly calibrated model.
        confidence: Mean probability of the predicted class.
        accuracy: Fraction of correct predictions.
    """

    error: float
    by_chance: float
    highest_by_chance: float
    confidence: float
    accuracy: float


def measure_calibration(probs: Tensor, labels: Tensor) -> Calibration:
    """Measure the calibration error, and simulate the error of a perfectly calibrated model.

    Args:
        probs: P(class | x), float64 on the CPU, shape (N, classes).
        labels: int64 on the CPU, shape (N,).
    """
    confidence, preds = probs.max(1)
    hits = (preds == labels).double()
    draws = torch.rand(_DRAWS, len(labels), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    outcomes = torch.cat([hits.unsqueeze(0), (draws < confidence).double()])
    gaps = torch.zeros(len(outcomes), BINS, dtype=torch.float64)
    gaps.index_add_(1, _bins(confidence), outcomes - confidence)
    error, by_chance = (gaps.abs().sum(1) / len(labels)).split([1, _DRAWS])
    return Calibration(
        error.item(), by_chance.mean().item(), by_chance.max().item(), confidence.mean().item(), hits.mean().item()
    )
