"""What a model says of single examples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from dlcli.data.splits import DataInfo, Split
from dlcli.errors import UsageError
from dlcli.task import Task
from dlcli.training.evaluation import compute_outputs


def predict_examples(
    model: nn.Module, task: Task, split: Split, info: DataInfo, indices: Sequence[int]
) -> list[dict[str, Any]]:
    """Return one record per index, in the order asked for.

    Classification: `index`, `probs` (class name -> P(class | x), most likely first, summing to 1), `pred`, `label`.
    Regression: `index`, `output`, `target`, in the target's own unit.

    Args:
        model: On the split's device.
        task: Turns outputs into predictions.
        split: Scaled as in training.
        info: Names of the classes.
        indices: Positions in the split, counted from 0.

    Raises:
        UsageError: If an index is outside the split.
    """
    outside = [index for index in indices if not 0 <= index < len(split)]
    if outside:
        raise UsageError(f"there is no example {outside[0]}; the split has 0 to {len(split) - 1}")
    chosen = split[torch.tensor(list(indices), dtype=torch.int64, device=split.inputs.device)]
    batches = [(task.predictions(outputs), targets.cpu()) for outputs, targets in compute_outputs(model, chosen)]
    predictions, targets = (torch.cat(parts) for parts in zip(*batches, strict=True))
    if info.task == "regression":
        own_unit = task.predictions(targets)
        return [
            {"index": index, "output": _plain(output), "target": _plain(target)}
            for index, output, target in zip(indices, predictions.tolist(), own_unit.tolist(), strict=True)
        ]
    return [
        {
            "index": index,
            "probs": dict(sorted(zip(info.class_names, probs, strict=True), key=lambda item: -item[1])),
            "pred": info.class_names[max(range(len(probs)), key=probs.__getitem__)],
            "label": info.class_names[label],
        }
        for index, probs, label in zip(indices, predictions.tolist(), targets.tolist(), strict=True)
    ]


def _plain(values: list[float]) -> float | list[float]:
    return values[0] if len(values) == 1 else values
