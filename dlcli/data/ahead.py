"""Iterators that compute their next items ahead of time, in threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

_Item = TypeVar("_Item")


@contextmanager
def _threads(count: int) -> Iterator[ThreadPoolExecutor]:
    """Yield a pool of threads, and wait for its threads at the end unless the generator that uses it was abandoned.

    The garbage collector may close an abandoned generator in any thread, even in one that holds a lock of Python's
    threading machinery. Waiting for other threads there could block forever.
    """
    pool = ThreadPoolExecutor(count)
    try:
        yield pool
    except GeneratorExit:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    except BaseException:
        pool.shutdown()
        raise
    pool.shutdown()


def one_ahead(items: Iterator[_Item]) -> Iterator[_Item]:
    """Yield items while a thread already computes the next one."""
    with _threads(1) as pool:
        pending = pool.submit(next, items, None)
        while (item := pending.result()) is not None:
            pending = pool.submit(next, items, None)
            yield item


def map_ahead(function: Callable[..., _Item], arguments: Iterable[tuple[Any, ...]]) -> Iterator[_Item]:
    """Yield the results of a function in order, while two threads already compute the next ones."""
    with _threads(2) as pool:
        pending: deque[Future[_Item]] = deque()
        for values in arguments:
            pending.append(pool.submit(function, *values))
            if len(pending) > 2:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
