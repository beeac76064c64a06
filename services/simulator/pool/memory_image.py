"""What a memory image holds: a head that vouches for the pages after it.

A real one is a stream of Xen's; a simulated guest has some pages that tell one moment from another, so that
a damaged or misplaced image is found out when the VM is resumed.
"""

import hashlib

from services.simulator.failure import internal_error
from services.simulator.storage.ports import Disk

_MAGIC = b"XenSavedDomain simulated\n"
_HEAD_SIZE = 512
PAGES_SIZE = 1024 * 1024


def write(disk: Disk, moment: str) -> None:
    """The pages of a guest at a ``moment``, and their digest in the head. Raises ``StorageError``."""
    pages = hashlib.shake_256(moment.encode()).digest(PAGES_SIZE)
    head = _MAGIC + hashlib.sha256(pages).hexdigest().encode() + b"\n"
    disk.write(0, head.ljust(_HEAD_SIZE, b"\0"))
    disk.write(_HEAD_SIZE, pages)


def check(disk: Disk) -> None:
    """Raises ``INTERNAL_ERROR`` for a disk whose head is none or does not fit the pages."""
    head, pages = bytearray(_HEAD_SIZE), bytearray(PAGES_SIZE)
    disk.read_into(0, head)
    disk.read_into(_HEAD_SIZE, pages)
    expected = _MAGIC + hashlib.sha256(pages).hexdigest().encode() + b"\n"
    if bytes(head) != expected.ljust(_HEAD_SIZE, b"\0"):
        raise internal_error(f"xenopsd internal error: VDI {disk.uuid} holds no memory image of a VM")
