"""VMs as the inventory knows them."""

from dataclasses import dataclass
from enum import Enum


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
    """A VM that can be protected. ``host_id`` is empty unless it runs.

    ``can_shut_down``: its guest reacts to a request to shut down, should it run; ``can_quiesce``: it
    can be quiesced now, or need not be because it is off. ``boot_parameters`` are sorted pairs.
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
    can_shut_down: bool = False
    can_quiesce: bool = False
    boot_parameters: tuple[tuple[str, str], ...] = ()

    @property
    def methods(self) -> tuple[Method, ...]:
        """How it can be captured now, with options as they are by default."""
        offline = self.power_state is PowerState.HALTED or (
            self.power_state is PowerState.RUNNING and self.can_shut_down
        )
        possible = {Method.NORMAL: True, Method.OFFLINE: offline, Method.QUIESCED: self.can_quiesce}
        return tuple(method for method in Method if possible.get(method, False))
