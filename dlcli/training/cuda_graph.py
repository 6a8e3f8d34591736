"""A propagation as one CUDA graph: the host says one word where it would say forty."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

_WARM_UPS = 3  # as torch's notes on CUDA graphs ask for, on a stream of their own
_TOLERANCE = 1e-5  # relative; the graph runs the same kernels, but a library may choose others while it is captured


class Propagate(Protocol):
    """See `dlcli.training.backprop.Propagation`."""

    def __call__(self, inputs: Tensor, targets: Tensor, outputs: Tensor, lr: float, keep: float) -> None:
        """Put outputs into `outputs`, and gradients where the layers keep them."""


class CapturedPropagation:
    """A propagation that fills `gradients`, replayed on copies of its arguments.

    Args:
        propagation: Its layers keep gradients: learning rates are no part of a graph.
        inputs: A batch of the size to be captured, on the CUDA device.
        targets: The batch's.
        outputs: Of the shape that the batch's outputs have.
    """

    def __init__(self, propagation: Propagate, inputs: Tensor, targets: Tensor, outputs: Tensor) -> None:
        self._inputs = torch.empty_strided(inputs.shape, inputs.stride(), dtype=inputs.dtype, device=inputs.device)
        self._inputs.copy_(inputs)
        self._targets, self._outputs = targets.clone(), outputs.clone()
        arguments = (self._inputs, self._targets, self._outputs, 1.0, 1.0)
        stream = torch.cuda.Stream(inputs.device)
        stream.wait_stream(torch.cuda.current_stream(inputs.device))
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UPS):
                propagation(*arguments)
        torch.cuda.current_stream(inputs.device).wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            propagation(*arguments)

    def __call__(self, inputs: Tensor, targets: Tensor, outputs: Tensor, lr: float, keep: float) -> None:  # noqa: ARG002
        """Replay."""
        self._inputs.copy_(inputs)
        self._targets.copy_(targets)
        self._graph.replay()
        outputs.copy_(self._outputs)


def capture(
    propagation: Propagate, inputs: Tensor, targets: Tensor, outputs: Tensor, gradients: Sequence[Tensor]
) -> Propagate:
    """Return the propagation as a CUDA graph, or as it is where that fails or gives other gradients.

    Args:
        propagation: Puts its gradients into `gradients`, without dropout.
        inputs: A batch of the size to be captured.
        targets: The batch's.
        outputs: Memory for the batch's; see `Layer.outputs`.
        gradients: See `Layer.keep_gradient`, layer by layer.
    """
    propagation(inputs, targets, outputs, 1.0, 1.0)
    expected = [outputs.clone(), *(gradient.clone() for gradient in gradients)]
    try:
        captured = CapturedPropagation(propagation, inputs, targets, outputs)
        captured(inputs, targets, outputs, 1.0, 1.0)
    except RuntimeError:  # an operation that cannot be captured here
        return propagation
    is_same = all(
        torch.allclose(found, one, rtol=_TOLERANCE, atol=_TOLERANCE * float(one.abs().max()))
        for found, one in zip([outputs, *gradients], expected, strict=True)
    )
    return captured if is_same else propagation
