"""Randomness for keys, salts and nonces that no two movers share, clones of one machine included."""

import hashlib
import os
import time

_PERSON = b"xenkeep entropy"
_MOST = hashlib.blake2b.MAX_DIGEST_SIZE


def fresh(length: int) -> bytes:
    """``length`` bytes, at most 64, from the operating system, mixed with the moment to the nanosecond.

    Two machines made from one snapshot may have one state of the kernel's generator between them, where
    it is not told. One salt twice would be one pack key twice, with the same counter nonces.
    """
    if length > _MOST:
        raise ValueError(f"{length} bytes at once, of {_MOST}")
    moment = f"{time.time_ns()} {time.perf_counter_ns()} {os.getpid()}".encode()
    return hashlib.blake2b(os.urandom(_MOST) + moment, digest_size=length, person=_PERSON).digest()
