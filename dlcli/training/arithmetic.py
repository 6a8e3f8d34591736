"""Rule that selects the step, the number of threads and the matrix library of a run.

The last bits of a floating-point sum depend on the order of its terms, and the order depends on the number of threads
and on the matrix library. Both are therefore functions of the config, the sizes and the hardware; no clock, measurement
or state of the machine affects them. They never change within a run, and checkpoints store them.

With a fixed number of threads, the libraries document that products are repeatable: MKL for memory aligned to 64 bytes
(oneMKL Developer Guide, "Reproducibility Conditions"), which torch's allocator guarantees; oneDNN for a fixed processor
and number of threads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import nn

from dlcli.config.schema import Config
from dlcli.training.batches import examples_per_batch
from dlcli.training.fast.backprop import is_supported
from dlcli.training.fast.onednn import Library, choose_library
from dlcli.training.threads import machine_cores, threads_for
from dlcli.training.world import ALONE, World

StepName: TypeAlias = Literal["eager", "manual"]


@dataclass(frozen=True)
class Arithmetic:
    """Choices that affect the last bits of a run, besides its config, data, processor and versions.

    Attributes:
        step: Computation of gradients: with autograd (`eager`) or with written-out formulas (`manual`).
        threads: Number of CPU threads for every operation of the run.
        library: Library for large matrix products on a CPU: torch's default or oneDNN.
    """

    step: StepName
    threads: int
    library: Library


def choose_arithmetic(config: Config, model: nn.Sequential, n_train: int, world: World = ALONE) -> Arithmetic:
    """Return the arithmetic of a run.

    Args:
        config: Config of the run.
        model: Model, on its device.
        n_train: Number of training examples.
        world: Processes that train the model together.
    """
    weights = [module.weight for module in model if isinstance(module, nn.Linear)]
    batch_size = min(n_train, examples_per_batch(n_train, config.training.batch_size))
    operations = batch_size * max(weight.numel() for weight in weights)
    step = _choose_step(config, model, weights[0].device)
    if not world.is_alone:
        return Arithmetic(step, _threads_of_process(config, operations, world), "torch")
    may_choose = step == "manual" and weights[0].device.type == "cpu" and weights[0].dtype == torch.float32
    return Arithmetic(
        step=step,
        threads=threads_for(operations) if config.training.threads == "auto" else config.training.threads,
        library=choose_library(operations) if may_choose else "torch",
    )


def _threads_of_process(config: Config, operations: int, world: World) -> int:
    """Return the number of threads of one process of several.

    With shards it is 1, so that the bits of a shard do not depend on the number of processes or on the machine.
    """
    if world.shards is not None:
        return 1
    if config.training.threads != "auto":
        return config.training.threads
    return min(threads_for(operations // world.size), max(1, machine_cores() // world.local_size))


def _choose_step(config: Config, model: nn.Sequential, device: torch.device) -> StepName:
    """Return the step of the config; `auto` selects the fastest step that supports the model and the device."""
    if config.training.step != "auto":
        return config.training.step
    is_manual = is_supported(model) and config.training.precision != "bf16" and device.type in ("cpu", "cuda")
    return "manual" if is_manual else "eager"
