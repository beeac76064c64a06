"""Threads that work on one thing together: bounded channels, and the first failure stops all."""

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from services.chassis.errors import XenkeepError

T = TypeVar("T")


class Stopped(Exception):
    """Somebody else failed; this thread just ends."""


class Closed(Exception):
    """The channel is closed and empty."""


class Flow:
    """The common fate of a set of threads. The first failure is kept and everybody is woken."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self._failure: BaseException | None = None
        self._threads: list[threading.Thread] = []

    def start(self, name: str, work: Callable[[], None]) -> threading.Thread:
        """Run ``work`` in a thread; what it raises becomes the flow's failure."""
        thread = threading.Thread(target=self._run, args=(work,), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()
        return thread

    def fail(self, error: BaseException) -> None:
        with self.changed:
            self._failure = self._failure or error
            self.changed.notify_all()

    def check(self) -> None:
        """Raises Stopped when the flow has failed."""
        if self._failure is not None:
            raise Stopped

    def raise_failure(self) -> None:
        """Raises the first failure, in the thread of whoever must know."""
        if isinstance(self._failure, XenkeepError):
            raise self._failure.with_traceback(self._failure.__traceback__)
        if self._failure is not None:
            raise self._failure

    def wait(self, until: Callable[[], bool]) -> None:
        """Return when ``until()`` holds; raises Stopped when the flow fails first. Call without the lock."""
        with self.changed:
            self.changed.wait_for(lambda: self._failure is not None or until())
            self.check()

    def notify(self) -> None:
        with self.changed:
            self.changed.notify_all()

    def join(self) -> None:
        """Wait for every thread started so far."""
        for thread in self._threads:
            thread.join()

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Stopped:
            pass
        except BaseException as error:  # noqa: BLE001 - handed to whoever owns the flow
            self.fail(error)


class Channel(Generic[T]):
    """A bounded queue that ends with its flow."""

    def __init__(self, flow: Flow, limit: int) -> None:
        self._flow = flow
        self._limit = limit
        self._items: deque[T] = deque()
        self._closed = False

    def put(self, item: T) -> None:
        """Waits for room; raises Stopped when the flow fails."""
        changed = self._flow.changed
        with changed:
            while len(self._items) >= self._limit:
                self._flow.check()
                changed.wait()
            self._flow.check()
            self._items.append(item)
            changed.notify_all()

    def get(self) -> T:
        """Waits for an item; raises Closed after the last one, Stopped when the flow fails."""
        changed = self._flow.changed
        with changed:
            while not self._items:
                self._flow.check()
                if self._closed:
                    raise Closed
                changed.wait()
            self._flow.check()
            item = self._items.popleft()
            changed.notify_all()
            return item

    def close(self) -> None:
        with self._flow.changed:
            self._closed = True
            self._flow.changed.notify_all()
