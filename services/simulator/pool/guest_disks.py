"""Disks in the hands of guests: writable exports that live as long as the VM has the disk attached."""

from pathlib import Path

from services.simulator.failure import XapiFailure
from services.simulator.nbd.guest import GuestDisk
from services.simulator.storage.ports import Disk


class GuestDisks:
    """By the disk's uuid."""

    def __init__(self) -> None:
        self._open: dict[str, GuestDisk] = {}

    def __contains__(self, uuid: str) -> bool:
        return uuid in self._open

    async def attach(self, disk: Disk, socket: Path) -> str:
        """Serve a disk; its URI. Raises ``DEVICE_ALREADY_ATTACHED`` and ``OSError``."""
        if disk.uuid in self._open:
            raise XapiFailure("DEVICE_ALREADY_ATTACHED", disk.uuid)
        guest = self._open[disk.uuid] = GuestDisk(disk, socket)
        try:
            await guest.start()
        except OSError:
            del self._open[disk.uuid]
            raise
        return guest.uri

    async def detach(self, uuid: str) -> None:
        """The guest's connections are gone when this returns; a disk that no guest has is no error."""
        guest = self._open.pop(uuid, None)
        if guest is not None:
            await guest.close()

    async def hold(self, uuid: str) -> None:
        """The VM stands still: requests wait; those that were begun are done when this returns."""
        if uuid in self._open:
            await self._open[uuid].hold()

    def go_on(self, uuid: str) -> None:
        if uuid in self._open:
            self._open[uuid].go_on()

    async def close(self) -> None:
        for uuid in list(self._open):
            await self.detach(uuid)
