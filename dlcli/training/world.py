"""Processes that train one model together: their parts of each batch, and sums over all processes."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from dlcli.errors import LostProcess, SilentProcess

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


@dataclass
class World:
    """Processes that train one model together, by default this one alone.

    Attributes:
        rank: Number of this process, from 0.
        size: Number of processes.
        local_rank: Number of this process on its machine, from 0.
        local_size: Number of processes on its machine.
        shards: Number of parts of each batch, whose gradients are added in a fixed order, so that any number of
            processes computes the same bits; None gives each process one part.
        group: Process group for collective operations; None if this process is alone.
        stop: Number of the signal for which all processes stop after the same step; None if there is no signal.
        should_stop: Returns the signal number of a stop request to this process.
        timeout_seconds: Time to wait for the other processes in a step.
        waited_seconds: Time in collective operations so far.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    shards: int | None = None
    group: Any = None
    stop: int | None = None
    should_stop: Callable[[], int | None] = field(default=lambda: None)
    timeout_seconds: float = 30.0
    waited_seconds: float = 0.0

    @property
    def is_alone(self) -> bool:
        """Whether this process trains alone and computes each batch as a whole."""
        return self.size == 1 and self.shards is None

    def parts(self, n: int) -> list[slice]:
        """Return the parts of n examples that this process computes; they may be empty."""
        count = self.shards or self.size
        mine = count // self.size
        bounds = _split(n, count)
        return [slice(*bounds[number : number + 2]) for number in range(self.rank * mine, (self.rank + 1) * mine)]

    def total(self, parts: Tensor) -> Tensor:
        """Return the sum over the parts of all processes, with the same bits in each process.

        Args:
            parts: Values of each part of this process: (parts, values). They may be overwritten.

        Raises:
            LostProcess: If another process has ended or does not answer.
        """
        if self.shards is None:
            assert len(parts) == 1, "each process has one part"
            if self.size > 1:
                with self._collective():
                    torch.distributed.all_reduce(parts[0], group=self.group)
            return parts[0]
        if self.size > 1:
            gathered = parts.new_empty(self.shards, parts.shape[1])
            with self._collective():
                torch.distributed.all_gather_into_tensor(gathered, parts.contiguous(), group=self.group)
            parts = gathered
        total = parts[0].clone()
        for part in parts[1:]:
            total += part
        return total

    @contextmanager
    def _collective(self) -> Iterator[None]:
        start = time.perf_counter()
        with losses_explained(self.timeout_seconds):
            yield
        self.waited_seconds += time.perf_counter() - start

    def find_stop(self) -> int | None:
        """Return the number of the signal to stop for, or None; several processes use the signal they agreed on."""
        return self.stop if self.size > 1 else self.should_stop()

    def request(self, out: Tensor) -> None:
        """Write the stop request to this process into `out`: for each signal 1 if it is requested, else 0."""
        requested = self.should_stop()
        for place, signum in enumerate(SIGNALS):
            out[place] = float(requested == signum)

    def agree(self, requests: Tensor) -> None:
        """Set `stop` from the sum of the requests of all processes."""
        if self.stop is None:
            asked = zip(SIGNALS, requests.tolist(), strict=True)
            self.stop = next((int(signum) for signum, count in asked if count), None)


@contextmanager
def losses_explained(timeout_seconds: float) -> Iterator[None]:
    """Convert errors of collective operations, which torch raises as plain RuntimeErrors.

    Raises:
        LostProcess: Instead of a RuntimeError of torch.
        SilentProcess: If that was a timeout.
    """
    try:
        yield
    except RuntimeError as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        if ("imed out" in reason or "imeout" in reason) and "connecting" not in reason:
            message = f"another process did not answer for {timeout_seconds:g} seconds"
            hint = "raise training.timeout_seconds if a process may be that slow"
            raise SilentProcess(message, hint=hint) from error
        details = "" if "gloo" in reason else f": {reason}"  # gloo describes its own source code
        message = f"the connection to another process is lost{details}"
        raise LostProcess(message, hint="see the message of that process; it has none if it was killed") from error


def _split(n: int, count: int) -> list[int]:
    """Return the bounds of `count` parts of n examples, as in `torch.tensor_split`."""
    size, larger = divmod(n, count)
    return [number * size + min(number, larger) for number in range(count + 1)]


ALONE = World()
