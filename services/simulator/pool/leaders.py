"""Who leads a pool, and who follows (xapi: ocaml/xapi/xapi_pool_transition.ml, xapi_pool.ml)."""

from collections.abc import Collection

from services.simulator.failure import XapiFailure
from services.simulator.pool import domains, split
from services.simulator.pool.host import Host
from services.simulator.pool.pool import Pool


class Leaders:
    """Of a pool and, while it is split, its rival."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def designate(self, host: Host) -> None:
        """Another host leads, in good order. Raises ``HOST_OFFLINE``."""
        if not host.alive:
            raise XapiFailure("HOST_OFFLINE", host.ref)
        pool = self._pool.led_with(host)
        old = pool.coordinator
        if host is old:
            return
        await self._lead(host, pool)
        await old.restart_toolstack()
        await host.restart_toolstack()

    async def seize(self, host: Host) -> None:
        """A supporter that has lost its coordinator becomes it; others follow when they are recovered. A
        coordinator that was cut off leads on where it is.
        """
        host.emergency = False
        former = self._pool.coordinator
        if former.alive and former.cut_off_under and self._pool.rival is None:
            self._pool.rival = rival = split.part(self._pool)
            for other in rival.hosts.values():
                if not rival.hears(other):
                    rival.background(self._assume_dead(other, rival))
        await self._lead(host)
        self._set_live(former, live=False)

    async def split(self, heir: Host, stay: Collection[Host]) -> None:
        """``heir`` takes the place of a coordinator that was cut off, with those who ``stay`` with it, and is
        heard again: all but those follow ``heir``. Raises ``OPERATION_NOT_ALLOWED``, ``HA_IS_ENABLED``.
        """
        former = self._pool.coordinator
        if self._pool.rival is not None or heir is former or heir in stay or not heir.heard:
            why = "the heir is heard, leads nobody and stays with nobody, and there is no split yet"
            raise XapiFailure("OPERATION_NOT_ALLOWED", f"A pool is split when {why}")
        if self._pool.db.only("pool")["ha_enabled"]:
            raise XapiFailure("HA_IS_ENABLED")
        for host in (former, *stay):
            host.cut_off_under = former.ref
        await self.seize(heir)
        for host in stay:
            self._pool.background(self._assume_dead(host))

    async def recover_supporters(self) -> list[str]:
        """Point supporters in emergency mode, and a former coordinator's half, at the coordinator; their
        references.
        """
        found = split.lost(self._pool)
        for host in found:
            await self._rejoin(host)
        return [host.ref for host in found]

    def follow_soon(self, host: Host, address: str) -> None:
        """``follow``, after whoever asks has an answer."""
        self._pool.background(self.follow(host, address))

    async def follow(self, host: Host, address: str) -> None:
        """A host is told whom to follow. Nothing happens when nobody who leads has that address."""
        rival = self._pool.rival
        if address == self._pool.coordinator.address:
            await self._rejoin(host)
        elif rival is not None and address == rival.coordinator.address and host not in (rival.half or ()):
            self._join(host, rival)
            await host.restart_toolstack()

    async def _lead(self, host: Host, of: Pool | None = None) -> None:
        """Sessions and tasks do not survive a change of leadership; the rest of the database does."""
        pool = of or self._pool
        await self._forget_everything(pool)
        domains.ensure_metrics(pool)
        pool.db.set("pool", pool.db.only("pool").ref, "master", host.ref)
        pool.messages.create("POOL_MASTER_TRANSITION", "Host", host.uuid, "")

    async def _forget_everything(self, of: Pool | None = None) -> None:
        pool = of or self._pool
        db = pool.db
        await pool.stop_work()
        pool.tasks.forget_all()
        pool.sessions.end_all()
        for cls in ("VM", "VDI", "SR", "VBD", "VIF"):
            for row in db.rows(cls):
                db.set(cls, row.ref, "current_operations", {})

    async def _rejoin(self, host: Host) -> None:
        """A host follows the coordinator from now on, if that one knows it."""
        pool = self._pool.led_with(host)
        host.cut_off_under = ""
        host.unknown = host.ref not in self._pool.hosts
        host.emergency = host.unknown or not self._pool.coordinator.heard
        if pool is not self._pool:
            await self._leave(host, pool)
            await host.restart_toolstack()
        if not host.emergency:
            self._set_live(host)

    async def _leave(self, host: Host, rival: Pool) -> None:
        """A rival loses one of its hosts. Without the one that led it there is none: the others are lost."""
        half = rival.half or set()
        half.discard(host)
        if host is rival.coordinator:
            self._pool.rival = None
            for left in half:
                left.emergency = left.alive
                left.cut_off_under = left.cut_off_under if left.silence.fallen else ""
            await rival.break_off()

    def _join(self, host: Host, rival: Pool) -> None:
        """A host follows a former coordinator."""
        (rival.half or set()).add(host)
        host.cut_off_under, host.emergency = rival.coordinator.ref, False
        self._set_live(host, of=rival)
        self._pool.background(self._assume_dead(host))

    def _find_former(self, rival: Pool) -> None:
        for host in self._pool.hosts.values():
            if host.emergency and host.heard and host is not self._pool.coordinator:
                self._join(host, rival)

    def _meets_coordinator(self, host: Host) -> bool:
        return not host.silence.fallen and self._pool.coordinator.heard

    async def _assume_dead(self, host: Host, of: Pool | None = None) -> None:
        pool = of or self._pool
        await pool.clock.sleep(pool.description.host_assumed_dead_s)
        if not pool.hears(host) and host.ref in pool.hosts:
            self._set_live(host, of=pool, live=False)

    def _lose_coordinator(self) -> None:
        for host in self._own_hosts():
            host.emergency = host.alive and host is not self._pool.coordinator

    def _find_coordinator(self) -> None:
        for host in self._own_hosts():
            host.emergency = bool(host.cut_off_under)

    def _own_hosts(self) -> list[Host]:
        return [host for host in self._pool.hosts.values() if self._pool.led_with(host) is self._pool]

    def _set_live(self, host: Host, *, of: Pool | None = None, live: bool = True) -> None:
        db = (of or self._pool).db
        db.set("host_metrics", db.row("host", host.ref)["metrics"], "live", live)
