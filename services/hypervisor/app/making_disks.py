"""Making the disks of a restore target, each in a format its storage repository can hold.

Killed at any step: a disk that was made is found by its tag and taken as it is.
"""

from dataclasses import dataclass, replace

from services.hypervisor.app.steps import Passed
from services.hypervisor.domain import image_format
from services.hypervisor.domain.configuration import Configuration, ConfiguredDisk
from services.hypervisor.domain.target import Target, TargetState
from services.hypervisor.ports.pool import PoolConnection
from services.hypervisor.ports.stores import TargetStore


@dataclass(frozen=True)
class _Wanted:
    """A disk to make: its place in the target, what it is like, and in which format to ask for it where."""

    index: int
    like: ConfiguredDisk
    size_bytes: int
    sr_id: str
    image_format: str


class MakingDisks:
    """``passed`` is told each step that is done."""

    def __init__(self, store: TargetStore, passed: Passed) -> None:
        self._store = store
        self._passed = passed

    async def make(self, connection: PoolConnection, target: Target, configured: Configuration) -> Target:
        """The target with all its disks, PREPARED. Raises FailedPrecondition DISK_TOO_LARGE, before anything
        is made where the storage tells what it can hold; else the largest disk is tried first."""
        wanted = await self._wanted(connection, target, configured)
        for each in sorted(wanted, key=lambda disk: -disk.size_bytes):
            made = await connection.make_disk(
                target.target_id, each.like, each.size_bytes, each.sr_id, each.image_format
            )
            self._passed("prepare:disk")
            disks = list(target.disks)
            disks[each.index] = replace(disks[each.index], new_disk_id=made.disk_id, sr_id=each.sr_id)
            notices = (*target.notices, *image_format.changed(each.like, made.image_format))
            target = await self._saved(replace(target, disks=tuple(disks), notices=notices))
        target = await self._saved(replace(target, state=TargetState.PREPARED))
        self._passed("prepare:done")
        return target

    async def _wanted(
        self, connection: PoolConnection, target: Target, configured: Configuration
    ) -> list[_Wanted]:
        original = {disk.disk_id: disk for disk in configured.disks}
        wanted = []
        for index, disk in enumerate(target.disks):
            if disk.new_disk_id:
                continue
            like = replace(original[disk.disk_id], display_name=disk.display_name)
            sr_id = await connection.choose_sr(target.placement.sr, like.sr_id)
            storage = await connection.disk_storage(sr_id)
            asked = image_format.to_ask_for(like, disk.size_bytes, storage)
            wanted.append(_Wanted(index, like, disk.size_bytes, sr_id, asked))
        return wanted

    async def _saved(self, target: Target) -> Target:
        await self._store.save(target)
        return target
