"""One optimizer step."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dlcli.data.splits import Split
from dlcli.task import Task


def take_step(
    model: nn.Module, task: Task, optimizer: torch.optim.Optimizer, batch: Split, clip_norm: float | None
) -> Tensor:
    """Change the parameters once, against the gradient of the batch's mean loss.

    Args:
        model: Its parameters are those of `optimizer`.
        task: Gives the loss.
        optimizer: Turns gradients into an update.
        batch: On the model's device.
        clip_norm: Largest norm of all gradients together; None leaves them as they are.

    Returns:
        The loss before the update, a scalar still on the device.
    """
    loss = task.loss(model(batch.inputs), batch.targets)
    optimizer.zero_grad()
    loss.backward()
    if clip_norm is not None:
        nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
    optimizer.step()
    return loss.detach()
