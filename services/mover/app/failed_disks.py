"""A disk that cannot be read, and what that means for the others of its VM."""

from dataclasses import replace

from services.chassis.errors import Cancelled, XenkeepError
from services.mover.domain.capture import Remark
from services.mover.domain.point import MissingDisk
from services.mover.domain.source import Source, SourceDisk
from services.mover.ports.neighbours import ReadableDisk


class DiskFailed(Exception):
    """Reading one disk failed, and nothing else."""

    def __init__(self, disk: SourceDisk, error: XenkeepError) -> None:
        super().__init__(str(error))
        self.disk = disk
        self.error = error


class Watched:
    """A disk that remembers the failure of its own, to be told from one of the repository."""

    def __init__(self, disk: ReadableDisk) -> None:
        self._disk = disk
        self.failure: XenkeepError | None = None

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """As the disk's; being told to stop is no failure."""
        try:
            self._disk.read_into(offset, buffer)
        except Cancelled:
            raise
        except XenkeepError as error:
            self.failure = self.failure or error
            raise


def without(source: Source, failed: DiskFailed) -> Source:
    """What is left to back up; the failed disk is named. Raises its error when nothing is left."""
    left = tuple(disk for disk in source.disks if disk.disk_id != failed.disk.disk_id)
    if not left:
        raise failed.error
    disk = failed.disk
    why = f"it could not be read: {failed.error.message}"
    missing = MissingDisk(disk.disk_id, disk.device, disk.display_name, why)
    return replace(source, disks=left, missing_disks=(*source.missing_disks, missing))


def told(failed: DiskFailed) -> Remark:
    """For the point and the run."""
    disk = failed.disk
    name = f"Disk {disk.device} ({disk.display_name}, {disk.disk_id})"
    text = f"{name} is not in this restore point: it could not be read: {failed.error.message}"
    return Remark("DISK_FAILED", text)
