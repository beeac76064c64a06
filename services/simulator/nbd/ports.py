"""What an NBD server needs from the simulator's core, and what the core may do to it.

`nbd.server.NbdServer(door, ssl_context)` serves one host: `await start(address, port)`, `await close()`,
`kill()` (every connection is reset at once), `cut_after(byte_count)`, `.port`, `.connections`.
`nbd.guest.GuestDisk(disk, socket_path)` is a guest's writable view of one disk.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from services.simulator.storage.ports import Disk


class Mode(enum.Enum):
    """How a connection is met; decided per connection from the purposes of the pool's networks."""

    FORCED_TLS = "nbd"
    PLAIN = "insecure_nbd"
    CLOSED = "no purpose"


class ExportRefused(Exception):
    """The export name is malformed, its session invalid, or its VDI cannot be plugged; says which."""


@dataclass(frozen=True)
class Export:
    """An export that was opened: the disk, and whatever the core needs to close it (its VBD).

    `reads_block`, asked before each large read, answers False when the disk is read out of the page cache and
    never waits on purpose: the read is then made on the event loop, which saves a third of the time.
    Otherwise it goes to a thread.
    """

    disk: Disk
    token: object
    reads_block: Callable[[], bool] = lambda: True


class Door(Protocol):
    """The core's side of a host's NBD server; called on the event loop of the server."""

    def mode(self) -> Mode:
        """How to meet the next connection."""

    async def open_export(self, name: str) -> Export:
        """Check `/<vdi uuid>?session_id=<ref>`, plug the VDI into the control domain. ExportRefused."""

    async def close_export(self, export: Export) -> None:
        """Unplug and destroy the VBD; called once for every opened export, also after a cut."""
