"""Optimizer steps from written-out back-propagation."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from dlcli.config.schema import Config, SgdOptimizer
from dlcli.data.splits import Split
from dlcli.model import count_parameters
from dlcli.task import Task
from dlcli.training.batches import batches_per_chunk, batches_per_gather, examples_per_batch
from dlcli.training.fast.backprop import Batch, Propagation, read_layers
from dlcli.training.fast.cuda_graph import CapturedSteps
from dlcli.training.fast.fused_optim import FusedOptimizer, build_fused_optimizer
from dlcli.training.fast.gather import Gatherer, empty_like
from dlcli.training.fast.onednn import Library, build_layer
from dlcli.training.optim import Optimizer, build_optimizer, clip_norm_


class ManualStep:
    """Steps with the formulas of `dlcli.training.fast.backprop`; see `dlcli.training.step.Step`.

    Args:
        model: Model whose layers `backprop` supports; only `update_model` changes it.
        task: Task with the loss and its gradient with respect to the outputs.
        train: Training split, on the model's device, or on the CPU if it does not fit there.
        config: `optimizer` and `training`.
        library: Library for large matrix products.
    """

    def __init__(self, model: nn.Sequential, task: Task, train: Split, config: Config, library: Library) -> None:
        optimizer = config.optimizer
        self._task = task
        self._train = train
        self._batch_size = min(len(train), examples_per_batch(len(train), config.training.batch_size))
        self._clip_norm = config.training.gradient_clip_norm
        self._weight_decay = optimizer.weight_decay
        build = partial(build_layer, n=self._batch_size, library=library)
        self._layers = read_layers(model, self._batch_size, build)
        self._device = self._layers[0].weight.device
        parameters = [layer.memory for layer in self._layers]
        # The kernels of fused optimizers read a learning rate as float32.
        is_captured = self._device.type == "cuda" and train.dtype == torch.float32
        fused = build_fused_optimizer(parameters, optimizer) if is_captured else None
        self._optimizer: Optimizer = fused or build_optimizer(parameters, optimizer)
        self._gradients: list[Tensor] = []
        is_plain = isinstance(optimizer, SgdOptimizer) and optimizer.momentum == 0 and self._clip_norm is None
        if fused or not is_plain:
            self._gradients = [layer.keep_gradient() for layer in self._layers]
        self._propagations: dict[int, Propagation] = {}
        per_chunk = batches_per_chunk(train, config.training.batch_size, count_parameters(model), self._device)
        self._batches_per_gather = min(per_chunk, batches_per_gather(train, config.training.batch_size, self._device))
        self._run_batches: Callable[[Sequence[Batch], Sequence[float]], None] = self._run_each
        if fused is not None:
            self._run_batches = CapturedSteps(
                partial(self._run_each_fused, fused), fused.buffers, self._batches_per_gather
            )
        self._gather = Gatherer(train, self._device, min(len(train), self._batch_size * self._batches_per_gather))
        most = min(len(train), self._batch_size * per_chunk)
        self._targets, self._outputs = empty_like(train.targets, most, self._device), self._layers[-1].outputs(most)
        inputs, *rest = (
            memory.split(self._batch_size) for memory in (self._gather.inputs, self._targets, self._outputs)
        )
        cycled = itertools.cycle(inputs)
        self._batches = [Batch(next(cycled)[: len(part)], part, out) for part, out in zip(*rest, strict=True)]
        self._last_outputs = self._outputs, self._targets  # of the last call of `run`

    @torch.inference_mode()
    def run(self, index: Tensor | None, lrs: Sequence[float]) -> tuple[Tensor, Tensor]:
        """Take one step per learning rate; see `Step.run`."""
        examples = len(self._train) if index is None else len(index)
        targets, batches = self._targets[:examples], self._cut(examples)
        for first in range(0, len(lrs), self._batches_per_gather):
            steps = slice(first, first + self._batches_per_gather)
            rows = slice(first * self._batch_size, (first + self._batches_per_gather) * self._batch_size)
            self._gather(None if index is None else index[rows], targets[rows])
            self._run_batches(batches[steps], lrs[steps])
        outputs = self._layers[-1].trim_padding(self._outputs[:examples])
        self._last_outputs = outputs, targets
        return self._task.total_loss(outputs, targets), self._task.weight(targets)

    def _cut(self, examples: int) -> list[Batch]:
        """Return the batches of a chunk; only the last can be shorter."""
        whole, rest = divmod(examples, self._batch_size)
        batches = self._batches[:whole]
        if not rest:
            return batches
        return [*batches, Batch(*(part[:rest] for part in self._batches[whole]))]

    def _run_each(self, batches: Sequence[Batch], lrs: Sequence[float]) -> None:
        """Take a step on each batch."""
        for batch, lr in zip(batches, lrs, strict=True):
            if self._gradients:
                self._find_gradients(batch)
                self._optimizer.step(self._gradients, lr)
            else:
                self._propagation(len(batch.inputs))(batch, lr, 1 - lr * self._weight_decay)

    def _run_each_fused(self, optimizer: FusedOptimizer, batches: Sequence[Batch], lrs: Tensor) -> None:
        """Take a step on each batch with a fused optimizer."""
        for batch, lr in zip(batches, lrs, strict=True):
            self._find_gradients(batch)
            optimizer.step(self._gradients, lr)

    def _find_gradients(self, batch: Batch) -> None:
        self._propagation(len(batch.inputs))(batch, lr=1.0, keep=1.0)
        if self._clip_norm is not None:
            clip_norm_(self._gradients, self._clip_norm)

    def _propagation(self, n: int) -> Propagation:
        """Return the propagation for batches of n examples."""
        if n not in self._propagations:
            self._propagations[n] = Propagation(self._layers, self._task.loss_gradient, n)
        return self._propagations[n]

    @torch.no_grad()
    def update_model(self) -> None:
        """Copy the parameters into the model."""
        for layer in self._layers:
            layer.update_model()

    @torch.inference_mode()
    def losses(self) -> Tensor:
        """See `Step.losses`."""
        steps = zip(*(part.split(self._batch_size) for part in self._last_outputs), strict=True)
        return torch.stack([self._task.loss(outputs, targets) for outputs, targets in steps])

    def state(self) -> dict[str, list[Tensor]]:
        """See `Step.state`."""
        return {
            name: [part for layer, memory in zip(self._layers, kept, strict=True) for part in layer.unpack(memory)]
            for name, kept in self._optimizer.state().items()
        }

    def load_state(self, memory: Mapping[str, list[Tensor]], steps: int) -> None:
        """See `Step.load_state`."""
        packed = {
            name: [layer.pack(*pair) for layer, *pair in zip(self._layers, kept[::2], kept[1::2], strict=True)]
            for name, kept in memory.items()
        }
        self._optimizer.load_state(packed, steps)
