"""Threads that work on one thing together: bounded channels, and the first failure stops all."""

import queue
import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Stopped(Exception):
    """Somebody else failed; this thread just ends."""


class Closed(Exception):
    """The channel is closed and empty."""


class Flow:
    """The common fate of a set of threads. The first failure is kept and everybody is woken."""

    def __init__(self) -> None:
        self._failure: BaseException | None = None
        self._lock = threading.Lock()
        self._wakers: list[Callable[[], None]] = []
        self._threads: list[threading.Thread] = []

    def condition(self) -> threading.Condition:
        """A condition whose waiters a failure wakes."""
        condition = threading.Condition(threading.Lock())

        def wake() -> None:
            with condition:
                condition.notify_all()

        self.when_failed(wake)
        return condition

    def when_failed(self, wake: Callable[[], None]) -> None:
        """Call ``wake`` when the flow fails, at once if it has."""
        with self._lock:
            self._wakers.append(wake)
            failed = self._failure is not None
        if failed:
            wake()

    def start(self, name: str, work: Callable[[], None]) -> threading.Thread:
        """Run ``work`` in a thread; what it raises becomes the flow's failure."""
        thread = threading.Thread(target=self._run, args=(work,), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()
        return thread

    def fail(self, error: BaseException) -> None:
        with self._lock:
            self._failure = self._failure or error
            wakers = list(self._wakers)
        for wake in wakers:
            wake()

    def check(self) -> None:
        """Raises Stopped when the flow has failed."""
        if self._failure is not None:
            raise Stopped

    @property
    def failure(self) -> BaseException | None:
        """The first failure, when there was one."""
        return self._failure

    def raise_failure(self) -> None:
        """Raises the first failure, in the thread of whoever must know."""
        if self._failure is not None:
            raise self._failure

    def wait(self, condition: threading.Condition, until: Callable[[], bool]) -> None:
        """Return when ``until()`` holds; raises Stopped when the flow fails first. Call with the lock."""
        while not until():
            self.check()
            condition.wait()
        self.check()

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


class Belt(Generic[T]):
    """A queue without a bound of its own, for things of which there is a fixed number, such as buffers.

    A lock in C instead of a condition in Python: it is passed twice for every chunk of a disk.
    """

    def __init__(self, flow: Flow) -> None:
        self._flow = flow
        self._items: queue.SimpleQueue[T | None] = queue.SimpleQueue()
        flow.when_failed(self.close)

    def put(self, item: T) -> None:
        self._items.put(item)

    def get(self) -> T:
        """Waits for an item; raises Closed after the last one, Stopped when the flow fails."""
        item = self._items.get()
        if item is None:
            self._items.put(None)  # for the next one who waits
        self._flow.check()
        if item is None:
            raise Closed
        return item

    def close(self) -> None:
        self._items.put(None)


class Channel(Generic[T]):
    """A bounded queue that ends with its flow."""

    def __init__(self, flow: Flow, limit: int) -> None:
        self._flow = flow
        self._limit = limit
        self._items: deque[T] = deque()
        self._closed = False
        self._room = flow.condition()
        self._filled = flow.condition()

    def put(self, item: T) -> None:
        """Waits for room; raises Stopped when the flow fails."""
        with self._room:
            self._flow.wait(self._room, lambda: len(self._items) < self._limit)
            self._items.append(item)
        with self._filled:
            self._filled.notify()

    def get(self) -> T:
        """Waits for an item; raises Closed after the last one, Stopped when the flow fails."""
        with self._filled:
            self._flow.wait(self._filled, lambda: bool(self._items) or self._closed)
            if not self._items:
                raise Closed
            item = self._items.popleft()
        with self._room:
            self._room.notify()
        return item

    def close(self) -> None:
        with self._filled:
            self._closed = True
            self._filled.notify_all()
