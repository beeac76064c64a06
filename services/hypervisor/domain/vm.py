"""VMs as the inventory knows them."""

from dataclasses import dataclass, field
from enum import Enum

from services.hypervisor.domain.guest import GuestFacts


class PowerState(Enum):
    """Names as in XenAPI, upper case."""

    HALTED = "HALTED"
    PAUSED = "PAUSED"
    RUNNING = "RUNNING"
    SUSPENDED = "SUSPENDED"


class Method(Enum):
    """How a VM is captured; names as in the contract."""

    NORMAL = "NORMAL"
    OFFLINE = "OFFLINE"
    MEMORY = "MEMORY"
    QUIESCED = "QUIESCED"


@dataclass(frozen=True)
class Disk:
    """A disk of a VM; ``device`` is the position ("0", "1", ...)."""

    disk_id: str
    device: str
    display_name: str
    size_bytes: int
    sr_id: str
    sr_display_name: str
    change_tracking: bool


@dataclass(frozen=True)
class NetworkInterface:
    """A network interface of a VM."""

    device: str
    mac: str
    network_id: str
    network_display_name: str


@dataclass(frozen=True)
class Vm:
    """A VM, or a template of somebody's, that can be protected. ``host_id`` is empty unless it runs.

    ``shutdown_obstacle``, ``quiesce_obstacle`` and ``memory_obstacle`` are why its guest cannot be asked to
    shut down, why its pool cannot quiesce it, and why its memory cannot be captured; empty when it can.
    ``boot_parameters`` are sorted pairs.
    """

    pool_id: str
    vm_id: str
    display_name: str
    description: str
    power_state: PowerState
    host_id: str
    host_display_name: str
    disks: tuple[Disk, ...]
    network_interfaces: tuple[NetworkInterface, ...]
    tags: tuple[str, ...]
    memory_bytes: int
    vcpus: int
    guest_os: str
    shutdown_obstacle: str = ""
    quiesce_obstacle: str = ""
    memory_obstacle: str = ""
    boot_parameters: tuple[tuple[str, str], ...] = ()
    guest: GuestFacts = field(default_factory=GuestFacts)
    template: bool = False
