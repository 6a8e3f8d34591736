"""Optimizers that CUDA graphs can capture: one fused CUDA kernel each, or a few kernels for RMSprop.

The kernels read the learning rate from device memory, so a captured graph can be replayed with another rate. torch does
not document these kernels, so they are compared with the optimizers of optim.py before use.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import torch
from torch import Tensor

from dlcli.config.schema import AdamOptimizer, AdamWOptimizer, AnyOptimizer, RmspropOptimizer, SgdOptimizer
from dlcli.training.optim import Adam, Rmsprop, Sgd, Tensors, build_optimizer

FusedOptimizer: TypeAlias = "FusedSgd | FusedAdam | CapturedRmsprop"
RatedOptimizer: TypeAlias = "RatedSgd | RatedAdam | RatedRmsprop"


class FusedSgd(Sgd):
    """`Sgd` as a fused kernel; results differ by rounding only."""

    def __init__(self, parameters: list[Tensor], config: SgdOptimizer) -> None:
        super().__init__(parameters, config)
        if config.momentum:  # starting at 0, the first velocity equals the first gradient
            self._velocities = [torch.zeros_like(parameter) for parameter in parameters]

    @property
    def buffers(self) -> list[Tensor]:
        """Tensors that steps change and read again."""
        return [*self._parameters, *self._velocities]

    def load_state(self, state: Mapping[str, list[Tensor]], steps: int) -> None:  # noqa: ARG002
        """See `Optimizer.load_state`. Copies in place, because graphs use fixed addresses; `state` may be empty."""
        _copy(state.get("velocity", self._velocities), self._velocities)

    @torch.no_grad()
    def step(self, gradients: list[Tensor], lr: float | Tensor) -> None:
        """See `Optimizer.step`; a tensor `lr` is a float32 scalar on the parameters' device."""
        torch._fused_sgd_(
            self._parameters,
            gradients,
            self._velocities,
            weight_decay=self._config.weight_decay,
            momentum=self._config.momentum,
            lr=lr,
            dampening=0.0,
            nesterov=self._config.nesterov,
            maximize=False,
            is_first_step=False,
        )


class FusedAdam(Adam):
    """`Adam` as a fused kernel; results differ by rounding only."""

    def __init__(self, parameters: list[Tensor], config: AdamOptimizer) -> None:
        super().__init__(parameters, config)
        self._counts = [parameter.new_zeros(()) for parameter in parameters]  # step counts, in the format of the kernel
        self._kernel = torch._fused_adamw_ if isinstance(config, AdamWOptimizer) else torch._fused_adam_

    @property
    def buffers(self) -> list[Tensor]:
        """Tensors that steps change and read again."""
        return [*self._parameters, *self._means, *self._squares, *self._counts]

    @torch.no_grad()
    def step(self, gradients: list[Tensor], lr: float | Tensor) -> None:
        """See `Optimizer.step`; a tensor `lr` is a float32 scalar on the parameters' device."""
        torch._foreach_add_(self._counts, 1)
        self._kernel(
            self._parameters,
            gradients,
            self._means,
            self._squares,
            [],
            self._counts,
            lr=lr,
            beta1=self._config.betas[0],
            beta2=self._config.betas[1],
            weight_decay=self._config.weight_decay,
            eps=self._config.eps,
            amsgrad=False,
            maximize=False,
        )

    def load_state(self, state: Mapping[str, list[Tensor]], steps: int) -> None:
        """See `Optimizer.load_state`. Copies in place, because graphs use fixed addresses."""
        _copy(state["mean"], self._means)
        _copy(state["square"], self._squares)
        for count in self._counts:
            count.fill_(steps)


class CapturedRmsprop(Rmsprop):
    """`Rmsprop` with a learning rate in device memory; torch has no fused kernel. Results differ by rounding only."""

    @property
    def buffers(self) -> list[Tensor]:
        """Tensors that steps change and read again."""
        return [*self._parameters, *self._squares, *self._velocities]

    @torch.no_grad()
    def step(self, gradients: list[Tensor], lr: float | Tensor) -> None:
        """See `Optimizer.step`; a tensor `lr` is a float32 scalar on the parameters' device."""
        updates, spreads = self._measure(gradients)
        if self._config.momentum:
            torch._foreach_mul_(self._velocities, self._config.momentum)
            torch._foreach_addcdiv_(self._velocities, updates, spreads)
            changes = torch._foreach_mul(self._velocities, lr)
        else:
            changes = torch._foreach_div(updates, spreads)
            torch._foreach_mul_(changes, lr)
        torch._foreach_sub_(self._parameters, changes)

    def load_state(self, state: Mapping[str, list[Tensor]], steps: int) -> None:  # noqa: ARG002
        """See `Optimizer.load_state`. Copies in place, because graphs use fixed addresses."""
        _copy(state["square"], self._squares)
        _copy(state.get("velocity", self._velocities), self._velocities)


