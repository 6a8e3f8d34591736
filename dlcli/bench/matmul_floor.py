"""The matrix products of a step alone: what no program can save."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from dlcli.training.fast.cuda_graph import capture
from dlcli.training.fast.layers import lie_by_units, ones_beside
from dlcli.training.fast.onednn import build_layer, choose_library
from dlcli.training.threads import machine_cores, thread_count

_REPEATS, _CALLS_AT_ONCE = 25, 20
_NEARLY_ZERO = 1e-30  # a learning rate; BLAS leaves products out that are multiplied by 0


def product_seconds(model: nn.Sequential, batch_size: int) -> float:
    """Return the time of a step's matrix products alone: forward, for the weights, and for all inputs but the first.

    By the library and in the layout that steps take them in here.
    """
    linears = [module for module in model if isinstance(module, nn.Linear)]
    weight = linears[0].weight
    h = ones_beside(batch_size, linears[0].in_features, dtype=weight.dtype, device=weight.device)
    products: list[Callable[[], object]] = []
    for linear, by_units in zip(linears, lie_by_units(linears, batch_size), strict=True):
        layer = build_layer(linear, by_units, n=batch_size, library=choose_library(batch_size * linear.weight.numel()))
        z = layer.outputs(batch_size)
        products.append(partial(layer.forward, h, z))
        products.append(partial(layer.learn, h.t(), z, rate=_NEARLY_ZERO, keep=1.0))
        if linear is not linears[0]:
            products.append(partial(layer.pull_back, z, torch.empty_like(h[:, :-1])))
        h = layer.activations(batch_size)
    counts = {1, machine_cores()}
    return sum(min(_best_seconds(product, threads, weight) for threads in counts) for product in products)


@torch.inference_mode()
def _best_seconds(product: Callable[[], object], threads: int, weight: Tensor) -> float:
    """Return the seconds of a product, the least of some; a device that is not waited for takes many at once.

    A GPU takes them as a graph, as it takes steps: the host would not ask for small ones fast enough.
    """
    device = weight.device
    count = 1 if device.type == "cpu" else _CALLS_AT_ONCE

    def repeat() -> None:
        for _ in range(count):
            product()

    take = capture(repeat, [weight]) if device.type == "cuda" else repeat  # the model's weight: no product changes it
    seconds = []
    with thread_count(threads):
        for _ in range(_REPEATS + 1):  # the first one warms up
            start = time.perf_counter()
            take()
            if device.type != "cpu":
                torch.accelerator.synchronize(device)
            seconds.append((time.perf_counter() - start) / count)
    return min(seconds[1:])
