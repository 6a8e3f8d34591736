"""Workloads of the comparisons: sigmoid layers, plain SGD with lr 0.1, shuffled every epoch, float32."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

THREADS = int(os.environ.get("BENCH_THREADS", os.cpu_count() or 1))
DEVICE = os.environ.get("BENCH_DEVICE", "cpu")  # or cuda
LR = 0.1


@dataclass(frozen=True)
class Workload:
    """A network, its data and a batch size.

    Attributes:
        n: Number of examples.
        sizes: Layer sizes, starting with the inputs.
        batch_size: Examples per step.
        epochs: Number of epochs per timing; larger for short epochs.
    """

    n: int
    sizes: tuple[int, ...]
    batch_size: int
    epochs: int = 1

    @property
    def steps(self) -> int:
        """Number of steps per epoch."""
        return -(-self.n // self.batch_size)

    @property
    def is_classification(self) -> bool:
        """Whether the outputs are class scores; otherwise one value."""
        return self.sizes[-1] > 1


WORKLOADS = {
    "images_64": Workload(60_000, (784, 256, 128, 10), 64),
    "images_512": Workload(60_000, (784, 256, 128, 10), 512),
    "images_4096": Workload(60_000, (784, 256, 128, 10), 4096),
    "tiny": Workload(1_000, (1, 64, 64, 1), 32, epochs=100),
}


def make_data(workload: Workload) -> tuple[Any, Any]:
    """Generate NumPy inputs and targets: random images 0..255 and labels as bytes, or a noisy sine as float32."""
    import numpy as np

    generator = np.random.default_rng(0)
    if workload.is_classification:
        images = generator.integers(0, 256, (workload.n, workload.sizes[0]), np.uint8)
        return images, generator.integers(0, workload.sizes[-1], workload.n, np.uint8)
    x = generator.uniform(-3, 3, (workload.n, 1)).astype(np.float32)
    return x, (np.sin(x) + 0.05 * generator.standard_normal(x.shape)).astype(np.float32)


def as_float32(inputs: Any) -> Any:
    """Convert images to 0..1; return other inputs unchanged."""
    import numpy as np

    return inputs.astype(np.float32) / np.float32(255) if inputs.dtype == np.uint8 else inputs
