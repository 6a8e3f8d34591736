"""Rule that selects the models to stack.

The rule depends on settings, sizes and hardware only, never on the state of the machine. On a CPU it does not affect
results: a model in a stack has the same bits as alone. On a GPU the two agree up to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import nn

from dlcli.config.schema import AnyOptimizer, SgdOptimizer
from dlcli.data.shared_split import SharedSplit
from dlcli.model import count_parameters
from dlcli.training.arithmetic import choose_arithmetic
from dlcli.training.batches import batches_per_chunk, examples_per_batch
from dlcli.training.device import memory_bytes
from dlcli.training.together.members import Member
from dlcli.training.trace import TRACE_EXAMPLES

Kind: TypeAlias = tuple[Any, ...]

MOST_MODELS = 64  # models in a stack; with more, training is hardly faster and reacts to signals later
_FEWEST_MODELS = 8
_CACHED_BYTES = 2**23  # memory of a stack that stays in a processor's caches
MOST_MODELS_ON_GPU = 2048  # models in a stack; with more, a user would wait too long until a signal is handled
_FRACTION_OF_GPU = 1 / 4  # fraction of the memory for a stack, because `_bytes_on_gpu` leaves out temporary tensors


@dataclass(frozen=True)
class Placement:
    """Placement of a member: in a stack or alone, in a worker process or in this one.

    Attributes:
        kind: Key that is equal for models that can be stacked; None if this model cannot be stacked.
        reason: Reason why the model cannot be stacked; empty if it can.
        fits_worker: Whether a worker process can train it: on a CPU with one thread.
        is_batched: Whether its stack computes the matrix products of all models at once.
    """

    kind: Kind | None
    reason: str
    fits_worker: bool
    is_batched: bool = False


def place(member: Member) -> Placement:
    """Return the placement of a member.

    Steps can be stacked if the model alone would use the manual step, see `dlcli.training.fast.step`, and either one
    CPU thread, because larger models gain nothing, or a GPU with the data in its memory.
    """
    config, model, n = member.config, member.model, len(member.splits.train)
    state = member.state
    arithmetic = state.arithmetic if state else member.arithmetic or choose_arithmetic(config, model, n)
    weight = next(model.parameters())
    is_batched = computes_batches(weight.device)
    fits = not is_batched and arithmetic.threads == 1
    if config.training.shards is not None:
        return Placement(None, "batches are cut into shards", fits)
    if not is_batched and arithmetic.threads > 1:
        return Placement(None, f"each model is large enough for {arithmetic.threads} threads", fits)
    if arithmetic.step != "manual":
        return Placement(None, "its steps use autograd", fits)
    if arithmetic.library != "torch":
        return Placement(None, f"its matrix products use {arithmetic.library}", fits)
    if is_batched and member.splits.train.device != weight.device:
        return Placement(None, "the data does not fit into the memory of the GPU", fits)
    if is_batched and config.model.dropout:
        return Placement(None, "a GPU draws the dropout of several models from one generator", fits)
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
    return Placement((*kind, *_settings_of_gpu(member)) if is_batched else kind, "", fits, is_batched)


def computes_batches(device: torch.device) -> bool:
    """Return whether one call computes the products of several models; on a CPU, this could change their bits."""
    return device.type != "cpu"


def _describe(module: nn.Module) -> tuple[Any, ...]:
    sizes = (module.in_features, module.out_features) if isinstance(module, nn.Linear) else ()
    return (type(module).__name__, *sizes)


def _stores_gradients(member: Member) -> bool:
    optimizer, training = member.config.optimizer, member.config.training
    is_plain = isinstance(optimizer, SgdOptimizer) and optimizer.momentum == 0
    return not is_plain or training.gradient_clip_norm is not None


def _settings_of_gpu(member: Member) -> tuple[Any, ...]:
    """Return the additional settings that must be equal for all models of a stack on a GPU."""
    config, train = member.config, member.splits.train
    optimizer = tuple(config.optimizer.model_dump(exclude={"lr"}).items())
    loss = config.task, config.loss.name, getattr(config.loss, "delta", None), config.model.head
    return (train.device, config.training.precision, train.storage.dtype, optimizer, loss)


def stack_size(member: Member) -> int:
    """Return the number of models like this one in a stack: as many as fit into memory, within fixed limits.

    The memory is the caches of a CPU, or a fraction of the total memory of a GPU.
    """
    device = next(member.model.parameters()).device
    if computes_batches(device):
        available = (memory_bytes(device) or 0) * _FRACTION_OF_GPU
        return max(1, min(MOST_MODELS_ON_GPU, int(available / _bytes_on_gpu(member, device))))
    n = examples_per_batch(len(member.splits.train), member.config.training.batch_size)
    units = sum(module.out_features for module in member.model if isinstance(module, nn.Linear))
    values = 3 * count_parameters(member.model) + 3 * n * units  # parameters, gradients, velocities; z, h, ∂loss/∂h
    size = _CACHED_BYTES // (values * next(member.model.parameters()).element_size())
    return max(_FEWEST_MODELS, min(MOST_MODELS, size))


def _bytes_on_gpu(member: Member, device: torch.device) -> int:
    """Return the memory of a model in a stack on a GPU: parameters, examples of a chunk, units, and unshared data."""
    splits, parameters = member.splits, count_parameters(member.model)
    train, batch_size = splits.train, member.config.training.batch_size
    n = max(TRACE_EXAMPLES, min(len(train), examples_per_batch(len(train), batch_size)))
    chunk = min(len(train), n * batches_per_chunk(train, batch_size, parameters, device))
    linears = [module for module in member.model if isinstance(module, nn.Linear)]
    units = sum(module.out_features for module in linears)
    examples = 2 * n * (linears[0].in_features + 1) + 4 * n * units + 4 * chunk * linears[-1].out_features
    # Each parameter is in the model, in W, in ∂loss/∂W, twice in the optimizer, and again for a capture.
    values = 14 * parameters + examples
    own = [splits.val] if isinstance(train, SharedSplit) else [splits.val, train]
    data = sum(2 * split.nbytes(split.dtype) for split in own)  # twice, because a stack copies the data
    return values * train.dtype.itemsize + data + 4 * 8 * len(train)  # positions and targets, copied by the stack


def shared_optimizer(members: Sequence[Member]) -> AnyOptimizer | None:
    """Return the optimizer settings if all members have equal settings and learning rates in all steps, else None."""
    first = members[0].config
    settings = (first.optimizer, first.scheduler, first.training.epochs)
    if first.scheduler.name == "plateau":  # the learning rate depends on the loss
        return None
    are_equal = all((m.config.optimizer, m.config.scheduler, m.config.training.epochs) == settings for m in members)
    return first.optimizer if are_equal else None
