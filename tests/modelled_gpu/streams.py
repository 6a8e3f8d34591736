"""Streams of work, and the order in which it is done."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, NamedTuple, TypeAlias

import torch

Schedule: TypeAlias = Literal["at once", "late"] | int  # a seed: at random


class Item(NamedTuple):
    """Work in a stream; it waits until `is_ready`, for the stream `after`."""

    do: Callable[[], object]
    is_ready: Callable[[], bool] = lambda: True
    after: Stream | None = None


class Stream:
    """Work in the order it was given."""

    def __init__(self, streams: Streams) -> None:
        self._streams = streams
        self.queue: deque[Item] = deque()
        streams.all.append(self)

    def add(self, item: Item) -> None:
        self.queue.append(item)
        self._streams.go_on()

    def wait_event(self, event: Event) -> None:
        asked = event.asked
        self.add(Item(lambda: None, lambda: event.done >= asked, event.stream))

    def wait_stream(self, other: Stream) -> None:
        event = Event(self._streams)
        event.record(other)
        self.wait_event(event)


class Event:
    """A mark in a stream; one that was never made is waited for by nobody."""

    def __init__(self, streams: Streams) -> None:
        self._streams = streams
        self.asked = self.done = 0
        self.stream: Stream | None = None

    def record(self, stream: Stream | None = None) -> None:
        stream = stream or self._streams.current
        self.stream = stream
        self.asked += 1
        asked = self.asked
        stream.add(Item(lambda: setattr(self, "done", asked)))

    def synchronize(self) -> None:
        if self.stream is not None:
            self._streams.finish(self.stream, lambda: self.done >= self.asked)


class Streams:
    """All streams of a GPU.

    Attributes:
        all: One after the other, as they were made.
        current: Where work goes.
    """

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._random = random.Random(schedule)
        self.all: list[Stream] = []
        self.current = Stream(self)

    @torch.inference_mode()
    def go_on(self) -> None:
        """Do what the schedule has the GPU do while the host is on its way to the next call."""
        if self._schedule == "late":
            return
        while ready := [stream for stream in self.all if stream.queue and stream.queue[0].is_ready()]:
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

    def synchronize(self) -> None:
        """As torch.cuda.synchronize."""
        for stream in self.all:
            self.finish(stream)

    @contextmanager
    def on(self, stream: Stream) -> Iterator[None]:
        """As torch.cuda.stream."""
        before, self.current = self.current, stream
        try:
            yield
        finally:
            self.current = before
