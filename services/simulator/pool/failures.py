"""What may befall a pool (xapi: ocaml/xapi/xapi_ha_vm_failover.ml, xapi_pool_transition.ml, db_gc.ml)."""

from collections.abc import Awaitable, Callable

from services.simulator.failure import XapiFailure
from services.simulator.pool import (
    allowed_operations,
    attachments,
    domains,
    high_availability,
    passthrough,
    placement,
)
from services.simulator.pool.database_image import DatabaseImage, replace_rows
from services.simulator.pool.disks import Disks
from services.simulator.pool.host import Host
from services.simulator.pool.leaders import Leaders
from services.simulator.pool.pool import Pool

_OUTSIDE_OF_DUMPS = frozenset({"session", "task", "message", "event"})
FUSE_S = 1.0
"""From the order to reboot until it happens, so that the answer arrives (xapi_globs.ml: up to 30 s)."""
_HA_ORDER = {"restart": 0, "best-effort": 1}


class Failures(Leaders):
    """Deaths and births of hosts, of a pool and its rival. ``boot`` gives a host power."""

    def __init__(self, pool: Pool, boot: Callable[[Host], Awaitable[None]]) -> None:
        super().__init__(pool)
        self._boot = boot

    async def kill(self, host: Host, *, silently: bool = False) -> None:
        """A host loses power. With HA the pool recovers by itself; without, nothing happens for ten minutes.

        A dead coordinator without HA leaves its supporters in emergency mode. ``silently``: packets to it
        vanish from then on, where otherwise it is seen to be off. Raises ``OSError`` when that cannot be had.
        """
        if not host.alive:
            return
        pool = self._pool.led_with(host)
        led = host is pool.coordinator
        await host.power_off(silently=silently)
        for vm in list(pool.db.row("host", host.ref)["resident_VMs"]):
            await domains.drop_guest(pool, pool.db.row("VM", vm))
        if pool is not self._pool:
            await self._leave(host, pool)
        elif self._pool.db.only("pool")["ha_enabled"]:
            await self._recover(host, led)
        elif led:
            await self._forget_everything()
            self._lose_coordinator()
        else:
            self._pool.background(self._assume_dead(host))

    async def fall_silent(self, host: Host, *, to_its_pool: bool) -> None:
        """Packets between a host and everybody outside vanish; it does not notice. With ``to_its_pool`` those
        between it and other hosts do too: with HA it then fences itself, without HA supporters lose a
        coordinator in that way, which goes on, and a supporter counts as dead after ten minutes.

        Raises ``OSError`` when it cannot be had, ``HOST_OFFLINE`` without power.
        """
        if not host.alive:
            raise XapiFailure("HOST_OFFLINE", host.ref)
        if to_its_pool and self._pool.db.only("pool")["ha_enabled"]:
            await self.kill(host, silently=True)
            return
        await host.silence.fall()
        if not to_its_pool or host.cut_off_under:
            return
        host.cut_off_under = self._pool.coordinator.ref
        if host is self._pool.coordinator:
            self._lose_coordinator()
        else:
            self._pool.background(self._assume_dead(host))

    async def hear(self, host: Host) -> None:
        """A silent host is heard again. Whoever was cut off with its coordinator while another one came
        follows it on; supporters that nobody told of the other one find it again.

        Raises ``HOST_OFFLINE`` without power: such a host has to boot.
        """
        if not host.alive:
            raise XapiFailure("HOST_OFFLINE", host.ref)
        host.silence.end()
        rival = self._pool.rival
        if rival is not None and self._pool.led_with(host) is rival:
            if host is rival.coordinator:
                self._find_former(rival)
            return
        if not host.cut_off_under:
            return
        followed, host.cut_off_under = host.cut_off_under, ""
        coordinator = self._pool.coordinator
        if host is coordinator:
            self._find_coordinator()
        else:
            host.emergency = coordinator.ref != followed or not coordinator.heard
        if not host.emergency:
            self._set_live(host)

    async def revive(self, host: Host) -> None:
        """A dead host boots; the VMs that it ran are halted by now, whatever the database said."""
        if host.alive:
            return
        db = self._pool.db
        await self._boot(host)
        row = db.row("host", host.ref)
        for vm in list(row["resident_VMs"]):
            if not db.row("VM", vm)["is_control_domain"]:
                await domains.stopped(self._pool, vm, crashed=True)
        db.update("host_metrics", row["metrics"], live=True, last_updated=self._pool.now())
        passthrough.booted(self._pool, host.ref)
        boot_time = f"{int(self._pool.clock.now().timestamp())}."
        db.update(
            "host", host.ref, enabled=True, other_config={**row["other_config"], "boot_time": boot_time}
        )
        if db.only("pool")["ha_enabled"]:
            self._tell("HA_HOST_WAS_FENCED", host, f"Server '{host.name}' has been fenced")
            high_availability.update(self._pool)
        if host is self._pool.coordinator:
            self._find_coordinator()

    async def restart_toolstack(self, host: Host) -> None:
        """Connections break; on a coordinator sessions and tasks are gone. NBD goes on. A former coordinator
        that finds another one in its place follows that.
        """
        pool = self._pool.led_with(host)
        if pool is not self._pool and host is pool.coordinator and self._meets_coordinator(host):
            await self._rejoin(host)
            return
        await host.restart_toolstack()
        if host is pool.coordinator:
            await self._forget_everything(pool)
            domains.ensure_metrics(pool)

    async def reboot(self, host: Host) -> None:
        """In good order, and without what ran on it."""
        await self.kill(host)
        await self.revive(host)

    async def restore_database(self, host: Host, image: DatabaseImage) -> None:
        """The host boots on another database; the pool's other hosts are unknown to it from then on."""
        await self._pool.clock.sleep(FUSE_S)
        pool, db = self._pool, self._pool.db
        rows = image.fitted(pool, host)
        repositories = {db.row("SR", ref)["uuid"]: kept for ref, kept in pool.repositories.items()}
        await self._forget_everything()
        await host.power_off()
        for vm in db.rows("VM"):
            await domains.drop_guest(pool, vm)
        replace_rows(db, rows, _OUTSIDE_OF_DUMPS)
        self._leave_strangers(host, image.coordinator)
        await self._boot(host)
        pool.repositories, pool.disks = {}, {}
        for sr in db.rows("SR"):
            if sr["uuid"] in repositories:
                pool.repositories[sr.ref] = repositories[sr["uuid"]]
                pool.disks[sr.ref] = Disks(pool, sr.ref)
                for pbd in sr["PBDs"]:
                    db.set("PBD", pbd, "currently_attached", True)
                await pool.disks[sr.ref].follow(adopt=True)
        for row in db.rows("VM"):
            allowed_operations.refresh_vm(db, row.ref)

    def _leave_strangers(self, host: Host, ref: str) -> None:
        """``host`` is the one that the database calls ``ref``."""
        others = [other for other in self._pool.hosts.values() if other is not host]
        for other in others:
            other.emergency = other.unknown = True
        self._pool.strangers += others
        host.ref = ref
        self._pool.hosts = {ref: host}

    def expire_sessions(self) -> None:
        """As if everybody had been idle for too long."""
        self._pool.sessions.end_all()

    async def _recover(self, host: Host, led: bool) -> None:
        db = self._pool.db
        if led:
            heirs = [heir for heir in self._pool.hosts.values() if heir.heard]
            if not heirs:
                await self._forget_everything()
                return
            await self._lead(heirs[0])
            await heirs[0].restart_toolstack()
        self._tell("HA_HOST_FAILED", host, f"Server '{host.name}' has failed")
        db.set("host_metrics", db.row("host", host.ref)["metrics"], "live", False)
        lost = [db.row("VM", vm) for vm in db.row("host", host.ref)["resident_VMs"]]
        guests = [vm for vm in lost if not vm["is_control_domain"]]
        for vm in guests:
            await domains.stopped(self._pool, vm.ref, crashed=True)
        high_availability.update(self._pool)
        protected = [vm for vm in guests if vm["ha_restart_priority"] in _HA_ORDER]
        for vm in sorted(protected, key=lambda vm: (_HA_ORDER[vm["ha_restart_priority"]], vm["order"])):
            await self._restart(vm.ref)

    async def _restart(self, ref: str) -> None:
        vm = self._pool.db.row("VM", ref)
        try:
            host = placement.choose_host(self._pool, vm)
            await attachments.attach_disks(self._pool, ref)
        except XapiFailure:
            if vm["ha_restart_priority"] == "restart":
                body = f"VM '{vm['name_label']}' cannot be restarted"
                self._pool.messages.create("HA_PROTECTED_VM_RESTART_FAILED", "VM", vm["uuid"], body)
            return
        await domains.started(self._pool, ref, host)
        name = self._pool.hosts[host].name
        body = f"VM '{vm['name_label']}' (uuid: {vm['uuid']}) started on host: {name}"
        self._pool.messages.create("VM_STARTED", "VM", vm["uuid"], body)

    def _tell(self, name: str, host: Host, body: str) -> None:
        self._pool.messages.create(name, "Host", host.uuid, body)
