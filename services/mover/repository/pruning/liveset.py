"""Which blobs are needed, in little memory."""

import struct
from typing import Final

_BITS_PER_BLOB: Final = 32
_WORDS: Final = struct.Struct("<6I8x")
_LEAST_BITS: Final = 1 << 20
_MOST_BITS: Final = 1 << 30


class LiveSet:
    """A Bloom filter of blob ids: what was added is in it; of what was not, one in 40,000 seems to be.

    So a prune keeps a blob too many now and then, and never deletes one too many. Four to eight bytes a blob,
    but at most 128 MiB: with 67 million blobs one in 1,000 seems to be needed, with 134 million one in 50.
    Ids are keyed hashes, so their own words serve as the hashes, and nobody without the key can choose them.
    """

    def __init__(self, blobs: int) -> None:
        """``blobs`` is how many there may be."""
        bits = min(max(_BITS_PER_BLOB * blobs, _LEAST_BITS), _MOST_BITS)
        self._mask = (1 << (bits - 1).bit_length()) - 1
        self._bits = bytearray((self._mask + 1) // 8)

    def add(self, id_: bytes) -> None:
        bits, mask = self._bits, self._mask
        for word in _WORDS.unpack(id_):
            at = word & mask
            bits[at >> 3] |= 1 << (at & 7)

    def __contains__(self, id_: bytes) -> bool:
        bits, mask = self._bits, self._mask
        for word in _WORDS.unpack(id_):
            at = word & mask
            if not bits[at >> 3] >> (at & 7) & 1:
                return False
        return True
