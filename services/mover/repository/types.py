"""Types every part of the engine speaks of."""

from collections.abc import Callable

Bytes = bytes | bytearray | memoryview
"""Bytes that are only read."""

Entropy = Callable[[int], bytes]
"""So many random bytes, fit for keys: ``os.urandom``."""
