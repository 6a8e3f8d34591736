"""One optimizer step."""

from __future__ import annotations

from torch import Tensor, nn

from dlcli.data.splits import Split
from dlcli.task import Task
from dlcli.training.optim import Optimizer


def take_step(
    model: nn.Module, task: Task, optimizer: Optimizer, batch: Split, lr: float, clip_norm: float | None
) -> Tensor:
    """Change the parameters once, against the gradient of the batch's mean loss.

    Args:
        model: Its parameters are those of `optimizer`.
        task: Gives the loss.
        optimizer: Turns gradients into an update.
        batch: On the model's device.
        lr: Learning rate of this step.
        clip_norm: Largest norm of all gradients together; None leaves them as they are.

    Returns:
        The loss before the update, a scalar still on the device.
    """
    loss = task.loss(model(batch.inputs), batch.targets)
    for parameter in optimizer.parameters:
        parameter.grad = None
    loss.backward()
    if clip_norm is not None:
        nn.utils.clip_grad_norm_(optimizer.parameters, clip_norm)
    optimizer.step(lr)
    return loss.detach()
