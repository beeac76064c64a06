"""What a restore may ask for."""

from services.chassis.errors import FailedPrecondition, InvalidInput
from services.hypervisor.domain import memory
from services.hypervisor.domain.configuration import Configuration
from services.hypervisor.domain.notice import Notice
from services.hypervisor.domain.target import Target, TargetDisk, TargetState


def wanted(disks: tuple[TargetDisk, ...]) -> list[tuple[str, int]]:
    """What tells one request from another."""
    return [(disk.disk_id, disk.size_bytes) for disk in disks]


def assert_known(configured: Configuration, disks: tuple[TargetDisk, ...]) -> None:
    """Raises InvalidInput DISK_UNKNOWN, DISK_SIZE_INVALID."""
    known = {disk.disk_id for disk in configured.disks}
    known |= {disk.disk_id for each in configured.own_snapshots for disk in each.disks}
    ids = [disk.disk_id for disk in disks]
    for disk in disks:
        if disk.disk_id not in known or ids.count(disk.disk_id) > 1:
            raise InvalidInput(
                f"Disk {disk.disk_id} is not in the VM's configuration, or is named twice.",
                reason="DISK_UNKNOWN",
                hint="Name each disk of the restore point once.",
            )
        if disk.size_bytes <= 0 or disk.size_bytes % 512:
            raise InvalidInput(
                f"Disk {disk.disk_id} cannot have {disk.size_bytes} bytes.",
                reason="DISK_SIZE_INVALID",
                hint="Give its size in the restore point, a multiple of 512.",
            )


def not_restored(configured: Configuration, disks: tuple[TargetDisk, ...]) -> tuple[Notice, ...]:
    """Notices about disks of the VM that a restore has no data of."""
    given = {disk.disk_id for disk in disks}
    return tuple(
        Notice(
            "DISK_NOT_RESTORED",
            f"Disk {disk.display_name!r} ({disk.disk_id}) of the VM is not restored: the restore has no data "
            "of it. The restored VM comes without it.",
        )
        for disk in configured.disks
        if disk.disk_id not in given and disk.device != memory.DEVICE
    )


def assert_alive(target: Target) -> None:
    """Raises FailedPrecondition TARGET_ABORTED."""
    if target.state in (TargetState.ABORTING, TargetState.ABORTED):
        raise FailedPrecondition(
            f"Restore {target.target_id} was aborted.",
            reason="TARGET_ABORTED",
            hint="Start a new restore with a new id.",
        )
