"""Facts about pools, past tense; one class per event of the contract."""

from dataclasses import dataclass

from services.hypervisor.domain.pool import Host
from services.hypervisor.domain.vm import PowerState, Vm


@dataclass(frozen=True)
class PoolAdded:
    """A pool was added."""


@dataclass(frozen=True)
class PoolRemoved:
    """A pool was removed."""


@dataclass(frozen=True)
class PoolUnreachable:
    """No member answers as it should; ``message`` tells what was tried."""

    message: str


@dataclass(frozen=True)
class PoolReachable:
    """A pool answers again."""


@dataclass(frozen=True)
class CoordinatorChanged:
    """Another host leads."""

    old_host_id: str
    new_host_id: str
    new_host_display_name: str


@dataclass(frozen=True)
class CoordinatorContested:
    """More than one host leads; ``message`` tells who follows whom, and what that means for us."""

    message: str


@dataclass(frozen=True)
class CoordinatorAgreed:
    """One host leads again."""


@dataclass(frozen=True)
class HostFailed:
    """The pool believes a host is dead."""

    host: Host


@dataclass(frozen=True)
class HostRecovered:
    """A host that was believed dead is back."""

    host: Host


@dataclass(frozen=True)
class VmAdded:
    """A VM appeared."""

    vm: Vm


@dataclass(frozen=True)
class VmChanged:
    """A VM's configuration changed; this is the VM now."""

    vm: Vm


@dataclass(frozen=True)
class VmRemoved:
    """A VM is gone; this is what it was."""

    vm: Vm


@dataclass(frozen=True)
class VmMoved:
    """A VM runs on another host; this is the VM now."""

    vm: Vm
    old_host_id: str


@dataclass(frozen=True)
class VmPowerChanged:
    """A VM was switched on, off, paused or suspended; this is the VM now."""

    vm: Vm
    old: PowerState


@dataclass(frozen=True)
class ChangeTrackingLost:
    """Changed block tracking of a disk was lost."""

    vm: Vm
    disk_id: str
    message: str


@dataclass(frozen=True)
class SnapshotHindered:
    """A VM is not fit for a snapshot now."""

    vm: Vm
    reason: str
    message: str


@dataclass(frozen=True)
class SnapshotPossible:
    """What hindered a snapshot of the VM is over."""

    vm: Vm


PoolEvent = (
    PoolAdded
    | PoolRemoved
    | PoolUnreachable
    | PoolReachable
    | CoordinatorChanged
    | CoordinatorContested
    | CoordinatorAgreed
    | HostFailed
    | HostRecovered
    | VmAdded
    | VmChanged
    | VmRemoved
    | VmMoved
    | VmPowerChanged
    | ChangeTrackingLost
    | SnapshotHindered
    | SnapshotPossible
)
