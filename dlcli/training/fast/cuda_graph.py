"""Steps as CUDA graphs: the host says one word where it would say a thousand."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from dlcli.training.fast.backprop import Batch

_MOST_AHEAD = 8  # calls
_TOLERANCE = 1e-3  # of a change; a graph runs the same kernels, but a library may choose others while it is captured


class CapturedSteps:
    """Steps on a few batches at once, captured the first time and replayed from then on.

    The host asks faster than steps are taken. It waits as soon as it is a few calls ahead: the progress it tells of and
    the signals it heeds should be of now. The device never waits for it.

    Args:
        take: (batches, lrs) takes a step on each batch, at a learning rate that it leaves in the device's memory.
        state: All that steps change and look at again: parameters, and what the optimizer remembers of them.
        most: Steps at once.
    """

    def __init__(self, take: Callable[[Sequence[Batch], Tensor], None], state: Sequence[Tensor], most: int) -> None:
        self._take, self._state = take, state
        self._lrs = torch.zeros(most, device=state[0].device)
        self._taken = itertools.cycle([torch.cuda.Event(blocking=True) for _ in range(_MOST_AHEAD)])
        self._replays: dict[tuple[int, int, int], Callable[[], None]] = {}

    def __call__(self, batches: Sequence[Batch], lrs: Sequence[float]) -> None:
        """Take a step per learning rate."""
        own_lrs = self._lrs[: len(lrs)]
        own_lrs.copy_(torch.tensor(lrs, dtype=own_lrs.dtype).pin_memory(), non_blocking=True)
        memory = int(batches[0].targets.storage_offset()), len(batches), len(batches[-1].targets)
        if memory not in self._replays:
            self._replays[memory] = capture(partial(self._take, batches, own_lrs), self._state)
        taken = next(self._taken)
        taken.synchronize()  # when it was recorded last, some calls ago
        self._replays[memory]()
        taken.record()


def capture(steps: Callable[[], None], state: Sequence[Tensor]) -> Callable[[], None]:
    """Return steps as a CUDA graph, or as they are where that fails or leads elsewhere.

    Args:
        steps: They ask for no value and always use the same memory.
        state: All that they change and look at again; it is left as it was, and so is the device's random generator.
    """
    device = state[0].device
    before, generator = [one.clone() for one in state], torch.cuda.get_rng_state(device)

    def go_back() -> None:
        torch._foreach_copy_(list(state), before)
        torch.cuda.set_rng_state(generator, device)

    _warm_up(steps, device)
    after = [one.clone() for one in state]
    go_back()
    replay = steps
    try:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            steps()
        graph.replay()
        if all(map(_is_same_change, before, state, after)):
            replay = graph.replay
    except RuntimeError:  # an operation that cannot be captured here
        pass
    go_back()
    return replay


def _warm_up(steps: Callable[[], None], device: torch.device) -> None:
    """Take steps on a stream of their own, as torch's notes on CUDA graphs ask for: libraries make what they keep."""
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        steps()
    torch.cuda.current_stream(device).wait_stream(stream)


def _is_same_change(before: Tensor, found: Tensor, expected: Tensor) -> bool:
    """Return whether two ways led to the same place, as measured by the way; NaN is no place."""
    return bool((found - expected).norm() <= _TOLERANCE * (expected - before).norm())
