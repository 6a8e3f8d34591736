"""Is a model right as often as it says, and how far off would chance alone be?"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

BINS = 15  # of equal width, (low, high], as in Guo et al. (2017), "On Calibration of Modern Neural Networks"
_DRAWS = 200


@dataclass(frozen=True)
class Reliability:
    """Whether predictions of a probability p are right in a share p of the cases; each of shape (15,).

    Attributes:
        counts: Examples in each bin of the highest probability, int64.
        confidence: Mean of the highest probability in each bin; NaN where it is empty.
        accuracy: Share of right predictions in each bin; NaN where it is empty.
    """

    counts: Tensor
    confidence: Tensor
    accuracy: Tensor

    @property
    def ece(self) -> float:
        """Expected calibration error: the mean over examples of |accuracy − confidence| (Naeini et al. 2015)."""
        gaps = (self.accuracy - self.confidence).abs().nan_to_num()
        return float((self.counts * gaps).sum() / self.counts.sum())


def measure_reliability(probs: Tensor, labels: Tensor) -> Reliability:
    """Return how reliable predictions are.

    Args:
        probs: P(class | x), float64 on the CPU, shape (N, classes).
        labels: int64 on the CPU, shape (N,).
    """
    confidence, preds = probs.max(1)
    bins = _bins(confidence)
    counts = torch.bincount(bins, minlength=BINS)
    sums = (torch.bincount(bins, one, minlength=BINS) for one in (confidence, (preds == labels).double()))
    return Reliability(counts, *(one / counts for one in sums))


def _bins(confidence: Tensor) -> Tensor:
    return torch.bucketize(confidence, torch.linspace(0, 1, BINS + 1, dtype=torch.float64)[1:-1])


@dataclass(frozen=True)
class Calibration:
    """Whether the model is right as often as it says.

    Attributes:
        error: Expected calibration error over 15 bins of equal width.
        by_chance: Mean error of a perfectly calibrated model with the same confidences on as many examples.
        highest_by_chance: The largest of 200 such errors.
        confidence: Mean probability of the prediction.
        accuracy: How often it was right.
    """

    error: float
    by_chance: float
    highest_by_chance: float
    confidence: float
    accuracy: float


def measure_calibration(probs: Tensor, labels: Tensor) -> Calibration:
    """Measure the calibration, and what it would be if each prediction were right with the probability it states.

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
