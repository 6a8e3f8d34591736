"""The few figures that pictures of classes need."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def confusion_counts(labels: Ints, preds: Ints, n_classes: int) -> Ints:
    """Return how often each class was predicted for each: rows true, columns predicted."""
    return np.bincount(labels * n_classes + preds, minlength=n_classes**2).reshape(n_classes, n_classes)


@dataclass(frozen=True)
class Reliability:
    """Whether predictions of a probability p are right in a share p of the cases.

    Attributes:
        counts: Examples in each bin of the highest probability; the bins divide 0..1 evenly, upper edges included.
        confidence: Mean of the highest probability in each bin; NaN where it is empty.
        accuracy: Share of right predictions in each bin; NaN where it is empty.
    """

    counts: Ints
    confidence: Floats
    accuracy: Floats

    @property
    def ece(self) -> float:
        """Expected calibration error: the mean gap between confidence and accuracy (Naeini et al. 2015)."""
        return float(np.nansum(self.counts * np.abs(self.accuracy - self.confidence)) / self.counts.sum())


def measure_reliability(probs: Floats, labels: Ints, bins: int = 15) -> Reliability:
    """Return how reliable predictions are, in the 15 bins of Guo et al. (2017), "On Calibration of Modern Networks".

    Args:
        probs: Shape (N, classes), rows that sum to 1.
        labels: Shape (N,).
        bins: How many.
    """
    highest, right = probs.max(1), probs.argmax(1) == labels
    index = np.clip(np.ceil(highest * bins).astype(np.int64) - 1, 0, bins - 1)
    counts = np.bincount(index, minlength=bins)
    divisor = np.where(counts == 0, np.nan, counts)
    means = [np.bincount(index, weights=one, minlength=bins) / divisor for one in (highest, right)]
    return Reliability(counts, *means)
