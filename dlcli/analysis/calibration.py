"""Is a model right as often as it says, and how far off would chance alone be?"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_BINS = 15  # Guo et al. (2017), "On Calibration of Modern Neural Networks"
_DRAWS = 200


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
    bins = torch.bucketize(confidence, torch.linspace(0, 1, _BINS + 1, dtype=torch.float64)[1:-1])
    draws = torch.rand(_DRAWS, len(labels), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    outcomes = torch.cat([hits.unsqueeze(0), (draws < confidence).double()])
    gaps = torch.zeros(len(outcomes), _BINS, dtype=torch.float64).index_add_(1, bins, outcomes - confidence)
    error, by_chance = (gaps.abs().sum(1) / len(labels)).split([1, _DRAWS])
    return Calibration(
        error.item(), by_chance.mean().item(), by_chance.max().item(), confidence.mean().item(), hits.mean().item()
    )
