"""An iterator that runs ahead in a thread of its own while somebody works on what it gave before."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")
GLANCE_S = 0.1


class _Ended:
    """Put last: nothing more comes, because of the error or because there is none."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


@contextmanager
def ahead(items: Iterator[T], size: int) -> Iterator[Iterator[T]]:
    """The same items, at most `size` of them waiting. What the iterator raises is raised where it is waited for.

    At the end of the block the iterator is closed in its own thread, and the thread has ended.
    """
    ready: queue.Queue[T | _Ended] = queue.Queue(size)
    stop = threading.Event()

    def put(item: T | _Ended) -> None:
        while not stop.is_set():
            try:
                ready.put(item, timeout=GLANCE_S)
                return
            except queue.Full:
                continue

    def read() -> None:
        try:
            for item in items:
                put(item)
                if stop.is_set():
                    return
            put(_Ended())
        except BaseException as error:  # noqa: BLE001  # raised again by whoever waits for the item
            put(_Ended(error))
        finally:
            close = getattr(items, "close", None)
            if close is not None:
                close()

    def taken() -> Iterator[T]:
        while not isinstance(item := ready.get(), _Ended):
            yield item
        if item.error is not None:
            raise item.error

    thread = threading.Thread(target=read, name="ahead", daemon=True)
    thread.start()
    try:
        yield taken()
    finally:
        stop.set()
        thread.join()
