"""Memory that objects and ranges of them are read into, one after the other in the same."""

from contextlib import AbstractContextManager
from typing import Final

from services.mover.repository.format.header import DEFAULT_PACK_BYTES
from services.mover.repository.scratch import Loans
from services.mover.repository.store import MOST_LENT
from services.mover.repository.stores.past_cache import room_for

_ranges: Final = Loans(room_for(MOST_LENT), spare=4)
_packs: Final = Loans(room_for(DEFAULT_PACK_BYTES), spare=2)


def room_to_read(length: int) -> AbstractContextManager[memoryview]:
    """``room_for(length)`` bytes that begin at a page; they are somebody else's after the block."""
    return (_ranges if length <= MOST_LENT else _packs).lend(room_for(length))
