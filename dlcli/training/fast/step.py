"""Optimizer steps from written-out back-propagation."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial

import torch
from torch import Tensor, nn

from dlcli.config.schema import Config, SgdOptimizer
from dlcli.data.splits import Split
from dlcli.model import count_parameters
from dlcli.task import Task
from dlcli.training.batches import batches_per_chunk, batches_per_gather, examples_per_batch
from dlcli.training.fast.backprop import Batch, Propagation, read_layers
from dlcli.training.fast.cuda_graph import CapturedSteps
from dlcli.training.fast.gather import Gatherer, empty_like
from dlcli.training.fast.graph_optim import FusedOptimizer, build_fused_optimizer
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
        generator: Random generator of dropout; None uses torch's default generator, as nn.Dropout does.

    Attributes:
        task: Task.
        train: Training split.
        layers: Layers, which `Stack` moves into memory shared by several models.
        outputs: Memory for the outputs of a chunk: (examples, units).
        examples: Number of examples of the last chunk.
        targets: Memory for the targets of a chunk.
        gradients: Memory of the layers' gradients; empty if the layers are updated without storing them.
        batch_size: Number of examples in a batch.
        batches_per_gather: Number of batches whose examples are gathered at once.
        clip_norm: Largest norm of the gradient; None if it is not clipped.
        settings: Optimizer settings.
        generator: Random generator of dropout.
        optimizer: Optimizer that uses `gradients`.
        optimizer_state: Function that returns the state of the optimizer by name, one tensor for each layer.
    """

    def __init__(
        self,
        model: nn.Sequential,
        task: Task,
        train: Split,
        config: Config,
        library: Library,
        generator: torch.Generator | None = None,
    ) -> None:
        optimizer = config.optimizer
        self.task, self.generator = task, generator
        self.train = train
        self.batch_size = min(len(train), examples_per_batch(len(train), config.training.batch_size))
        self.clip_norm = config.training.gradient_clip_norm
        self.settings = optimizer
        build = partial(build_layer, n=self.batch_size, library=library)
        self.layers = read_layers(model, self.batch_size, build)
        self._device = self.layers[0].weight.device
        parameters = [layer.memory for layer in self.layers]
        # The kernels of fused optimizers read a learning rate as float32.
        is_captured = self._device.type == "cuda" and train.dtype == torch.float32
        fused = build_fused_optimizer(parameters, optimizer) if is_captured else None
        self.optimizer: Optimizer = fused or build_optimizer(parameters, optimizer)
        self.optimizer_state = self.optimizer.state
        self.gradients: list[Tensor] = []
        is_plain = isinstance(optimizer, SgdOptimizer) and optimizer.momentum == 0 and self.clip_norm is None
        if fused or not is_plain:
            self.gradients = [layer.keep_gradient() for layer in self.layers]
        self._propagations: dict[int, Propagation] = {}
        self._batches: list[Batch] = []
        per_chunk = batches_per_chunk(train, config.training.batch_size, count_parameters(model), self._device)
        self.batches_per_gather = min(per_chunk, batches_per_gather(train, config.training.batch_size, self._device))
        self._run_batches: Callable[[Sequence[Batch], Sequence[float]], None] = self._run_each
        if fused is not None:
            self._run_batches = CapturedSteps(
                partial(self._run_each_fused, fused), fused.buffers, self.batches_per_gather
            )
        most = min(len(train), self.batch_size * per_chunk)
        self.use(empty_like(train.targets, most, self._device), self.layers[-1].outputs(most))

    def use(self, targets: Tensor, outputs: Tensor) -> None:
        """Use this memory for the targets and outputs of a chunk."""
        self.targets, self.outputs, self.examples = targets, outputs, len(targets)
        self._batches = []

    @cached_property
    def _gather(self) -> Gatherer:
        """Gatherer, created on first use, so that no memory is allocated if a stack gathers for all its models."""
        n = min(len(self.train), self.batch_size * self.batches_per_gather)
        with torch.inference_mode(False):
            return Gatherer(self.train, self._device, n)

    @torch.inference_mode()
    def run(self, index: Tensor | None, lrs: Sequence[float]) -> tuple[Tensor, Tensor]:
        """Take one step per learning rate; see `Step.run`."""
        examples = len(self.train) if index is None else len(index)
        batches = self.cut(examples)
        for first in range(0, len(lrs), self.batches_per_gather):
            steps = slice(first, first + self.batches_per_gather)
            self.gather(index, examples, first)
            self._run_batches(batches[steps], lrs[steps])
        return self.sums(examples)

    def gather(self, index: Tensor | None, examples: int, first: int) -> None:
        """Gather the inputs and targets of `batches_per_gather` batches of a chunk, from batch `first`, counted from 0.

        Args:
            index: See `Step.run`.
            examples: Number of examples of the chunk.
            first: Number of the first batch to gather.
        """
        rows = slice(first * self.batch_size, (first + self.batches_per_gather) * self.batch_size)
        self._gather(None if index is None else index[rows], self.targets[:examples][rows])

    def sums(self, examples: int) -> tuple[Tensor, Tensor]:
        """Return the sums of a chunk after its steps; see `Step.run`."""
        self.examples = examples
        outputs, targets = self._last_outputs()
        return self.task.total_loss(outputs, targets), self.task.weight(targets, outputs.dtype)

    def _last_outputs(self) -> tuple[Tensor, Tensor]:
        """Return the outputs of the last chunk, and its targets."""
        return self.layers[-1].trim_padding(self.outputs[: self.examples]), self.targets[: self.examples]

    def cut(self, examples: int) -> list[Batch]:
        """Return the batches of a chunk; only the last can be shorter."""
        self._batches = self._batches or self._cut_memory()
        whole, rest = divmod(examples, self.batch_size)
        batches = self._batches[:whole]
        if not rest:
            return batches
        return [*batches, Batch(*(part[:rest] for part in self._batches[whole]))]

    def _cut_memory(self) -> list[Batch]:
        """Return the batches of the largest chunk."""
        memory = self._gather.inputs, self.targets, self.outputs
        inputs, *rest = (part.split(self.batch_size) for part in memory)
        cycled = itertools.cycle(inputs[: self.batches_per_gather])
        return [Batch(next(cycled)[: len(part)], part, out) for part, out in zip(*rest, strict=True)]

    def _run_each(self, batches: Sequence[Batch], lrs: Sequence[float]) -> None:
        """Take a step on each batch."""
        for batch, lr in zip(batches, lrs, strict=True):
            if self.gradients:
                self._propagation(len(batch.inputs))(batch, lr=1.0, keep=1.0)
                self.update(lr)
            else:
                self._propagation(len(batch.inputs))(batch, lr, 1 - lr * self.settings.weight_decay)

    def update(self, lr: float) -> None:
        """Update the parameters with the stored gradients."""
        self._clip()
        self.optimizer.step(self.gradients, lr)

    def _run_each_fused(self, optimizer: FusedOptimizer, batches: Sequence[Batch], lrs: Tensor) -> None:
        """Take a step on each batch with a fused optimizer."""
        for batch, lr in zip(batches, lrs, strict=True):
            self._propagation(len(batch.inputs))(batch, lr=1.0, keep=1.0)
            self._clip()
            optimizer.step(self.gradients, lr)

    def _clip(self) -> None:
        if self.clip_norm is not None:
            clip_norm_(self.gradients, self.clip_norm)

    def _propagation(self, n: int) -> Propagation:
        """Return the propagation for batches of n examples."""
        if n not in self._propagations:
            self._propagations[n] = Propagation(self.layers, self.task.loss_gradient, n, self.generator)
        return self._propagations[n]

    @torch.no_grad()
    def update_model(self) -> None:
        """Copy the parameters into the model."""
        for layer in self.layers:
            layer.update_model()

    @torch.inference_mode()
    def losses(self) -> Tensor:
        """See `Step.losses`."""
        steps = zip(*(part.split(self.batch_size) for part in self._last_outputs()), strict=True)
        return torch.stack([self.task.loss(outputs, targets) for outputs, targets in steps])

    def state(self) -> dict[str, list[Tensor]]:
        """See `Step.state`."""
        return {
            name: [part for layer, memory in zip(self.layers, kept, strict=True) for part in layer.unpack(memory)]
            for name, kept in self.optimizer_state().items()
        }

    def load_state(self, memory: Mapping[str, list[Tensor]], steps: int) -> None:
        """See `Step.load_state`."""
        packed = {
            name: [layer.pack(*pair) for layer, *pair in zip(self.layers, kept[::2], kept[1::2], strict=True)]
            for name, kept in memory.items()
        }
        self.optimizer.load_state(packed, steps)
