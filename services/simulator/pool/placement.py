"""Where a VM may run (xapi: ocaml/xapi/xapi_vm_helpers.ml ``assert_can_boot_here``)."""

from services.simulator.database.row import Row
from services.simulator.failure import XapiFailure
from services.simulator.pool import domains, gpus
from services.simulator.pool.pool import Pool


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
    for _, vdi in domains.disks_in_use(pool, vm):
        if not domains.sees(pool, host, vdi["SR"]):
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
    needed = vm["memory_static_max"] + domains.memory_overhead(vm)
    available = domains.free_memory(pool, host)
    if needed > available:
        raise XapiFailure("HOST_NOT_ENOUGH_FREE_MEMORY", str(needed), str(available))


def check_agile(pool: Pool, vm: Row) -> None:
    """Whether any host could run it. Raises ``VM_HAS_VGPU``, ``HA_CONSTRAINT_VIOLATION_SR_NOT_SHARED``,
    ``HA_CONSTRAINT_VIOLATION_NETWORK_NOT_SHARED`` (xapi: ocaml/xapi/agility.ml).
    """
    if vm["VGPUs"]:
        raise XapiFailure("VM_HAS_VGPU", vm.ref)
    for _, vdi in domains.disks_in_use(pool, vm):
        if not pool.db.row("SR", vdi["SR"])["shared"]:
            raise XapiFailure("HA_CONSTRAINT_VIOLATION_SR_NOT_SHARED", vdi["SR"])
    for vif in (pool.db.row("VIF", ref) for ref in vm["VIFs"]):
        network = pool.db.find("network", vif["network"])
        hosts = {pool.db.row("PIF", pif)["host"] for pif in network["PIFs"]} if network else set()
        if hosts and hosts != set(pool.hosts):
            raise XapiFailure("HA_CONSTRAINT_VIOLATION_NETWORK_NOT_SHARED", vif["network"])
