"""Evaluation of a model on a whole split."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from dlcli.data.splits import Split
from dlcli.task import Task
from dlcli.task.base import accurate
from dlcli.training.world import ALONE, World

BATCH_SIZE = 8192  # 32 MB of 1,000 float32 features: large enough to be fast, small enough for any machine


@torch.no_grad()
def compute_outputs(model: nn.Module, split: Split) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (outputs, targets) of the split in order, in batches, without dropout.

    Args:
        model: Model; it is left in evaluation mode.
        split: Split, on the model's device or on the CPU.
    """
    yield from _compute_outputs(model, split)


def _compute_outputs(model: nn.Module, split: Split) -> Iterator[tuple[Tensor, Tensor]]:
    if model.training:  # avoids a superfluous call of eval(), which visits every module
        model.eval()
    device = next(model.parameters()).device
    for batch in [split] if 0 < len(split) <= BATCH_SIZE else split.batches(BATCH_SIZE):
        yield model(batch.inputs.to(device)), batch.targets.to(device)


@torch.no_grad()
def evaluate_split(model: nn.Module, task: Task, split: Split, world: World = ALONE) -> dict[str, Tensor]:
    """Return the task's sums over all examples of the split; `task.metrics` computes the metrics from them.

    Args:
        model: Model; it is left in evaluation mode.
        task: Task.
        split: Split, on the model's device or on the CPU.
        world: Processes, each of which evaluates its parts of the split.

    Raises:
        ValueError: If the split has no examples.
    """
    if world.is_alone or not len(split):
        return add_sums(task, _compute_outputs(model, split))
    parts = [add_sums(task, _outputs_of_part(model, split[rows])) for rows in world.parts(len(split))]
    sizes = [value.numel() for value in parts[0].values()]
    flat = torch.stack([torch.cat([accurate(value).flatten() for value in part.values()]) for part in parts])
    total = zip(parts[0].items(), world.total(flat).split(sizes), strict=True)
    return {name: values.view(like.shape).to(like.dtype) for (name, like), values in total}


def _outputs_of_part(model: nn.Module, part: Split) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (outputs, targets) of a part, which may be empty."""
    if len(part):
        yield from _compute_outputs(model, part)
        return
    device = next(model.parameters()).device
    model.eval()
    yield model(part.inputs.to(device)), part.targets.to(device)


def add_sums(task: Task, outputs: Iterable[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    """Return the task's sums over batches of (outputs, targets).

    Raises:
        ValueError: If there are no batches.
    """
    total: dict[str, Tensor] = {}
    for batch, targets in outputs:
        for name, value in task.sums(batch, targets).items():
            total[name] = total[name] + value if name in total else value
    if not total:
        raise ValueError("a split without examples has no metrics")
    return total
