"""Optimizer steps by back-propagation written out."""

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
from dlcli.training.fast.fused import FusedOptimizer, build_fused_optimizer
from dlcli.training.fast.gather import Gatherer, empty_like
from dlcli.training.fast.onednn import Library, build_layer
from dlcli.training.optim import Optimizer, build_optimizer, clip_norm_


class ManualStep:
    """Steps by the formulas of `dlcli.training.fast.backprop`; see `dlcli.training.step.Step`.

    Args:
        model: Changed by `update_model` alone; all its layers are known to `backprop`.
        task: Gives the loss, and its gradient with respect to the outputs.
        train: On the model's device, or on the CPU if it doesn't fit there.
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
        per_span = batches_per_chunk(train, config.training.batch_size, count_parameters(model), self._device)
        self._at_once = min(per_span, batches_per_gather(train, config.training.batch_size, self._device))
        self._take_all: Callable[[Sequence[Batch], Sequence[float]], None] = self._take_each
        if fused is not None:
            self._take_all = CapturedSteps(partial(self._take_each_fused, fused), fused.state, self._at_once)
        self._gather = Gatherer(train, self._device, min(len(train), self._batch_size * self._at_once))
        most = min(len(train), self._batch_size * per_span)
        self._targets, self._outputs = empty_like(train.targets, most, self._device), self._layers[-1].outputs(most)
        inputs, *rest = (one.split(self._batch_size) for one in (self._gather.inputs, self._targets, self._outputs))
        own_inputs = itertools.cycle(inputs)
        self._batches = [Batch(next(own_inputs)[: len(one)], one, out) for one, out in zip(*rest, strict=True)]
        self._seen = self._outputs, self._targets  # of the last run

    @torch.inference_mode()
    def run(self, index: Tensor | None, lrs: Sequence[float]) -> tuple[Tensor, Tensor]:
        """Take one step per learning rate; see `Step.run`."""
        examples = len(self._train) if index is None else len(index)
        targets, batches = self._targets[:examples], self._cut(examples)
        for first in range(0, len(lrs), self._at_once):
            steps = slice(first, first + self._at_once)
            rows = slice(first * self._batch_size, (first + self._at_once) * self._batch_size)
            self._gather(None if index is None else index[rows], targets[rows])
            self._take_all(batches[steps], lrs[steps])
        outputs = self._layers[-1].without_idle(self._outputs[:examples])
        self._seen = outputs, targets
        return self._task.total_loss(outputs, targets), self._task.weight(targets)

    def _cut(self, examples: int) -> list[Batch]:
        """Return the batches of a span; only its last can be short."""
        whole, rest = divmod(examples, self._batch_size)
        batches = self._batches[:whole]
        if not rest:
            return batches
        return [*batches, Batch(*(one[:rest] for one in self._batches[whole]))]

    def _take_each(self, batches: Sequence[Batch], lrs: Sequence[float]) -> None:
        """Take a step on each batch, one after the other."""
        for batch, lr in zip(batches, lrs, strict=True):
            if self._gradients:
                self._find_gradients(batch)
                self._optimizer.step(self._gradients, lr)
            else:
                self._propagation(len(batch.inputs))(batch, lr, 1 - lr * self._weight_decay)

    def _take_each_fused(self, optimizer: FusedOptimizer, batches: Sequence[Batch], lrs: Tensor) -> None:
        """Take a step on each batch, all of it on the device."""
        for batch, lr in zip(batches, lrs, strict=True):
            self._find_gradients(batch)
            optimizer.step(self._gradients, lr)

    def _find_gradients(self, batch: Batch) -> None:
        self._propagation(len(batch.inputs))(batch, lr=1.0, keep=1.0)
        if self._clip_norm is not None:
            clip_norm_(self._gradients, self._clip_norm)

    def _propagation(self, n: int) -> Propagation:
        """Return the one for batches of n examples."""
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
        steps = zip(*(part.split(self._batch_size) for part in self._seen), strict=True)
        return torch.stack([self._task.loss(outputs, targets) for outputs, targets in steps])

    def memory(self) -> dict[str, list[Tensor]]:
        """See `Step.memory`."""
        return {
            name: [one for layer, memory in zip(self._layers, kept, strict=True) for one in layer.part(memory)]
            for name, kept in self._optimizer.memory().items()
        }

    def remember(self, memory: Mapping[str, list[Tensor]], steps: int) -> None:
        """See `Step.remember`."""
        own = {
            name: [layer.join(*pair) for layer, *pair in zip(self._layers, kept[::2], kept[1::2], strict=True)]
            for name, kept in memory.items()
        }
        self._optimizer.remember(own, steps)
