"""What has to be known and done before the snapshot of a source: its disks, what the pool can bear,
tracking."""

from dataclasses import dataclass

from services.chassis.errors import FailedPrecondition
from services.hypervisor.app.care import Care
from services.hypervisor.app.steps import Passed
from services.hypervisor.domain.disk_rules import Candidate, Choice, choose, nothing_to_capture
from services.hypervisor.domain.source import Source
from services.hypervisor.domain.tracking import TrackingOutcome
from services.hypervisor.ports.pool import PoolConnection
from services.hypervisor.ports.snapshots import VmDisk, VmShape


@dataclass(frozen=True)
class Prepared:
    """``left_out`` are the UUIDs of the disks that will not be in the snapshot."""

    shape: VmShape
    choice: Choice
    left_out: frozenset[str]
    outcomes: dict[str, TrackingOutcome]


class Preparing:
    """May be repeated."""

    def __init__(self, care: Care, passed: Passed) -> None:
        self._care = care
        self._passed = passed

    async def prepare(self, connection: PoolConnection, source: Source) -> Prepared:
        """Raises FailedPrecondition NBD_NOT_ENABLED, NOTHING_TO_CAPTURE, DISK_FAILED; what
        ``Care.assert_possible`` and the pool raise."""
        await connection.assert_readable()
        shape = await connection.shape(source.vm_id)
        choice = choose(source.options.disks, [candidate(disk) for disk in shape.disks])
        _assert_whole(source, shape, choice.left_out)
        left_out = choice.left_out | {disk.configured.disk_id for disk in shape.disks if disk.obstacle}
        chosen = [disk.configured.disk_id for disk in shape.disks if disk.configured.disk_id not in left_out]
        if shape.disks and not chosen:
            raise nothing_to_capture(shape.display_name)
        opened_before = await connection.has_snapshot(source.vm_id, source.source_id)
        if not opened_before:  # a snapshot that was taken already costs nothing more
            await self._care.assert_possible(connection, source, left_out)
        outcomes = {disk_id: await connection.track(disk_id) for disk_id in chosen}
        self._passed("open:tracked")
        if opened_before:  # its block must not get into the configuration
            await connection.allow_migrations(source.vm_id, source.source_id)
        return Prepared(shape, choice, frozenset(left_out), outcomes)


def candidate(disk: VmDisk) -> Candidate:
    """The disk as rules see it."""
    return Candidate(disk.configured, disk.size_bytes, disk.sr_display_name)


def _assert_whole(source: Source, shape: VmShape, excluded: frozenset[str]) -> None:
    """A disk that fails now fails the backup, unless the policy has the others go on."""
    for disk in shape.disks:
        if disk.failed and disk.configured.disk_id not in excluded and not source.options.skips_failed_disks:
            raise FailedPrecondition(
                f"Disk {disk.configured.display_name!r} ({disk.configured.disk_id}) of VM "
                f"{shape.display_name!r} cannot be backed up: {disk.obstacle}.",
                reason="DISK_FAILED",
                hint="Repair its storage, leave it out by a rule, or let the policy skip failed disks.",
            )
