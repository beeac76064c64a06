"""What happened between two looks at a pool, however far apart."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from services.hypervisor.domain.events import (
    ChangeTrackingLost,
    CoordinatorChanged,
    HostFailed,
    HostRecovered,
    PoolEvent,
    VmAdded,
    VmChanged,
    VmMoved,
    VmPowerChanged,
    VmRemoved,
)
from services.hypervisor.domain.pool import Picture
from services.hypervisor.domain.vm import PowerState, Vm

NOWHERE: Mapping[str, str] = {}


@dataclass(frozen=True)
class Changes:
    """What to tell, and what to remember instead of what was known."""

    events: tuple[PoolEvent, ...]
    vms_to_keep: tuple[Vm, ...]
    vms_to_forget: tuple[str, ...]


def changes(known: Picture, seen: Picture, homes: Mapping[str, str] = NOWHERE) -> Changes:
    """Compare two pictures of one pool. Costs little for the VMs that are the same objects in both.

    ``homes`` says on which host each VM ran last: one that high availability restarts elsewhere was off in
    between.
    """
    events = [*_pool_events(known, seen)]
    kept: list[Vm] = []
    for vm_id, vm in seen.vms.items():
        before = known.vms.get(vm_id)
        if before is vm or before == vm:
            continue
        kept.append(vm)
        events += _added(vm) if before is None else _vm_events(before, vm, homes.get(vm_id, ""))
    gone = [vm for vm_id, vm in known.vms.items() if vm_id not in seen.vms]
    events += [VmRemoved(vm) for vm in gone if not vm.template]
    return Changes(tuple(events), tuple(kept), tuple(vm.vm_id for vm in gone))


def _added(vm: Vm) -> list[PoolEvent]:
    """Templates come and go without being told of."""
    return [] if vm.template else [VmAdded(vm)]


def _pool_events(known: Picture, seen: Picture) -> Iterator[PoolEvent]:
    names = {host.host_id: host.display_name for host in seen.hosts}
    if known.coordinator and known.coordinator != seen.coordinator:
        yield CoordinatorChanged(known.coordinator, seen.coordinator, names.get(seen.coordinator, ""))
    was_live = {host.host_id: host.live for host in known.hosts}
    for host in seen.hosts:
        if was_live.get(host.host_id, True) and not host.live:
            yield HostFailed(host)
        elif not was_live.get(host.host_id, True) and host.live:
            yield HostRecovered(host)


def _vm_events(before: Vm, now: Vm, home: str) -> Iterator[PoolEvent]:
    if before.power_state is not now.power_state:
        yield VmPowerChanged(now, before.power_state)
    left = before.host_id or home
    if left and now.host_id and left != now.host_id:
        yield VmMoved(now, left)
    if _configuration(before) != _configuration(now):
        yield VmChanged(now)
    tracked = {disk.disk_id for disk in before.disks if disk.change_tracking}
    for disk in now.disks:
        if disk.disk_id in tracked and not disk.change_tracking:
            yield ChangeTrackingLost(
                now,
                disk.disk_id,
                f"Changed block tracking of disk {disk.display_name!r} ({disk.disk_id}) of VM "
                f"{now.display_name!r} was switched off or lost; its next backup reads the whole disk.",
            )


def _configuration(vm: Vm) -> Vm:
    """The VM without what is told by events of its own: where and whether it runs."""
    return replace(vm, power_state=PowerState.HALTED, host_id="", host_display_name="")
