"""What the disks of a snapshot hold, and where to read them; errors and repeating as in ``ports.pool``."""

from dataclasses import dataclass
from typing import Protocol

from services.chassis.config import Secret
from services.hypervisor.domain.differences import Layers
from services.hypervisor.domain.tracking import TrackedDisk


@dataclass(frozen=True)
class NbdEndpoint:
    """A place to read a disk by NBD over TLS. ``export_name`` carries a session: a secret.
    ``max_connections`` is the source's share of the host; 0 when none was given out.
    """

    host_id: str
    address: str
    port: int
    export_name: Secret
    certificate_pem: str
    server_name: str
    max_connections: int = 0


class Readers(Protocol):
    """Telling what to read of a snapshot's disks, and where. Changes nothing."""

    async def assert_readable(self) -> None:
        """Raises FailedPrecondition NBD_NOT_ENABLED when no network of the pool may carry NBD over TLS."""
        ...

    async def tracked_disk(self, snapshot_disk_id: str) -> TrackedDisk | None:
        """What the pool has of a snapshot's disk, or None."""
        ...

    async def changed_blocks(self, base_disk_id: str, snapshot_disk_id: str) -> bytes | str:
        """The bitmap of blocks (64 KiB a bit, most significant first) changed from one snapshot to the next,
        or the pool's words when it cannot tell."""
        ...

    async def allocated_blocks(self, snapshot_disk_id: str) -> bytes | str:
        """The bitmap (as above) of blocks that were ever written, or why nobody can tell. Never an error:
        without it everything is read."""
        ...

    async def layers(self, snapshot_disk_id: str) -> Layers | None:
        """What the disk of a snapshot is made of, or None when it is gone."""
        ...

    async def differing_blocks(self, base_disk_id: str, snapshot_disk_id: str) -> bytes | str:
        """The bitmap (as above) of blocks that may differ from a base that has its data still, or why nobody
        can tell. It may say too much, never too little if the base's parent is one of the snapshot's."""
        ...

    async def nbd_endpoints(self, snapshot_disk_ids: tuple[str, ...]) -> dict[str, tuple[NbdEndpoint, ...]]:
        """Where each disk can be read now, on live hosts only; empty when nowhere."""
        ...
