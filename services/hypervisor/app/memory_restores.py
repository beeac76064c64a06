"""Whether the memory in a point is put back with its disks: decided before anything is made."""

from dataclasses import dataclass

from services.chassis.errors import FailedPrecondition
from services.hypervisor.domain.configuration import Configuration
from services.hypervisor.domain.memory import Memory, cpu_obstacle
from services.hypervisor.domain.notice import Notice
from services.hypervisor.domain.target import Mode, Placement, RestoredMemory, TargetDisk
from services.hypervisor.ports.pool import PoolConnection

_WITHOUT = "Restore it without the memory: the disks are as after a power cut then."


@dataclass(frozen=True)
class Chosen:
    """The disks to make, and what a person should know of the memory."""

    disks: tuple[TargetDisk, ...]
    notices: tuple[Notice, ...] = ()


def choose(configured: Configuration, placement: Placement, disks: tuple[TargetDisk, ...]) -> Chosen:
    """The same for the same restore. Raises FailedPrecondition NO_MEMORY_IN_POINT."""
    memory = image(configured, disks)
    if memory is None and placement.memory is RestoredMemory.WITH:
        raise FailedPrecondition(
            f"The restore point of VM {configured.vm_display_name!r} holds no memory.",
            reason="NO_MEMORY_IN_POINT",
            hint="Restore it without the memory, or choose a point that was taken with the method memory.",
        )
    if memory is None and configured.memory is None:
        return Chosen(disks)
    if memory is None or placement.memory is RestoredMemory.WITHOUT:
        left = tuple(disk for disk in disks if memory is None or disk.disk_id != memory.disk_id)
        told = "The memory in the restore point was left out: the disks are as after a power cut."
        return Chosen(left, (Notice("MEMORY_NOT_RESTORED", told),))
    if placement.mode is Mode.ORIGINAL:
        return Chosen(disks)
    told = "With its memory the VM believes to be the original: same name, addresses and open connections."
    return Chosen(disks, (Notice("MEMORY_OF_THE_ORIGINAL", told),))


async def assert_restorable(
    connection: PoolConnection, configured: Configuration, placement: Placement, chosen: Chosen
) -> None:
    """Raises FailedPrecondition MEMORY_OF_DOMAIN_CONTROLLER, MEMORY_HAS_OTHER_ADDRESSES,
    MEMORY_NEEDS_KEY_MATERIAL, MEMORY_NOT_RESUMABLE; what the pool raises."""
    memory = image(configured, chosen.disks)
    if memory is None:
        return
    name = configured.vm_display_name
    if memory.domain_controller_hint and placement.memory is not RestoredMemory.WITH:
        raise FailedPrecondition(
            f"VM {name!r} seems to be a domain controller ({memory.domain_controller_hint}); resuming an old "
            "memory of one can make its directory diverge from its partners'.",
            reason="MEMORY_OF_DOMAIN_CONTROLLER",
            hint=f"{_WITHOUT} Or say that it is to be restored with it.",
        )
    if placement.mode is Mode.NEW_VM and placement.keep_mac_addresses:
        raise FailedPrecondition(
            f"A new VM cannot be given the MAC addresses of {name!r} while it is suspended.",
            reason="MEMORY_HAS_OTHER_ADDRESSES",
            hint="Restore it over the original, with new MAC addresses, or without the memory.",
        )
    keys = placement.mode is Mode.ORIGINAL or placement.key_material
    if not keys and connection.has_virtual_tpm(configured.archive):
        raise FailedPrecondition(
            f"The memory of VM {name!r} cannot go on without the VM's virtual TPM.",
            reason="MEMORY_NEEDS_KEY_MATERIAL",
            hint=f"Say that the new VM is to have the key material (--key-material). {_WITHOUT}",
        )
    if why_not := cpu_obstacle(memory.cpu, await connection.host_cpus()):
        raise FailedPrecondition(
            f"No host of the pool can resume VM {name!r} with its memory: {why_not}.",
            reason="MEMORY_NOT_RESUMABLE",
            hint=_WITHOUT,
        )


def image(configured: Configuration, disks: tuple[TargetDisk, ...]) -> Memory | None:
    """The memory of the point, if its suspend image is among the disks."""
    memory = configured.memory
    return memory if memory and any(disk.disk_id == memory.disk_id for disk in disks) else None
