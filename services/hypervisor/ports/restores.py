"""Making disks and VMs; errors and repeating as in ``ports.pool``."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from services.chassis.config import Secret
from services.hypervisor.domain.configuration import ConfiguredDisk, ConfiguredInterface
from services.hypervisor.domain.gpus import GpuObstacle
from services.hypervisor.domain.image_format import DiskStorage
from services.hypervisor.domain.memory import HostCpu
from services.hypervisor.domain.target import AttachedDisk


@dataclass(frozen=True)
class WriteEndpoint:
    """A place to write a disk by HTTPS PUT. ``url`` carries a session: a secret."""

    host_id: str
    url: Secret
    certificate_pem: str


@dataclass(frozen=True)
class MadeDisk:
    """A disk to write, by UUID, and the format of its image; empty when the pool does not tell."""

    disk_id: str
    image_format: str


class Restores(Protocol):
    """Making disks and VMs. Never touches an object that does not carry our tag, except where it says so."""

    async def choose_sr(self, wanted: str, original_sr_id: str) -> str:
        """UUID of the SR: ``wanted`` by UUID or name, else the original one, else the pool's default.

        Raises NotFound SR_UNKNOWN, InvalidInput SR_AMBIGUOUS, FailedPrecondition NO_SR.
        """
        ...

    async def disk_storage(self, sr_id: str) -> DiskStorage:
        """In which formats an SR keeps disks. Raises NotFound SR_UNKNOWN."""
        ...

    async def make_disk(
        self, target_id: str, disk: ConfiguredDisk, size_bytes: int, sr_id: str, image_format: str = ""
    ) -> MadeDisk:
        """The disk tagged with ``target_id`` for ``disk.disk_id``: the one there is, or a new one. In the
        format that is asked for, one that ``disk_storage`` names or the only one that is large enough; empty:
        as the SR likes. At the device "memory" it is a suspend image. Raises FailedPrecondition
        DISK_TOO_LARGE or DISK_FORMAT_UNKNOWN when the SR cannot hold it."""
        ...

    async def open_ticket(self, new_disk_id: str) -> str:
        """A task the writing of the disk completes, instead of any before. Raises Unavailable
        DISK_STILL_ATTACHED while a host that wrote it before does not let go of it."""
        ...

    async def ticket_state(self, ticket: str) -> bool | None:
        """True: written completely; None: not finished yet.

        Raises Aborted WRITE_FAILED with the pool's words, Aborted WRITE_TICKET_LOST when the pool forgot it.
        """
        ...

    async def drop_tickets(self, new_disk_id: str) -> None:
        """Cancels and forgets the tickets of a disk, finished or not."""
        ...

    async def write_endpoints(self, new_disk_id: str, ticket: str) -> tuple[WriteEndpoint, ...]:
        """Where the disk can be written now: the live hosts that see its SR, of which one is to do it. Later
        ones are for when those before cannot be reached, which the pool may not know."""
        ...

    async def attached_disks(self, vm_id: str) -> tuple[AttachedDisk, ...] | None:
        """The disks of any VM (no CDs), or None when there is no such VM."""
        ...

    async def shut_down(self, vm_id: str, patience_s: float) -> bool:
        """Halts a VM: cleanly, and after ``patience_s`` seconds, or when it cannot be asked, hard.

        Returns False when it had to be hard. A halted VM is left alone.
        """
        ...

    async def host_cpus(self) -> tuple[HostCpu, ...]:
        """The processors of the hosts a VM could be resumed on."""
        ...

    async def suspend_image(self, vm_id: str) -> str:
        """UUID of the disk with the memory of a suspended VM; empty for any other."""
        ...

    async def find_vm(self, target_id: str) -> str | None:
        """UUID of the VM tagged with ``target_id``."""
        ...

    async def import_vm(
        self,
        target_id: str,
        archive: bytes,
        disks: Mapping[str, str],
        name: str,
        original: str | None,
        *,
        keys: bool = True,
        memory: str = "",
        without_gpus: Collection[str] = (),
    ) -> None:
        """Makes the VM of ``archive`` with each disk replaced by the one ``disks`` names, tagged with
        ``target_id``. ``original`` is the UUID it keeps (a halted VM of that UUID is replaced, its disks are
        left); None makes a new VM called ``name``. Disks not in ``disks`` are left out, and of a
        new VM the virtual TPM unless ``keys``; UEFI variables always come back, it may need them to boot.
        Virtual GPUs ``without_gpus`` (UUIDs) are left out.
        ``memory`` is the key in ``disks`` of the suspend image: the VM is suspended with it, and halted
        without.

        Not safe to repeat: look with ``find_vm`` first. May have happened when it raises Unavailable.
        """
        ...

    def part_of(self, archive: bytes, snapshot_id: str) -> bytes:
        """Of an export with snapshots: what tells of one of them (a UUID), as of a VM of its own, or of the
        VM alone ("").

        Raises InvalidInput VM_CONFIGURATION_INVALID when it does not tell of it."""
        ...

    def has_virtual_tpm(self, archive: bytes) -> bool:
        """Whether the archive of a VM holds a virtual TPM."""
        ...

    async def gpu_obstacles(self, archive: bytes) -> tuple[GpuObstacle, ...]:
        """Virtual GPUs of the archive that the pool cannot give a VM as they were."""
        ...

    async def complete_vm(
        self, vm_id: str, archive: bytes, appliance_id: str, without_gpus: Collection[str] = ()
    ) -> tuple[str, ...]:
        """Puts back what an import leaves behind; what could not be, one clause each. Safe to repeat."""
        ...

    async def set_macs(self, vm_id: str, interfaces: Collection[ConfiguredInterface]) -> None:
        """Gives the interfaces of a VM of ours the MAC addresses they had."""
        ...

    async def release(self, target_id: str, vm_id: str) -> None:
        """Takes our tags off the VM and its disks: they belong to their owner now."""
        ...

    async def remove_replaced(self, disk_ids: tuple[str, ...]) -> tuple[str, ...]:
        """Removes disks (not tagged: a restore over their VM replaced them) and tracking data of ours for
        them. A disk another VM uses is left; its UUID is returned."""
        ...

    async def start_vm(self, vm_id: str) -> None:
        """Starts a VM, or resumes it; one that runs is left alone."""
        ...

    async def remove_target(self, target_id: str) -> None:
        """Removes the VM and the disks tagged with ``target_id``, unless a VM of somebody else uses them.
        What protected a VM that was to be replaced protects it again."""
        ...
