"""Emptying, stopping and removing hosts (xapi: ocaml/xapi/xapi_host.ml)."""

from services.simulator.calls import vm_power
from services.simulator.database.row import Row
from services.simulator.dispatch.call import Call
from services.simulator.failure import XapiFailure
from services.simulator.model.defaults import NULL_REF
from services.simulator.pool import membership, placement
from services.simulator.pool.failures import FUSE_S
from services.simulator.pool.host import Host


async def evacuate(call: Call, host: str, network: str = NULL_REF, batch_size: int = 0) -> None:
    """Every VM goes to another host. Raises ``CANNOT_EVACUATE_HOST`` before the first when one cannot."""
    await assert_can_evacuate(call, host)
    for vm in _guests(call, host):
        await vm_power.pool_migrate(call, vm.ref, _elsewhere(call, host, vm), {"live": "true"})


async def assert_can_evacuate(call: Call, host: str) -> None:
    """Raises ``CANNOT_EVACUATE_HOST`` with every reason."""
    reasons = await get_vms_which_prevent_evacuation(call, host)
    if reasons:
        raise XapiFailure("CANNOT_EVACUATE_HOST", "|".join(",".join(reason) for reason in reasons.values()))


async def get_vms_which_prevent_evacuation(call: Call, host: str) -> dict[str, list[str]]:
    """Failures by VM."""
    call.db.row("host", host)
    prevented: dict[str, list[str]] = {}
    for vm in _guests(call, host):
        try:
            _elsewhere(call, host, vm)
        except XapiFailure as failure:
            prevented[vm.ref] = failure.description
    return prevented


async def reboot(call: Call, host: str) -> None:
    """Returns before it happens. Raises ``HOST_NOT_DISABLED``, ``HOST_HAS_RESIDENT_VMS``."""
    there = _stoppable(call, host)
    call.pool.background(_later(call, there, again=True))


async def shutdown(call: Call, host: str) -> None:
    there = _stoppable(call, host)
    call.pool.background(_later(call, there, again=False))


async def power_on(call: Call, host: str) -> None:
    """Of a host whose power can be switched from outside. Raises ``HOST_POWER_ON_MODE_DISABLED``."""
    if call.db.row("host", host)["power_on_mode"] == "":
        raise XapiFailure("HOST_POWER_ON_MODE_DISABLED")
    await call.pool.failures.revive(call.pool.hosts[host])


async def set_power_on_mode(call: Call, host: str, mode: str, config: dict[str, str]) -> None:
    call.db.update("host", host, power_on_mode=mode, power_on_config=config)


async def destroy(call: Call, host: str) -> None:
    """A host that is gone for ever. Raises ``HOST_CANNOT_DESTROY_SELF``, ``HOST_IS_LIVE``,
    ``HOST_HAS_RESIDENT_VMS``."""
    call.db.row("host", host)
    if call.pool.hosts[host] is call.pool.coordinator:
        raise XapiFailure("HOST_CANNOT_DESTROY_SELF", host)
    if call.pool.hears(call.pool.hosts[host]):
        raise XapiFailure("HOST_IS_LIVE", host)
    if _guests(call, host):
        raise XapiFailure("HOST_HAS_RESIDENT_VMS", host)
    membership.forget_host(call.pool, host)


def _guests(call: Call, host: str) -> list[Row]:
    vms = [call.db.row("VM", vm) for vm in call.db.row("host", host)["resident_VMs"]]
    return [vm for vm in vms if not vm["is_control_domain"]]


def _elsewhere(call: Call, host: str, vm: Row) -> str:
    """Another host that can take the VM. Raises what keeps the last one from it, ``NO_HOSTS_AVAILABLE``."""
    reason = XapiFailure("NO_HOSTS_AVAILABLE")
    for other in call.pool.hosts:
        if other == host:
            continue
        try:
            placement.check(call.pool, other, vm)
        except XapiFailure as failure:
            reason = failure
        else:
            return other
    raise reason


def _stoppable(call: Call, host: str) -> Host:
    row = call.db.row("host", host)
    if row["enabled"]:
        raise XapiFailure("HOST_NOT_DISABLED")
    if _guests(call, host):
        raise XapiFailure("HOST_HAS_RESIDENT_VMS", host)
    return call.pool.hosts[host]


async def _later(call: Call, host: Host, *, again: bool) -> None:
    await call.pool.clock.sleep(FUSE_S)
    failures = call.pool.failures
    await (failures.reboot(host) if again else failures.kill(host))


async def get_management_interface(call: Call, host: str) -> str:
    pifs = (call.db.row("PIF", pif) for pif in call.db.row("host", host)["PIFs"])
    return next((pif.ref for pif in pifs if pif["management"]), NULL_REF)
