"""Where a VM may run (xapi: ocaml/xapi/xapi_vm_helpers.ml ``assert_can_boot_here``)."""

from collections.abc import Mapping
from typing import Any

from services.simulator.database.row import Row
from services.simulator.failure import XapiFailure
from services.simulator.pool import attachments, gpus
from services.simulator.pool.pool import Pool

_MIB = 1024**2


def check(pool: Pool, host: str, vm: Row) -> None:
    """Raises what keeps ``vm`` from starting on ``host``."""
    check_host(pool, host)
    check_storage(pool, host, vm)
    check_networks(pool, host, vm)
    gpus.check_iommu(pool.db, host, vm)
    gpus.check(pool.db, host, vm)
    check_memory(pool, host, vm)


def check_host(pool: Pool, host: str) -> None:
    """Raises ``HOST_NOT_LIVE``, ``HOST_DISABLED``, and ``CANNOT_CONTACT_HOST`` as long as the pool does not
    know yet that the host is dead.
    """
    row = pool.db.row("host", host)
    if not pool.db.row("host_metrics", row["metrics"])["live"]:
        raise XapiFailure("HOST_NOT_LIVE")
    if not pool.hears(pool.hosts[row.ref]):
        raise XapiFailure("CANNOT_CONTACT_HOST", row.ref)
    if not row["enabled"]:
        raise XapiFailure("HOST_DISABLED", row.ref)


def check_storage(pool: Pool, host: str, vm: Row) -> None:
    """Raises ``VM_REQUIRES_SR``."""
    for _, vdi in attachments.disks_in_use(pool, vm):
        if not sees(pool, host, vdi["SR"]):
            raise XapiFailure("VM_REQUIRES_SR", vm.ref, vdi["SR"])


def check_networks(pool: Pool, host: str, vm: Row) -> None:
    """A network without any PIF is everywhere. Raises ``VM_REQUIRES_NETWORK``."""
    for vif in (pool.db.row("VIF", ref) for ref in vm["VIFs"]):
        network = pool.db.find("network", vif["network"])
        pifs = [] if network is None else network["PIFs"]
        if pifs and not any(pool.db.row("PIF", pif)["host"] == host for pif in pifs):
            raise XapiFailure("VM_REQUIRES_NETWORK", vm.ref, vif["network"])


def check_memory(pool: Pool, host: str, vm: Row) -> None:
    """Raises ``HOST_NOT_ENOUGH_FREE_MEMORY``."""
    needed = vm["memory_static_max"] + memory_overhead(vm)
    available = free_memory(pool, host)
    if needed > available:
        raise XapiFailure("HOST_NOT_ENOUGH_FREE_MEMORY", str(needed), str(available))


def check_agile(pool: Pool, vm: Row) -> None:
    """Whether any host could run it. Raises ``VM_HAS_VGPU``, ``HA_CONSTRAINT_VIOLATION_SR_NOT_SHARED``,
    ``HA_CONSTRAINT_VIOLATION_NETWORK_NOT_SHARED`` (xapi: ocaml/xapi/agility.ml).
    """
    if vm["VGPUs"]:
        raise XapiFailure("VM_HAS_VGPU", vm.ref)
    for _, vdi in attachments.disks_in_use(pool, vm):
        if not pool.db.row("SR", vdi["SR"])["shared"]:
            raise XapiFailure("HA_CONSTRAINT_VIOLATION_SR_NOT_SHARED", vdi["SR"])
    for vif in (pool.db.row("VIF", ref) for ref in vm["VIFs"]):
        network = pool.db.find("network", vif["network"])
        hosts = {pool.db.row("PIF", pif)["host"] for pif in network["PIFs"]} if network else set()
        if hosts and hosts != set(pool.hosts):
            raise XapiFailure("HA_CONSTRAINT_VIOLATION_NETWORK_NOT_SHARED", vif["network"])


def sees(pool: Pool, host: str, sr: str) -> bool:
    """Whether the host has the SR attached."""
    pbds = (pool.db.row("PBD", ref) for ref in pool.db.row("SR", sr)["PBDs"])
    return any(pbd["host"] == host and pbd["currently_attached"] for pbd in pbds)


def possible_hosts(pool: Pool, vm: Row) -> list[str]:
    """Live, enabled hosts that see all the VM's SRs and have its GPUs, affinity first, then the one with
    most free memory."""
    srs = {vdi["SR"] for _, vdi in attachments.disks_in_use(pool, vm)}
    hosts = [
        host.ref
        for host in pool.hosts.values()
        if pool.hears(host) and pool.db.row("host", host.ref)["enabled"]
    ]
    seeing = [host for host in hosts if all(sees(pool, host, sr) for sr in srs)]
    seeing = [host for host in seeing if gpus.fits(pool.db, host, vm)]
    return sorted(seeing, key=lambda host: (host != vm["affinity"], -free_memory(pool, host)))


def choose_host(pool: Pool, vm: Row) -> str:
    """Raises ``NO_HOSTS_AVAILABLE``, ``HOST_NOT_ENOUGH_FREE_MEMORY``, or why no processor takes the VM's
    first GPU."""
    for vgpu in gpus.of_vm(pool.db, vm)[:1]:
        gpus.group_capacity(pool.db, vgpu["GPU_group"], vgpu["type"])
    hosts = possible_hosts(pool, vm)
    if not hosts:
        raise XapiFailure("NO_HOSTS_AVAILABLE")
    needed = vm["memory_static_max"] + memory_overhead(vm)
    with_room = [host for host in hosts if free_memory(pool, host) >= needed]
    if not with_room:
        available = max(free_memory(pool, host) for host in hosts)
        raise XapiFailure("HOST_NOT_ENOUGH_FREE_MEMORY", str(needed), str(available))
    return with_room[0]


def memory_overhead(vm: Mapping[str, Any]) -> int:
    """Bytes that a VM costs beyond its memory: shadow pages and what the device model needs.

    Source: xapi, ocaml/xapi/memory.ml; recorded for 1 VCPU and 256 MiB, HVM, PV, and with a multiplier.
    """
    shadow = vm["VCPUs_max"] + vm["memory_static_max"] // _MIB // 128
    device_model = 1 if vm["domain_type"] != "pv" else 0
    return (int(shadow * vm["HVM_shadow_multiplier"]) + 1 + device_model) * _MIB


def free_memory(pool: Pool, host: str) -> int:
    """Bytes that a host has for more VMs."""
    row = pool.db.row("host", host)
    used = sum(pool.db.row("VM", vm)["memory_static_max"] for vm in row["resident_VMs"])
    total = pool.db.row("host_metrics", row["metrics"])["memory_total"]
    return int(total - row["memory_overhead"] - used)
