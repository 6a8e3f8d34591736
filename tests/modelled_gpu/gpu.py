"""Tensors on a GPU, and what is done with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from modelled_gpu.streams import Item, Schedule, Streams

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


class Graph:
    """Work that is kept, to be given to a stream as a whole."""

    def __init__(self, gpu: Gpu) -> None:
        self._gpu = gpu
        self.works: list[Work] = []
        self.draws = 0

    def replay(self) -> None:
        gpu, base = self._gpu, self._gpu.draws
        for work in self.works:
            gpu.streams.current.add(Item(lambda work=work: work(base)))  # type: ignore[misc]
        gpu.draws = Draws(base.seed, base.before + self.draws)
        gpu.replays.append(len(self.works))


class Gpu(TorchDispatchMode):
    """The GPU.

    Attributes:
        streams: Its streams.
        waits: What the host waited for.
        kernels: What it asked for one by one.
        replays: How many kernels each graph held that it asked for.
    """

    def __init__(self, schedule: Schedule) -> None:
        super().__init__()
        self.streams = Streams(schedule)
        self.draws = Draws(0, 0)
        self._capturing: Graph | None = None
        self._pinned: dict[int, Tensor] = {}  # by address
        self.waits: list[str] = []
        self.kernels: list[str] = []
        self.replays: list[int] = []

    def _ask(self, name: str, work: Work, draws: int = 0) -> None:
        """Give work, which draws so often, to the current stream, or to the graph that is being captured."""
        if self._capturing is not None:
            self._capturing.works.append(work)
            self._capturing.draws += draws
            return
        self.kernels.append(name)
        base = self.draws
        self.draws = Draws(base.seed, base.before + draws)
        self.streams.current.add(Item(lambda: work(base)))

    def _wait(self, what: str) -> None:
        if self._capturing is not None:
            raise RuntimeError(f"operation not permitted when stream is capturing: {what}")
        self.waits.append(what)
        self.streams.finish(self.streams.current)

    @contextmanager
    def capture(self, graph: Graph) -> Iterator[None]:
        """As torch.cuda.graph."""
        self.streams.synchronize()
        self._capturing = graph
        try:
            yield
        finally:
            self._capturing = None

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
        self._pinned[values.untyped_storage().data_ptr()] = values  # which is kept, so that the address remains its own
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
        if non_blocking and host.untyped_storage().data_ptr() in self._pinned:
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
        draws = int(any(argument.name == "generator" for argument in schema.arguments))
        if schema.is_mutable or not schema.returns:
            self._ask(name, self._work(function, own_args, own_kwargs, draws), draws)
            return _written(schema, args, kwargs)
        try:
            like = _infer(function, own_args, own_kwargs)
        except NotImplementedError:  # its shape depends on values
            self._wait(name)
            return _on_gpu(function(*own_args, **own_kwargs))
        made = tree_map_only(Tensor, _unfilled, like)
        if "empty" not in name:
            self._ask(name, self._work(function, own_args, own_kwargs, draws, tree_leaves(made)), draws)
        return _on_gpu(made)

    def _work(self, function: Any, args: Any, kwargs: Any, draws: int, out: Sequence[Tensor] = ()) -> Work:
        """Return what computes the function again, with the values of then, into `out` if it returns new tensors."""
        ahead = self._capturing.draws if self._capturing is not None else 0

        def work(base: Draws) -> None:
            if draws:
                seed = base.seed * 1_000_003 + base.before + ahead
                kwargs["generator"] = torch.Generator().manual_seed(seed)
            results = function(*args, **kwargs)
            for one, result in zip(out, tree_leaves(results) if out else (), strict=True):
                one.copy_(result)

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
    return made.fill_(torch.nan if made.is_floating_point() else 99)


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
