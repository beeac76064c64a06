"""Values to test with."""

from services.hypervisor.domain.pool import Host, Picture
from services.hypervisor.domain.vm import Disk, PowerState, Vm


def disk(disk_id: str = "disk", *, tracking: bool = True) -> Disk:
    return Disk(disk_id, "0", "root", 1024, "sr", "Shared", tracking)


def vm(vm_id: str = "vm", **more: object) -> Vm:
    fields = {
        "pool_id": "pool",
        "vm_id": vm_id,
        "display_name": vm_id,
        "description": "",
        "power_state": PowerState.RUNNING,
        "host_id": "h1",
        "host_display_name": "host 1",
        "disks": (disk(),),
        "network_interfaces": (),
        "tags": (),
        "memory_bytes": 1,
        "vcpus": 1,
        "guest_os": "",
    }
    return Vm(**(fields | more))  # type: ignore[arg-type]


def host(host_id: str = "h1", *, live: bool = True) -> Host:
    return Host(host_id, f"host {host_id}", f"address of {host_id}", live)


def picture(*vms: Vm, coordinator: str = "h1", hosts: tuple[Host, ...] = (host(),)) -> Picture:
    return Picture("Lab", "XCP-ng", coordinator, hosts, {each.vm_id: each for each in vms})
