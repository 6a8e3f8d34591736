"""A GPU as the host sees it, without one: what is asked of it is done later, stream by stream, in another order.

Tensors on `cuda:0` hold their values in the host's memory. An operation on them joins the current stream and is done
when the schedule says so: at once, as late as can be, or at random between the streams. So what nobody made wait for
another comes out wrong here too, always or with some seed. A graph holds operations with their arguments, numbers among
them, as they were when it was captured. Whatever makes the host wait is noted, and forbidden during a capture.

Not modelled: time, sums in another order than the CPU's, memory that is freed and given to another stream.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import pytest
import torch
from torch import Tensor
from torch.utils import deterministic

from modelled_gpu.gpu import CPU, CUDA, Draws, Gpu, Graph
from modelled_gpu.streams import Event, Schedule, Stream

__all__ = ["CPU", "CUDA", "Gpu", "Schedule", "modelled_gpu"]


@contextmanager
def modelled_gpu(monkeypatch: pytest.MonkeyPatch, schedule: Schedule = "late") -> Iterator[Gpu]:
    """Have torch.cuda be a modelled GPU."""
    gpu = Gpu(schedule)

    def set_state(state: Tensor, device: object = None) -> None:
        seed, offset = state.clone().view(torch.int64).tolist()
        gpu.draws = Draws(seed, offset // 4)

    def get_state(_device: object = None) -> Tensor:
        """Return 16 bytes as CUDA does: the seed, and an offset that counts in fours."""
        return torch.tensor([gpu.draws.seed, 4 * gpu.draws.before]).view(torch.uint8)

    stand_ins = {
        "_lazy_init": lambda: None,
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "get_device_name": lambda _device=None: "a modelled GPU",
        "mem_get_info": lambda _device=None: (80 * 10**9, 80 * 10**9),
        "device": nullcontext,
        "set_device": lambda _device: None,
        "synchronize": lambda _device=None: gpu.streams.synchronize(),
        "Stream": lambda _device=None: Stream(gpu.streams),
        "Event": lambda blocking=False: Event(gpu.streams),
        "stream": gpu.streams.on,
        "current_stream": lambda _device=None: gpu.streams.current,
        "CUDAGraph": lambda: Graph(gpu),
        "graph": gpu.capture,
        "manual_seed": lambda seed: setattr(gpu, "draws", Draws(seed, 0)),
        "get_rng_state": get_state,
        "set_rng_state": set_state,
    }
    with monkeypatch.context() as patch:
        for name, stand_in in stand_ins.items():
            patch.setattr(torch.cuda, name, stand_in)
        patch.setattr(torch.accelerator, "synchronize", stand_ins["synchronize"])
        patch.setattr(torch.__future__, "_overwrite_module_params_on_conversion", True)  # else they stay plain tensors
        patch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # dlcli sets it where it is not; this takes it back
        try:
            with gpu:
                yield gpu
        finally:
            torch.use_deterministic_algorithms(False)  # as dlcli finds them
            deterministic.fill_uninitialized_memory = True
