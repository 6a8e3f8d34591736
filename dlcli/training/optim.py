"""Optimizers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeAlias

import torch
from torch import Tensor, nn

from dlcli.config.schema import AdamOptimizer, AdamWOptimizer, AnyOptimizer, RmspropOptimizer, SgdOptimizer

Tensors: TypeAlias = list[Tensor] | tuple[Tensor, ...]


class Optimizer(Protocol):
    """Optimizer, bit-identical to the class of the same name in torch.optim.

    The first object of torch.optim imports torch._dynamo, which takes a second, and its calls take as long as the
    matrix products of a small model. The optimizers here update all parameters with a few calls instead.
    """

    def step(self, gradients: list[Tensor], lr: float) -> None:
        """Update the parameters with one gradient each; the gradients may be overwritten."""

    def state(self) -> dict[str, list[Tensor]]:
        """Return the optimizer state by name: one tensor for each parameter, of the parameter's shape."""

    def load_state(self, state: Mapping[str, list[Tensor]], steps: int) -> None:
        """Restore the state returned by `state` after `steps` steps."""


class Sgd:
    """Stochastic gradient descent with momentum (Sutskever et al., 2013, with v not scaled by lr)."""

    def __init__(self, parameters: list[Tensor], config: SgdOptimizer) -> None:
        self._parameters = parameters
        self._config = config
        self._velocities: list[Tensor] = []

    @torch.no_grad()
    def step(self, gradients: list[Tensor], lr: float) -> None:
        """See `Optimizer.step`."""
        config = self._config
        updates: Tensors = gradients
        if config.weight_decay:
            updates = torch._foreach_add(updates, self._parameters, alpha=config.weight_decay)
        if config.momentum and not self._velocities:
            self._velocities = [
                _zeros(like).copy_(update) for like, update in zip(self._parameters, updates, strict=True)
            ]
        elif config.momentum:
            torch._foreach_mul_(self._velocities, config.momentum)
            torch._foreach_add_(self._velocities, updates)
        if config.momentum:
            ahead = torch._foreach_add(updates, self._velocities, alpha=config.momentum) if config.nesterov else None
            updates = ahead or self._velocities
        torch._foreach_add_(self._parameters, updates, alpha=-lr)

    def state(self) -> dict[str, list[Tensor]]:
        """See `Optimizer.state`."""
        return {"velocity": self._velocities} if self._velocities else {}

    def load_state(self, state: Mapping[str, list[Tensor]], steps: int) -> None:  # noqa: ARG002
        """See `Optimizer.load_state`."""
        self._velocities = state.get("velocity", [])


class Adam:
    """Adam (Kingma and Ba, 2015) and AdamW (Loshchilov and Hutter, 2019), which differ in how weights decay."""

    def __init__(self, parameters: list[Tensor], config: AdamOptimizer) -> None:
        self._parameters = parameters
        self._config = config
        self._means = [_zeros(parameter) for parameter in parameters]
        self._squares = [_zeros(parameter) for parameter in parameters]
        self._steps = 0

    @torch.no_grad()
    def step(self, gradients: list[Tensor], lr: float) -> None:
        """See `Optimizer.step`."""
        config, (beta1, beta2) = self._config, self._config.betas
        self._steps += 1
        updates: Tensors = gradients
        step_size = lr / (1 - beta1**self._steps)
        correction = math.sqrt(1 - beta2**self._steps)
        if isinstance(config, AdamWOptimizer):
            torch._foreach_mul_(self._parameters, 1 - lr * config.weight_decay)
        elif config.weight_decay:
            updates = torch._foreach_add(gradients, self._parameters, alpha=config.weight_decay)
        torch._foreach_lerp_(self._means, updates, 1 - beta1)
        torch._foreach_mul_(self._squares, beta2)
        torch._foreach_addcmul_(self._squares, updates, updates, value=1 - beta2)
        spreads = torch._foreach_sqrt(self._squares)
        torch._foreach_div_(spreads, correction)
        torch._foreach_add_(spreads, config.eps)
        torch._foreach_addcdiv_(self._parameters, self._means, spreads, value=-step_size)

    def state(self) -> dict[str, list[Tensor]]:
        """See `Optimizer.state`."""
        return {"mean": self._means, "square": self._squares}

    def load_state(self, state: Mapping[str, list[Tensor]], steps: int) -> None:
        """See `Optimizer.load_state`."""
        self._means, self._squares, self._steps = state["mean"], state["square"], steps


