"""Doing one thing to many, a few at a time."""

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

_WAITING_PER_WORKER = 4


def for_each(items: Iterable[T], work: Callable[[T], None], workers: int) -> None:
    """``work`` on every item in ``workers`` threads; takes items as they are needed, however many there are.

    Raises the first failure; items not begun by then are left.
    """
    with ThreadPoolExecutor(workers, thread_name_prefix="each") as pool:
        running: deque[Future[None]] = deque()
        try:
            for item in items:
                running.append(pool.submit(work, item))
                if len(running) > _WAITING_PER_WORKER * workers:
                    running.popleft().result()
            while running:
                running.popleft().result()
        finally:
            for future in running:
                future.cancel()
