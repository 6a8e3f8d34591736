"""Capture of training steps as CUDA graphs, so that one launch replaces about a thousand kernel launches."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from dlcli.training.fast.backprop import Batch

_MOST_AHEAD = 8  # calls that the host may queue before the device has run them
_TOLERANCE = 1e-3  # relative to the change; needed because libraries may select other kernels during capture


class CapturedSteps:
    """Steps on a few batches at once, captured in the first call and replayed afterwards.

    The host waits when it is a few calls ahead of the device, so that progress and signals are handled in time. The
    device never waits for the host.

    Args:
        take: Function (batches, lrs) that takes a step on each batch; the learning rates stay on the device.
        state: Tensors that steps change and read again: parameters and optimizer state.
        most: Largest number of steps at once.
        shape: Shape of the learning rate of a step.
    """

    def __init__(
        self,
        take: Callable[[Sequence[Batch], Tensor], None],
        state: Sequence[Tensor],
        most: int,
        shape: Sequence[int] = (),
    ) -> None:
        self._take, self._state = take, state
        self._lrs = torch.zeros(most, *shape, device=state[0].device)
        self._taken = itertools.cycle([torch.cuda.Event(blocking=True) for _ in range(_MOST_AHEAD)])
        self._replays: dict[tuple[int, int, torch.Size], Callable[[], None]] = {}

    def __call__(self, batches: Sequence[Batch], lrs: Sequence[float] | Sequence[Sequence[float]]) -> None:
        """Take a step per learning rate."""
        device_lrs = self._lrs[: len(lrs)]
        values = torch.tensor(lrs, dtype=device_lrs.dtype).view_as(device_lrs)
        device_lrs.copy_(values.pin_memory(), non_blocking=True)
        memory = int(batches[0].targets.storage_offset()), len(batches), batches[-1].targets.shape
        if memory not in self._replays:
            self._replays[memory] = capture(partial(self._take, batches, device_lrs), self._state)
        taken = next(self._taken)
        taken.synchronize()  # the event was recorded `_MOST_AHEAD` calls ago
        self._replays[memory]()
        taken.record()


def capture(steps: Callable[[], None], state: Sequence[Tensor]) -> Callable[[], None]:
    """Return the replay of steps as a CUDA graph, or `steps` itself if capture fails or gives other results.

    Args:
        steps: Function that always uses the same memory and does not synchronise.
        state: Tensors that `steps` changes and reads again; they and the device's random generator are restored.
    """
    device = state[0].device
    before, generator = [tensor.clone() for tensor in state], torch.cuda.get_rng_state(device)

    def restore() -> None:
        torch._foreach_copy_(list(state), before)
        torch.cuda.set_rng_state(generator, device)

    _warm_up(steps, device)
    after = [tensor.clone() for tensor in state]
    restore()
    replay = steps
    try:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            steps()
        graph.replay()
        if all(map(_is_same_change, before, state, after)):
            replay = graph.replay
    except RuntimeError:  # the steps contain an operation that cannot be captured
        pass
    restore()
    return replay


def _warm_up(steps: Callable[[], None], device: torch.device) -> None:
    """Take steps on a separate stream to initialise libraries, as torch's notes on CUDA graphs require."""
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        steps()
    torch.cuda.current_stream(device).wait_stream(stream)


def _is_same_change(before: Tensor, actual: Tensor, expected: Tensor) -> bool:
    """Return whether two results agree up to a tolerance relative to the change; NaN never agrees.

    In a stack of models, (models, …, …), every model must agree unless it diverges.
    """
    dims = (1, 2) if before.dim() == 3 else None
    error, change = (torch.linalg.vector_norm(part, dim=dims) for part in (actual - expected, expected - before))
    agrees = error <= _TOLERANCE * change
    return bool((agrees if dims is None else agrees | ~change.isfinite()).all())
