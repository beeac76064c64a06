"""Which blobs are needed, in little memory."""

import struct
from typing import Final

_BITS_PER_BLOB: Final = 32
_WORDS: Final = struct.Struct("<6I8x")
_LEAST_BITS: Final = 1 << 20
_MOST_BITS: Final = 1 << 32


class LiveSet:
    """A Bloom filter of blob ids: what was added is in it; of what was not, one in 40,000 seems to be.

    So a prune keeps a blob too many now and then, and never deletes one too many. Four bytes a blob. Ids are
    keyed hashes, so their own words serve as the hashes, and nobody without the key can choose them.
    """

    def __init__(self, blobs: int) -> None:
        """``blobs`` is how many there may be."""
        self._count = min(max(_BITS_PER_BLOB * blobs, _LEAST_BITS), _MOST_BITS)
        self._bits = bytearray(-(-self._count // 8))

    def add(self, id_: bytes) -> None:
        bits, count = self._bits, self._count
        for word in _WORDS.unpack(id_):
            at = word % count
            bits[at >> 3] |= 1 << (at & 7)

    def __contains__(self, id_: bytes) -> bool:
        bits, count = self._bits, self._count
        for word in _WORDS.unpack(id_):
            at = word % count
            if not bits[at >> 3] >> (at & 7) & 1:
                return False
        return True
