"""Time of a training step's matrix products alone, a lower bound for the step."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from dlcli.training.fast.cuda_graph import capture
from dlcli.training.fast.layers import choose_layout, with_ones_column
from dlcli.training.fast.onednn import build_layer, choose_library
from dlcli.training.threads import machine_cores, thread_count

_REPEATS, _CALLS_AT_ONCE = 25, 20
_NEARLY_ZERO = 1e-30  # learning rate; BLAS skips products that are multiplied by exactly 0


def product_seconds(model: nn.Sequential, batch_size: int) -> float:
    """Return the time of a step's matrix products: forward, weight gradients, and input gradients of all but layer 1.

    The products use the same library and memory layout as training steps on this machine.
    """
    linears = [module for module in model if isinstance(module, nn.Linear)]
    weight = linears[0].weight
    h = with_ones_column(batch_size, linears[0].in_features, dtype=weight.dtype, device=weight.device)
    products: list[Callable[[], object]] = []
    for linear, unit_major in zip(linears, choose_layout(linears, batch_size), strict=True):
        layer = build_layer(
            linear, unit_major, n=batch_size, library=choose_library(batch_size * linear.weight.numel())
        )
        z = layer.outputs(batch_size)
        products.append(partial(layer.forward, h, z))
        products.append(partial(layer.update, h.t(), z, rate=_NEARLY_ZERO, keep=1.0))
        if linear is not linears[0]:
            products.append(partial(layer.backward_input, z, torch.empty_like(h[:, :-1])))
        h = layer.activations(batch_size)
    counts = {1, machine_cores()}
    return sum(min(_best_seconds(product, threads, weight) for threads in counts) for product in products)


@torch.inference_mode()
def _best_seconds(product: Callable[[], object], threads: int, weight: Tensor) -> float:
    """Return the minimum time of a product over several runs, in seconds.

    On an accelerator, a run makes several calls before it synchronizes. On CUDA, the calls are captured as a graph,
    as in training, because the host could not launch small products fast enough.
    """
    device = weight.device
    count = 1 if device.type == "cpu" else _CALLS_AT_ONCE

    def repeat() -> None:
        for _ in range(count):
            product()

    run = capture(repeat, [weight]) if device.type == "cuda" else repeat  # no product changes the model's weight
    seconds = []
    with thread_count(threads):
        for _ in range(_REPEATS + 1):  # the first run is a warm-up
            start = time.perf_counter()
            run()
            if device.type != "cpu":
                torch.accelerator.synchronize(device)
            seconds.append((time.perf_counter() - start) / count)
    return min(seconds[1:])
