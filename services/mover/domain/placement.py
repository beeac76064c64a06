"""Where a VM is put back."""

from dataclasses import dataclass
from enum import StrEnum


class Mode(StrEnum):
    """As a new VM, or over the original."""

    NEW_VM = "new_vm"
    ORIGINAL = "original"


class Memory(StrEnum):
    """What becomes of the memory in a restore point."""

    UNSPECIFIED = "unspecified"
    WITH = "with"
    WITHOUT = "without"


@dataclass(frozen=True, slots=True)
class Placement:
    """``pool`` is ``pools/{pool}``; ``sr`` empty for where the disks were; ``vm_snapshot`` is the UUID of a
    snapshot of the VM's own to make a VM of, empty for the VM itself."""

    pool: str
    mode: Mode
    sr: str = ""
    vm_display_name: str = ""
    keep_mac_addresses: bool = False
    start: bool = False
    memory: Memory = Memory.UNSPECIFIED
    key_material: bool = False
    vm_snapshot: str = ""
