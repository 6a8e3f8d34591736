"""Optimizers as one kernel each, which finds the learning rate in the device's memory: a CUDA graph can hold it.

torch's manual promises nothing about these kernels, so they are held against the optimizers written out before they are
used; there is no CUDA graph of an optimizer written out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import torch
from torch import Tensor

from dlcli.config.schema import AdamOptimizer, AdamWOptimizer, AnyOptimizer, SgdOptimizer
from dlcli.training.optim import Adam, Sgd, build_optimizer

FusedOptimizer: TypeAlias = "FusedSgd | FusedAdam"


class FusedSgd(Sgd):
    """What `Sgd` does, but for rounding."""

    def __init__(self, parameters: list[Tensor], config: SgdOptimizer) -> None:
        super().__init__(parameters, config)
        if config.momentum:  # from 0, the first velocity comes out as the first gradient
            self._velocities = [torch.zeros_like(parameter) for parameter in parameters]

    @property
    def state(self) -> list[Tensor]:
        """All that a step changes and looks at again."""
        return [*self._parameters, *self._velocities]

    def remember(self, memory: Mapping[str, list[Tensor]], steps: int) -> None:  # noqa: ARG002
        """See `Optimizer.remember`; graphs know the memory by its address. Before the first step there may be none."""
        _put(memory.get("velocity", self._velocities), self._velocities)

    @torch.no_grad()
    def step(self, gradients: list[Tensor], lr: float | Tensor) -> None:
        """See `Optimizer.step`; a tensor is a float32 scalar on the parameters' device."""
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
    """What `Adam` does, but for rounding."""

    def __init__(self, parameters: list[Tensor], config: AdamOptimizer) -> None:
        super().__init__(parameters, config)
        self._counts = [parameter.new_zeros(()) for parameter in parameters]  # of steps, as the kernel wants them
        self._kernel = torch._fused_adamw_ if isinstance(config, AdamWOptimizer) else torch._fused_adam_

    @property
    def state(self) -> list[Tensor]:
        """All that a step changes and looks at again."""
        return [*self._parameters, *self._means, *self._squares, *self._counts]

    @torch.no_grad()
    def step(self, gradients: list[Tensor], lr: float | Tensor) -> None:
        """See `Optimizer.step`; a tensor is a float32 scalar on the parameters' device."""
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

    def remember(self, memory: Mapping[str, list[Tensor]], steps: int) -> None:
        """See `Optimizer.remember`; graphs know the memory by its address."""
        _put(memory["mean"], self._means)
        _put(memory["square"], self._squares)
        for count in self._counts:
            count.fill_(steps)


def _put(values: list[Tensor], own: list[Tensor]) -> None:
    for one, memory in zip(values, own, strict=True):
        memory.copy_(one)


def build_fused_optimizer(parameters: list[Tensor], config: AnyOptimizer) -> FusedOptimizer | None:
    """Return the optimizer with the config's settings; None where this torch has no kernel that agrees."""
    return _build(parameters, config) if _agrees(config) else None


def _build(parameters: list[Tensor], config: AnyOptimizer) -> FusedOptimizer:
    return FusedSgd(parameters, config) if isinstance(config, SgdOptimizer) else FusedAdam(parameters, config)


def _agrees(config: AnyOptimizer) -> bool:
    """Return whether two steps from a few points lead where those of the optimizer written out do."""
    lr, found, expected = 0.1, [torch.linspace(-1, 1, 5)], [torch.linspace(-1, 1, 5)]
    written_out = build_optimizer(expected, config)
    try:
        fused = _build(found, config)
        for _ in range(2):
            fused.step([torch.linspace(1, 2, 5)], torch.tensor(lr))
            written_out.step([torch.linspace(1, 2, 5)], lr)
    except (AttributeError, RuntimeError, TypeError):  # torch has changed
        return False
    return torch.allclose(found[0], expected[0])
