"""Memory that a thread uses for one blob after the other, so that none is allocated and zeroed for each."""

import threading
from mmap import PAGESIZE, mmap

_own = threading.local()


def scratch(use: str, length: int) -> memoryview:
    """``length`` bytes of the calling thread's own memory for this ``use``, beginning at a page.

    They hold whatever they held before, and stay valid until the same thread asks for the same use again.
    The memory goes with the thread.
    """
    buffers: dict[str, mmap] = _own.__dict__.setdefault("buffers", {})
    buffer = buffers.get(use)
    if buffer is None or len(buffer) < length:
        buffer = buffers[use] = mmap(-1, max(PAGESIZE, length))
    return memoryview(buffer)[:length]
