"""Rule that selects the models to stack.

The rule depends on settings, sizes and hardware only. It never affects results: a model in a stack has the same bits as
alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from torch import nn

from dlcli.config.schema import AnyOptimizer, SgdOptimizer
from dlcli.model import count_parameters
from dlcli.training.arithmetic import choose_arithmetic
from dlcli.training.batches import examples_per_batch
from dlcli.training.together.members import Member

Kind: TypeAlias = tuple[Any, ...]

MOST_MODELS = 64  # in a stack; more gain little and take longer to react to a signal
_FEWEST_MODELS = 8
_CACHED_BYTES = 2**23  # memory of a stack that stays in a processor's caches


@dataclass(frozen=True)
class Placement:
    """Placement of a member: in a stack or alone, in a worker process or in this one.

    Attributes:
        kind: Value that is equal for models that can be stacked; None if this one cannot.
        reason: Reason why it cannot; empty if it can.
        fits_worker: Whether a worker process can train it: on a CPU with one thread.
    """

    kind: Kind | None
    reason: str
    fits_worker: bool


def place(member: Member) -> Placement:
    """Return how to train a member.

    Steps can be stacked if alone they are written out, see `dlcli.training.fast.step`, and compute with one thread of a
    CPU: larger models gain nothing.
    """
    config, model, n = member.config, member.model, len(member.splits.train)
    state = member.state
    arithmetic = state.arithmetic if state else choose_arithmetic(config, model, n)
    weight = next(model.parameters())
    is_on_cpu = weight.device.type == "cpu"
    fits = is_on_cpu and arithmetic.threads == 1
    if not is_on_cpu:
        return Placement(None, f"models on {weight.device.type} are trained one after the other", fits)
    if arithmetic.threads > 1:
        return Placement(None, f"each model is large enough for {arithmetic.threads} threads", fits)
    if arithmetic.step != "manual" or arithmetic.library != "torch":
        return Placement(None, "its steps use autograd", fits)
    shapes = tuple(_describe(module) for module in model)
    batch = min(n, examples_per_batch(n, config.training.batch_size))
    position = (state.position.epochs, state.position.step, state.position.examples) if state else None
    kind = (
        shapes,
        weight.dtype,
        n,
        len(member.splits.val),
        batch,
        _stores_gradients(member),
        member.splits.train.targets.shape[1:],
        position,
    )
    return Placement(kind, "", fits)


def _describe(module: nn.Module) -> tuple[Any, ...]:
    sizes = (module.in_features, module.out_features) if isinstance(module, nn.Linear) else ()
    return (type(module).__name__, *sizes)


def _stores_gradients(member: Member) -> bool:
    optimizer, training = member.config.optimizer, member.config.training
    is_plain = isinstance(optimizer, SgdOptimizer) and optimizer.momentum == 0
    return not is_plain or training.gradient_clip_norm is not None


def stack_size(member: Member) -> int:
    """Return the number of models like this one in a stack: as many as the caches hold, within two limits."""
    n = examples_per_batch(len(member.splits.train), member.config.training.batch_size)
    units = sum(module.out_features for module in member.model if isinstance(module, nn.Linear))
    values = 3 * count_parameters(member.model) + 3 * n * units  # parameters, gradients, velocities; z, h, ∂loss/∂h
    size = _CACHED_BYTES // (values * next(member.model.parameters()).element_size())
    return max(_FEWEST_MODELS, min(MOST_MODELS, size))


def shared_optimizer(members: Sequence[Member]) -> AnyOptimizer | None:
    """Return the optimizer settings of all members if these and the learning rates of all steps are equal."""
    first = members[0].config
    settings = (first.optimizer, first.scheduler, first.training.epochs)
    if first.scheduler.name == "plateau":  # the learning rate depends on the loss
        return None
    are_equal = all((m.config.optimizer, m.config.scheduler, m.config.training.epochs) == settings for m in members)
    return first.optimizer if are_equal else None