class Rmsprop:
    """RMSprop (Tieleman and Hinton, 2012), as in torch: not centered, momentum of the scaled gradients."""

    def __init__(self, parameters: list[Tensor], config: RmspropOptimizer) -> None:
        self._parameters = parameters
        self._config = config
        self._squares = [_zeros(parameter) for parameter in parameters]
        self._velocities = [_zeros(parameter) for parameter in parameters] if config.momentum else []

    @torch.no_grad()
    def step(self, gradients: list[Tensor], lr: float) -> None:
        """See `Optimizer.step`."""
        updates, spreads = self._measure(gradients)
        if self._config.momentum:
            torch._foreach_mul_(self._velocities, self._config.momentum)
            torch._foreach_addcdiv_(self._velocities, updates, spreads)
            torch._foreach_add_(self._parameters, self._velocities, alpha=-lr)
        else:
            torch._foreach_addcdiv_(self._parameters, updates, spreads, value=-lr)

    def _measure(self, gradients: list[Tensor]) -> tuple[Tensors, Tensors]:
        """Update the mean squares; return the gradients with weight decay, and their divisors."""
        config = self._config
        updates: Tensors = gradients
        if config.weight_decay:
            updates = torch._foreach_add(gradients, self._parameters, alpha=config.weight_decay)
        torch._foreach_mul_(self._squares, config.alpha)
        torch._foreach_addcmul_(self._squares, updates, updates, value=1 - config.alpha)
        spreads = torch._foreach_sqrt(self._squares)
        torch._foreach_add_(spreads, config.eps)
        return updates, spreads

    def state(self) -> dict[str, list[Tensor]]:
        """See `Optimizer.state`."""
        return {"square": self._squares} | ({"velocity": self._velocities} if self._velocities else {})

    def load_state(self, state: Mapping[str, list[Tensor]], steps: int) -> None:  # noqa: ARG002
        """See `Optimizer.load_state`."""
        self._squares, self._velocities = state["square"], state.get("velocity", [])


def _zeros(like: Tensor) -> Tensor:
    """Return zeros with the strides of a tensor; torch.zeros_like leaves out the gaps of a stack of models."""
    return like.new_empty_strided(like.size(), like.stride()).zero_()


def build_optimizer(parameters: list[Tensor], config: AnyOptimizer) -> Optimizer:
    """Return the optimizer of a config; the learning rate is passed to each step."""
    match config:
        case SgdOptimizer():
            return Sgd(parameters, config)
        case RmspropOptimizer():
            return Rmsprop(parameters, config)
        case AdamOptimizer():
            return Adam(parameters, config)


def part_of_state(state: Callable[[], Mapping[str, list[Tensor]]], place: int) -> dict[str, list[Tensor]]:
    """Return the optimizer state of one model of several that share an optimizer.

    Args:
        state: Method `Optimizer.state` of the shared optimizer.
        place: Place of the model among the models.
    """
    return {name: [memory[place] for memory in memories] for name, memories in state().items()}


@torch.no_grad()
def clip_norm_(gradients: Sequence[Tensor], max_norm: float) -> None:
    """Scale gradients in place so that their joint Euclidean norm is at most `max_norm`.

    Same formula as torch.nn.utils.clip_grad_norm_, including its 1e-6.
    """
    norm = nn.utils.get_total_norm(gradients)
    factor = (max_norm / (norm + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(factor)