class RatedSgd(FusedSgd):
    """`FusedSgd` for a stack of models with one learning rate each."""

    @torch.no_grad()
    def step(self, gradients: list[Tensor], lr: Tensor) -> None:  # type: ignore[override]
        """See `Optimizer.step`; the learning rates have the shape (models, 1, 1)."""
        config = self._config
        updates: Tensors = gradients
        if config.weight_decay:
            updates = torch._foreach_add(updates, self._parameters, alpha=config.weight_decay)
        if config.momentum:
            torch._foreach_mul_(self._velocities, config.momentum)
            torch._foreach_add_(self._velocities, updates)
            ahead = torch._foreach_add(updates, self._velocities, alpha=config.momentum) if config.nesterov else None
            updates = ahead or self._velocities
        _subtract(self._parameters, updates, lr)


class RatedAdam(FusedAdam):
    """`FusedAdam` for a stack of models with one learning rate each."""

    @torch.no_grad()
    def step(self, gradients: list[Tensor], lr: Tensor) -> None:  # type: ignore[override]
        """See `Optimizer.step`; the learning rates have the shape (models, 1, 1)."""
        config, (beta1, beta2) = self._config, self._config.betas
        updates: Tensors = gradients
        torch._foreach_add_(self._counts, 1)
        count = self._counts[0].double()
        if isinstance(config, AdamWOptimizer):
            for parameter in self._parameters:
                parameter.mul_(1 - lr * config.weight_decay)
        elif config.weight_decay:
            updates = torch._foreach_add(gradients, self._parameters, alpha=config.weight_decay)
        torch._foreach_lerp_(self._means, updates, 1 - beta1)
        torch._foreach_mul_(self._squares, beta2)
        torch._foreach_addcmul_(self._squares, updates, updates, value=1 - beta2)
        spreads = torch._foreach_sqrt(self._squares)
        torch._foreach_div_(spreads, (1 - beta2**count).sqrt().to(lr.dtype))
        torch._foreach_add_(spreads, config.eps)
        _subtract(self._parameters, torch._foreach_div(self._means, spreads), lr / (1 - beta1**count).to(lr.dtype))


class RatedRmsprop(CapturedRmsprop):
    """`CapturedRmsprop` for a stack of models with one learning rate each."""

    @torch.no_grad()
    def step(self, gradients: list[Tensor], lr: Tensor) -> None:  # type: ignore[override]
        """See `Optimizer.step`; the learning rates have the shape (models, 1, 1)."""
        updates, spreads = self._measure(gradients)
        changes: Tensors = torch._foreach_div(updates, spreads)
        if self._config.momentum:
            torch._foreach_mul_(self._velocities, self._config.momentum)
            torch._foreach_add_(self._velocities, changes)
            changes = self._velocities
        _subtract(self._parameters, changes, lr)


def _subtract(parameters: list[Tensor], updates: Tensors, lr: Tensor) -> None:
    """Subtract the updates, multiplied by the learning rate of each model, from the parameters."""
    for parameter, update in zip(parameters, updates, strict=True):
        parameter.addcmul_(update, lr, value=-1)


def _copy(values: list[Tensor], targets: list[Tensor]) -> None:
    for value, target in zip(values, targets, strict=True):
        target.copy_(value)


def build_fused_optimizer(parameters: list[Tensor], config: AnyOptimizer) -> FusedOptimizer | None:
    """Return the fused optimizer of a config; None if this version of torch has no kernel that agrees with optim.py."""
    return _build(parameters, config) if _agrees(config) else None


def _build(parameters: list[Tensor], config: AnyOptimizer) -> FusedOptimizer:
    if isinstance(config, RmspropOptimizer):
        return CapturedRmsprop(parameters, config)
    return FusedSgd(parameters, config) if isinstance(config, SgdOptimizer) else FusedAdam(parameters, config)


def build_rated_optimizer(parameters: list[Tensor], config: AnyOptimizer) -> RatedOptimizer:
    """Return the optimizer of a stack of models with different learning rates; CUDA graphs can capture it."""
    if isinstance(config, RmspropOptimizer):
        return RatedRmsprop(parameters, config)
    return RatedSgd(parameters, config) if isinstance(config, SgdOptimizer) else RatedAdam(parameters, config)


def _agrees(config: AnyOptimizer) -> bool:
    """Return whether two steps with the kernel agree with two steps of the optimizer in optim.py."""
    lr, actual, expected = 0.1, [torch.linspace(-1, 1, 5)], [torch.linspace(-1, 1, 5)]
    reference = build_optimizer(expected, config)
    try:
        fused = _build(actual, config)
        for _ in range(2):
            fused.step([torch.linspace(1, 2, 5)], torch.tensor(lr))
            reference.step([torch.linspace(1, 2, 5)], lr)
    except (AttributeError, RuntimeError, TypeError):  # another version of torch may have no such kernel
        return False
    return torch.allclose(actual[0], expected[0])
