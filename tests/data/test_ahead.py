"""Reading ahead in threads."""

from __future__ import annotations

from threading import Event, Thread

from dlcli.data.ahead import map_ahead


def test_closing_an_abandoned_reader_does_not_wait_for_its_threads() -> None:
    """The garbage collector may close it in a thread that holds a lock, and would wait for ever."""
    ended = Event()
    items = map_ahead(lambda number: number == 0 or ended.wait(60), ((number,) for number in range(3)))
    assert next(items)
    closing = Thread(target=items.close)
    closing.start()
    closing.join(10)
    is_waiting = closing.is_alive()
    ended.set()
    assert not is_waiting
