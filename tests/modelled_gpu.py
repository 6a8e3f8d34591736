"""A GPU as the host sees it, without one: what is asked of it is done later, stream by stream, in an order of its own.

Tensors on `cuda:0` hold their values in the host's memory. An operation on them joins the current stream and is done
when the schedule says so: at once, as late as can be, or at random between the streams. So what nobody made wait for
another comes out wrong here too, always or with some seed. A graph holds operations with their arguments, numbers among
them, as they were when it was captured. Whatever makes the host wait is noted, and forbidden during a capture.

Not modelled: time, sums in another order than the CPU's, memory that is freed and given to another stream.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Literal, NamedTuple, TypeAlias

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

Schedule: TypeAlias = Literal["at once", "late"] | int  # a seed: at random

CUDA, CPU, META = torch.device("cuda:0"), torch.device("cpu"), torch.device("meta")
aten = torch.ops.aten


class GpuTensor(torch.Tensor):
    """A tensor on the modelled GPU; its values are for the GPU alone.

    Below Python it is one of the `meta` device: a torch without CUDA would do nothing with one of CUDA's.
    """

    values: Tensor
    device, is_cuda, is_meta = CUDA, True, False

    @staticmethod
    def __new__(cls, values: Tensor) -> GpuTensor:
        with torch.inference_mode(values.is_inference()):  # a view of an ordinary tensor is one too
            made: GpuTensor = torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
                cls, values.size(), values.stride(), values.storage_offset(), dtype=values.dtype, device=META
            )
        made.values = values
        return made

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        raise AssertionError(f"{function} where no GPU is modelled")

    def tolist(self) -> Any:
        return self.to(CPU).tolist()  # torch itself refuses any subclass


class Draws(NamedTuple):
    """A random generator: as on a GPU, its numbers depend on a seed and how many came before."""

    seed: int
    before: int


Work: TypeAlias = Callable[[Draws], object]


class _Item(NamedTuple):
    """Work in a stream; it waits until `is_ready`, for the stream `after`."""

    do: Callable[[], object]
    is_ready: Callable[[], bool] = lambda: True
    after: Stream | None = None


class Stream:
    """Work in the order it was given."""

    def __init__(self, gpu: Gpu) -> None:
        self._gpu = gpu
        self.queue: deque[_Item] = deque()
        gpu.streams.append(self)

    def add(self, item: _Item) -> None:
        self.queue.append(item)
        self._gpu.go_on()

    def wait_event(self, event: Event) -> None:
        asked = event.asked
        self.add(_Item(lambda: None, lambda: event.done >= asked, event.stream))

    def wait_stream(self, other: Stream) -> None:
        event = Event(self._gpu)
        event.record(other)
        self.wait_event(event)


class Event:
    """A mark in a stream; one that was never made is waited for by nobody."""

    def __init__(self, gpu: Gpu) -> None:
        self._gpu = gpu
        self.asked = self.done = 0
        self.stream: Stream | None = None

    def record(self, stream: Stream | None = None) -> None:
        stream = stream or self._gpu.current
        self.stream = stream
        self.asked += 1
        asked = self.asked
        stream.add(_Item(lambda: setattr(self, "done", asked)))

    def synchronize(self) -> None:
        if self.stream is not None:
            self._gpu.finish(self.stream, lambda: self.done >= self.asked)


class Graph:
    """Work that is kept, to be given to a stream as a whole."""

    def __init__(self, gpu: Gpu) -> None:
        self._gpu = gpu
        self.works: list[Work] = []
        self.draws = 0

    def replay(self) -> None:
        gpu, base = self._gpu, self._gpu.draws
        for work in self.works:
            gpu.current.add(_Item(lambda work=work: work(base)))  # type: ignore[misc]
        gpu.draws = Draws(base.seed, base.before + self.draws)
        gpu.replays.append(len(self.works))


class Gpu(TorchDispatchMode):
    """The GPU.

    Attributes:
        waits: What the host waited for.
        kernels: What it asked for one by one.
        replays: How many kernels each graph held that it asked for.
    """

    def __init__(self, schedule: Schedule) -> None:
        super().__init__()
        self._schedule = schedule
        self._random = random.Random(schedule)
        self.streams: list[Stream] = []
        self.current = Stream(self)
        self.draws = Draws(0, 0)
        self._capturing: Graph | None = None
        self._drawn = 0  # in the graph that is being captured
        self._locked: dict[int, Tensor] = {}  # by address
        self.waits: list[str] = []
        self.kernels: list[str] = []
        self.replays: list[int] = []

    @torch.inference_mode()
    def go_on(self) -> None:
        """Do what the schedule has the GPU do while the host is on its way to the next call."""
        if self._schedule == "late":
            return
        while ready := [stream for stream in self.streams if stream.queue and stream.queue[0].is_ready()]:
            if self._schedule != "at once" and self._random.random() < 0.5:
                return
            self._random.choice(ready).queue.popleft().do()

    @torch.inference_mode()
    def finish(self, stream: Stream, is_over: Callable[[], bool] | None = None) -> None:
        """Do what the host waits for: work of `stream`, of the streams that one waits for, and nothing else."""
        while not (is_over() if is_over else not stream.queue):
            item = stream.queue[0]
            if item.is_ready():
                stream.queue.popleft()
                item.do()
            else:
                assert item.after is not None, "only marks are waited for"
                self.finish(item.after, item.is_ready)

    def _ask(self, name: str, work: Work) -> None:
        """Give work to the current stream, or to the graph that is being captured."""
        if self._capturing is not None:
            self._capturing.works.append(work)
            return
        self.kernels.append(name)
        draws = self.draws
        self.current.add(_Item(lambda: work(draws)))

    def _wait(self, what: str) -> None:
        if self._capturing is not None:
            raise RuntimeError(f"operation not permitted when stream is capturing: {what}")
        self.waits.append(what)
        self.finish(self.current)

    def synchronize(self) -> None:
        """As torch.cuda.synchronize."""
        for stream in self.streams:
            self.finish(stream)

    @contextmanager
    def on(self, stream: Stream) -> Iterator[None]:
        """As torch.cuda.stream."""
        before, self.current = self.current, stream
        try:
            yield
        finally:
            self.current = before

    @contextmanager
    def capture(self, graph: Graph) -> Iterator[None]:
        """As torch.cuda.graph."""
        self.synchronize()
        self._capturing, self._drawn = graph, 0
        try:
            yield
        finally:
            self._capturing, graph.draws = None, self._drawn

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        kwargs = dict(kwargs or {})
        tensors = [one for one in tree_leaves((args, kwargs)) if isinstance(one, Tensor)]
        to = torch.device(kwargs.get("device") or (CUDA if any(isinstance(one, GpuTensor) for one in tensors) else CPU))
        if to.type == "cpu" and not any(isinstance(one, GpuTensor) for one in tensors):
            return self._on_host(function, args, kwargs)
        with self:
            decomposed = function.decompose(*args, **kwargs)
        if decomposed is not NotImplemented:
            return decomposed
        if function is aten._to_copy.default:
            return self._bring(args[0], to, kwargs.get("dtype"), kwargs.get("non_blocking", False))
        if function is aten.copy_.default and not all(isinstance(one, GpuTensor) for one in tensors):
            return self._send(*args)
        if any(one.dim() and not isinstance(one, GpuTensor) for one in tensors):
            raise RuntimeError(f"Expected all tensors to be on the same device: {function}")
        if function is aten.nll_loss2d_forward.default and args[3] != 0:  # a reduction
            raise AssertionError("nll_loss2d_forward_out_cuda_template does not have a deterministic implementation")
        return self._compute(function, args, kwargs)

    def _on_host(self, function: Any, args: Any, kwargs: Any) -> Any:
        if function in (aten.pin_memory.default, aten._pin_memory.default):
            return self._lock(args[0].clone())
        is_locked = kwargs.pop("pin_memory", False)
        made = function(*args, **kwargs)
        return self._lock(made) if is_locked else made

    def _lock(self, values: Tensor) -> Tensor:
        self._locked[values.untyped_storage().data_ptr()] = values  # which is kept, so that the address remains its own
        return values

    def _bring(self, source: Tensor, to: torch.device, dtype: torch.dtype | None, non_blocking: bool) -> Tensor:
        made = torch.empty_like(_values(source), dtype=dtype)
        own = GpuTensor(made) if to.type == "cuda" else made
        if isinstance(source, GpuTensor) and to.type == "cuda":
            self._ask("copy", lambda _: made.copy_(_values(source)))
            return own
        return self._send(own, source, non_blocking)

    def _send(self, out: Tensor, source: Tensor, non_blocking: bool = False) -> Tensor:
        """Copy between host and device."""
        host = source if isinstance(out, GpuTensor) else out
        values, own = _values(source), _values(out)
        if non_blocking and host.untyped_storage().data_ptr() in self._locked:
            self._ask("copy", lambda _: own.copy_(values))
            return out
        self._wait(f"a copy of {source.dtype} {tuple(source.shape)}")
        own.copy_(values)
        return out

    def _compute(self, function: Any, args: Any, kwargs: Any) -> Any:
        schema, name = function._schema, str(function)
        own_args, own_kwargs = tree_map_only(Tensor, _own, (args, kwargs))
        if "device" in own_kwargs:
            own_kwargs.update(device=CPU, pin_memory=None)
        if function.is_view:
            return _on_gpu(function(*own_args, **own_kwargs))
        if schema.is_mutable or not schema.returns:
            self._ask(name, self._work(function, own_args, own_kwargs, None))
            return _written(schema, args, kwargs)
        try:
            like = _infer(function, own_args, own_kwargs)
        except NotImplementedError:  # its shape depends on values
            self._wait(name)
            return _on_gpu(function(*own_args, **own_kwargs))
        made = tree_map_only(Tensor, _unfilled, like)
        if "empty" not in name:
            self._ask(name, self._work(function, own_args, own_kwargs, tree_leaves(made)))
        return _on_gpu(made)

    def _work(self, function: Any, args: Any, kwargs: Any, out: list[Tensor] | None) -> Work:
        is_random = any(argument.name == "generator" for argument in function._schema.arguments)
        ahead = self._drawn if self._capturing is not None else 0
        if is_random and self._capturing is not None:
            self._drawn += 1

        def work(draws: Draws) -> None:
            if is_random:
                seed = draws.seed * 1_000_003 + draws.before + ahead
                kwargs["generator"] = torch.Generator().manual_seed(seed)
            results = function(*args, **kwargs)
            for one, result in zip(out or (), tree_leaves(results) if out else (), strict=True):
                one.copy_(result)

        if is_random and self._capturing is None:
            base = self.draws
            self.draws = Draws(base.seed, base.before + 1)
            return lambda _: work(base)
        return work


def _values(one: Tensor) -> Tensor:
    return one.values if isinstance(one, GpuTensor) else one


def _own(one: Tensor) -> Tensor:
    return one.values if isinstance(one, GpuTensor) else one.clone()  # a scalar of the host's is part of the call


def _on_gpu(values: Any) -> Any:
    return tree_map_only(Tensor, GpuTensor, values)


def _unfilled(like: Tensor) -> Tensor:
    """Return memory that shows when it is read too early."""
    made = torch.empty_strided(like.shape, like.stride(), dtype=like.dtype)
    return made.fill_(
        torch.nan if made.is_floating_point() else torch.iinfo(made.dtype).max if made.dtype != torch.bool else True
    )


def _infer(function: Any, args: Any, kwargs: Any) -> Any:
    """Return what `function` gives, without values.

    Raises:
        NotImplementedError: If values decide.
    """
    if not all("Tensor" in str(one.type) for one in function._schema.returns):
        raise NotImplementedError

    def like(one: Tensor) -> Tensor:
        return torch.empty_strided(one.shape, one.stride(), dtype=one.dtype, device=META)

    own_args, own_kwargs = tree_map_only(Tensor, like, (args, kwargs))
    if "device" in own_kwargs:
        own_kwargs["device"] = META
    return function(*own_args, **own_kwargs)


def _written(schema: Any, args: Any, kwargs: Any) -> Any:
    """Return what an operation returns that writes into its arguments."""
    given = {argument.name: value for argument, value in zip(schema.arguments, args, strict=False)} | kwargs
    is_written = {argument.name: argument.alias_info and argument.alias_info.is_write for argument in schema.arguments}
    written = [value for name, value in given.items() if is_written[name]]
    return None if not schema.returns else written[0] if len(schema.returns) == 1 else tuple(written)


@contextmanager
def modelled_gpu(monkeypatch: pytest.MonkeyPatch, schedule: Schedule = "late") -> Iterator[Gpu]:
    """Have torch.cuda be a modelled GPU."""
    gpu = Gpu(schedule)

    def set_state(state: Tensor, device: object = None) -> None:
        gpu.draws = Draws(*state.tolist())

    stand_ins = {
        "_lazy_init": lambda: None,
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "get_device_name": lambda _device=None: "a modelled GPU",
        "mem_get_info": lambda _device=None: (80 * 10**9, 80 * 10**9),
        "device": nullcontext,
        "set_device": lambda _device: None,
        "synchronize": lambda _device=None: gpu.synchronize(),
        "Stream": lambda _device=None: Stream(gpu),
        "Event": lambda blocking=False: Event(gpu),
        "stream": gpu.on,
        "current_stream": lambda _device=None: gpu.current,
        "CUDAGraph": lambda: Graph(gpu),
        "graph": gpu.capture,
        "manual_seed": lambda seed: setattr(gpu, "draws", Draws(seed, 0)),
        "get_rng_state": lambda _device=None: torch.tensor(gpu.draws),
        "set_rng_state": set_state,
    }
    with monkeypatch.context() as patch:
        for name, stand_in in stand_ins.items():
            patch.setattr(torch.cuda, name, stand_in)
        patch.setattr(torch.accelerator, "synchronize", stand_ins["synchronize"])
        patch.setattr(torch.__future__, "_overwrite_module_params_on_conversion", True)  # else they stay plain tensors
        with gpu:
            yield gpu
